"""Karmada's resource interpreter: the envelope, and what is answered to the operations of ``registry``.

An answer passes Karmada's own verification (facts 3): the question's uid; patch and patchType, or neither of
them, which means no change; ``healthy`` where health was asked for. Whoever cannot be asked has no word in
it: then the status stays what it is. An operation that nobody registered is refused, not guessed.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec

from towpath.errors import InvalidObject
from towpath.rules.health import why_unhealthy
from towpath_webhook.admission.objects import Standing
from towpath_webhook.admission.review import Code, Kind, read

API_VERSION, KIND = "config.karmada.io/v1alpha1", "ResourceInterpreterContext"
AGGREGATE_STATUS, INTERPRET_HEALTH = "AggregateStatus", "InterpretHealth"


class Context(msgspec.Struct, frozen=True, rename="camel"):
    """What Karmada asks: an operation on an object; for AggregateStatus, with what members report of it."""

    uid: Annotated[str, msgspec.Meta(min_length=1)]
    operation: str
    obj: Standing = msgspec.field(name="object")
    kind: Kind = Kind()
    namespace: str = ""
    name: str = ""
    aggregated_status: list[msgspec.Raw] | None = None


class _Asked(msgspec.Struct, frozen=True, rename="camel"):
    request: Context
    api_version: str = ""
    kind: str = ""


_DECODER = msgspec.json.Decoder(_Asked)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> Context:
    """Return the question. Raises InvalidObject naming the field that is wrong."""
    asked = read(_DECODER, body, f"{KIND} of {API_VERSION}")
    if asked.api_version != API_VERSION or asked.kind != KIND:
        raise InvalidObject(f"no {KIND} of {API_VERSION}: apiVersion and kind say something else")
    return asked.request


def with_health(context: Context) -> bytes:
    """Answer whether the object is healthy."""
    return _answer({"uid": context.uid, "successful": True, "healthy": not why_unhealthy(context.obj)})


def with_status(context: Context, status: bytes | None) -> bytes:
    """Answer with the status, as JSON, that the object should have; None for the one that it has."""
    response: dict[str, Any] = {"uid": context.uid, "successful": True}
    if status is not None:
        patch = [{"op": "add", "path": "/status", "value": msgspec.Raw(status)}]
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(_encode(patch)).decode()
    return _answer(response)


def refusal(context: Context, code: Code, message: str) -> bytes:
    """Answer that there is no answer."""
    status = {"code": int(code), "message": message}
    return _answer({"uid": context.uid, "successful": False, "status": status})


def _answer(response: dict[str, Any]) -> bytes:
    return _encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})
