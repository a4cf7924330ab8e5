"""AdmissionReview: decoded into a Request, and encoded from a Verdict.

Only the fields that rules need are decoded. An error names the field and never its value, because objects may
hold credentials. Decoding is the larger part of a request's time; msgspec takes half the time of pydantic.
The answer is bounded: at most ``MAX_REPORTED`` problems and warnings, each of at most ``MAX_TEXT_LENGTH``
characters."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from towpath.errors import InvalidObject
from towpath_webhook.admission.fields import MAX_NAME_LENGTH, Problem, part
from towpath_webhook.admission.objects import Object

T = TypeVar("T")

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
_MAX_ECHO_LENGTH = 128
"""Characters of the request that an error repeats."""
MAX_REPORTED = 20
"""Problems, and warnings, in an answer; their number follows."""
MAX_TEXT_LENGTH = 1024
"""Characters of each."""


class Kind(msgspec.Struct, frozen=True, gc=False):
    """The kind of the object, after conversion to the version of the webhook's rule."""

    group: str = ""
    version: str = ""
    kind: str = ""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """The plural name of the request."""

    resource: str = ""


class User(msgspec.Struct, frozen=True):
    """The user who made the request."""

    username: str = ""
    groups: list[str] | None = None


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """An admission request: the object that would be stored, and the stored one."""

    uid: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
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
        """The stored object, decoded on access: most answers do not need it, and it is half of the
        request."""
        try:
            return _OLD.decode(self.old_json)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    @property
    def is_deleting(self) -> bool:
        """Whether the object is being deleted: then its content no longer matters."""
        return part(self.obj, "metadata").get("deletionTimestamp") is not None


class Code(IntEnum):
    """The HTTP status of a refusal."""

    FORBIDDEN = 403
    INVALID = 422
    INTERNAL = 500


_REASONS = {Code.FORBIDDEN: "Forbidden", Code.INVALID: "Invalid", Code.INTERNAL: "InternalError"}


class Verdict(NamedTuple):
    """The result of a rule: the object is refused if there are problems, else allowed and changed by the JSON
    patch (RFC 6902). Warnings are for the user in both cases.

    kubectl prints each warning on a line; the apiserver may truncate those of more than 256 bytes.
    """

    patch: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    code: Code = Code.INVALID


ALLOW = Verdict()


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    request: Request
    api_version: str = ""
    kind: str = ""


_DECODER = msgspec.json.Decoder(_Review)
_OLD: msgspec.json.Decoder[Object | None] = msgspec.json.Decoder(Object | None)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> Request:
    """Return the request of an AdmissionReview. Raises InvalidObject naming the invalid field."""
    review = read(_DECODER, body, f"an {KIND} of {API_VERSION}")
    if review.api_version != API_VERSION or review.kind != KIND:
        given = f"{review.kind[:_MAX_ECHO_LENGTH]!r} of {review.api_version[:_MAX_ECHO_LENGTH]!r}"
        raise InvalidObject(f"apiVersion, kind: The body is {given}. Send {KIND} of {API_VERSION}.")
    return review.request


def read(decoder: msgspec.json.Decoder[T], body: bytes, expected: str) -> T:
    """Decode a request. Raises InvalidObject, which gives the place of the error and none of the content."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidObject(f"The body is not {expected}: {error}.") from None
    except RecursionError:
        raise InvalidObject(f"The body is not {expected}: it is nested too deeply.") from None


def encode(request: Request, verdict: Verdict) -> bytes:
    """Return the AdmissionReview that answers a request."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": not verdict.problems}
    if verdict.warnings:
        response["warnings"] = _limited(verdict.warnings, "{} more warnings are not shown.")
    if verdict.problems:
        response["status"] = _status(request, verdict)
    elif verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(_encode(verdict.patch)).decode()
    return _encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})


def _status(request: Request, verdict: Verdict) -> dict[str, Any]:
    """Return the Status of a refusal. kubectl prints its causes like those of the apiserver."""
    code, hidden = verdict.code, len(verdict.problems) - MAX_REPORTED
    problems = [
        (problem.field, problem.text[:MAX_TEXT_LENGTH]) for problem in verdict.problems[:MAX_REPORTED]
    ]
    if hidden > 0:
        problems.append(("metadata.name", f"The object has {hidden} more problems. Correct these first."))
    status: dict[str, Any] = {
        "status": "Failure",
        "code": int(code),
        "reason": _REASONS[code],
        "message": " ".join(f"{field}: {text}" if field else text for field, text in problems),
    }
    if code is Code.INVALID:
        status["details"] = {
            "group": request.kind.group[:_MAX_ECHO_LENGTH],
            "kind": request.kind.kind[:_MAX_ECHO_LENGTH],
            "name": request.name[:MAX_NAME_LENGTH],
            "causes": [
                {"reason": "FieldValueInvalid", "field": field, "message": text} for field, text in problems
            ],
        }
    return status


def _limited(texts: Sequence[str], more: str) -> list[str]:
    """Return the first texts, and the number of the others."""
    shown = [text[:MAX_TEXT_LENGTH] for text in texts[:MAX_REPORTED]]
    hidden = len(texts) - MAX_REPORTED
    return [*shown, more.format(hidden)] if hidden > 0 else shown
