"""Karmada's resource interpreter: requests decoded, and answers to the operations in ``hooks``.

An answer passes Karmada's own verification: it has the uid of the request; both patch and patchType, or
neither for no change; and ``healthy`` if the request is about health. Without the plugin the status does not
change. An operation that is not registered is refused."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec

from towpath.errors import InvalidObject
from towpath.rules.health import why_unhealthy
from towpath_webhook.admission.objects import ObjectStatus
from towpath_webhook.admission.review import Code, Kind, read

API_VERSION, KIND = "config.karmada.io/v1alpha1", "ResourceInterpreterContext"
AGGREGATE_STATUS, INTERPRET_HEALTH = "AggregateStatus", "InterpretHealth"


class InterpreterRequest(msgspec.Struct, frozen=True, rename="camel"):
    """An operation on an object; for AggregateStatus with the statuses that members report."""

    uid: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    operation: str
    obj: ObjectStatus = msgspec.field(name="object")
    kind: Kind = Kind()
    namespace: str = ""
    name: str = ""
    aggregated_status: list[msgspec.Raw] | None = None


class _InterpreterContext(msgspec.Struct, frozen=True, rename="camel"):
    request: InterpreterRequest
    api_version: str = ""
    kind: str = ""


_DECODER = msgspec.json.Decoder(_InterpreterContext)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> InterpreterRequest:
    """Return the request. Raises InvalidObject naming the invalid field."""
    context = read(_DECODER, body, f"a {KIND} of {API_VERSION}")
    if context.api_version != API_VERSION or context.kind != KIND:
        raise InvalidObject(f"apiVersion, kind: The body is something else. Send {KIND} of {API_VERSION}.")
    return context.request


def with_health(request: InterpreterRequest) -> bytes:
    """Return the answer that says whether the object is healthy."""
    return _answer({"uid": request.uid, "successful": True, "healthy": not why_unhealthy(request.obj)})


def with_status(request: InterpreterRequest, status: bytes | None) -> bytes:
    """Return the answer that sets the status, given as JSON; None leaves it unchanged."""
    response: dict[str, Any] = {"uid": request.uid, "successful": True}
    if status is not None:
        patch = [{"op": "add", "path": "/status", "value": msgspec.Raw(status)}]
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(_encode(patch)).decode()
    return _answer(response)


def refusal(request: InterpreterRequest, code: Code, message: str) -> bytes:
    """Return the answer that the operation failed."""
    status = {"code": int(code), "message": message}
    return _answer({"uid": request.uid, "successful": False, "status": status})


def _answer(response: dict[str, Any]) -> bytes:
    return _encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})
