"""The envelope: an AdmissionReview, decoded into a Request, and a Verdict encoded into one.

Only what rules need is looked at, the rest may be anything. An error names the field and never its value:
objects hold credentials. msgspec decodes it in half the time that pydantic takes, which is the larger part
of a request's time.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from towpath.errors import InvalidObject
from towpath_webhook.admission.fields import Problem, part
from towpath_webhook.admission.objects import Object

T = TypeVar("T")

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
_SHOWN = 128
"""Bytes of a text from outside that an error repeats."""


class Kind(msgspec.Struct, frozen=True, gc=False):
    """Which kind it is: of the request, after conversion to what the rule asked for."""

    group: str = ""
    version: str = ""
    kind: str = ""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """Under which plural it was addressed."""

    resource: str = ""


class User(msgspec.Struct, frozen=True):
    """Who asks."""

    username: str = ""
    groups: list[str] | None = None


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """What the apiserver asks about: an object on its way in, and what is stored of it so far."""

    uid: Annotated[str, msgspec.Meta(min_length=1)]
    operation: str = ""
    kind: Kind = Kind()
    resource: Resource = Resource()
    namespace: str = ""
    name: str = ""
    user_info: User = User()
    dry_run: bool | None = None
    obj: Object | None = msgspec.field(default=None, name="object")
    old_json: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="oldObject")

    @property
    def old(self) -> Object | None:
        """The stored object, decoded now: most answers do without it, and it is half of the question."""
        try:
            return _OLD.decode(self.old_json)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    @property
    def goes(self) -> bool:
        """Whether the object is being deleted: what it says does not matter any more."""
        return part(self.obj, "metadata").get("deletionTimestamp") is not None


class Code(IntEnum):
    """Why a request is refused, as an HTTP status."""

    FORBIDDEN = 403
    INVALID = 422
    INTERNAL = 500


_REASONS = {Code.FORBIDDEN: "Forbidden", Code.INVALID: "Invalid", Code.INTERNAL: "InternalError"}


class Verdict(NamedTuple):
    """A rule's answer: problems for which the object is refused, or the object may pass, changed by a JSON
    patch (RFC 6902). Warnings are for the user in either case.

    kubectl prints each warning on a line; those of more than 256 bytes the apiserver may cut off.
    """

    patch: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    code: Code = Code.INVALID


PASS = Verdict()


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    request: Request
    api_version: str = ""
    kind: str = ""


_DECODER = msgspec.json.Decoder(_Review)
_OLD: msgspec.json.Decoder[Object | None] = msgspec.json.Decoder(Object | None)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> Request:
    """Return the question in an AdmissionReview. Raises InvalidObject naming the field that is wrong."""
    review = read(_DECODER, body, f"{KIND} of {API_VERSION}")
    if review.api_version != API_VERSION or review.kind != KIND:
        shown = f"{review.kind[:_SHOWN]!r} of {review.api_version[:_SHOWN]!r}"
        raise InvalidObject(f"no {KIND} of {API_VERSION}: apiVersion and kind say {shown}")
    return review.request


def read(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Decode a question. Raises InvalidObject, which says no more of the body than where it is wrong."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidObject(f"no {what}: {error}") from None
    except RecursionError:
        raise InvalidObject(f"no {what}: it is nested too deeply") from None


def encode(request: Request, verdict: Verdict) -> bytes:
    """Return the AdmissionReview that answers a request."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": not verdict.problems}
    if verdict.warnings:
        response["warnings"] = verdict.warnings
    if verdict.problems:
        response["status"] = _status(request, verdict)
    elif verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(_encode(verdict.patch)).decode()
    return _encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})


def _status(request: Request, verdict: Verdict) -> dict[str, Any]:
    """Return the Status of a refusal. kubectl shows the causes, as it does those of the apiserver itself."""
    problems, code = verdict.problems, verdict.code
    status: dict[str, Any] = {
        "status": "Failure",
        "code": int(code),
        "reason": _REASONS[code],
        "message": "; ".join(map(str, problems)),
    }
    if code is Code.INVALID:
        status["details"] = {
            "group": request.kind.group,
            "kind": request.kind.kind,
            "name": request.name,
            "causes": [
                {"reason": "FieldValueInvalid", "field": one.field, "message": one.text} for one in problems
            ],
        }
    return status
