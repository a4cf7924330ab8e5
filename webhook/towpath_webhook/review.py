"""The envelope: an AdmissionReview, decoded into a Request, and a Verdict encoded into one.

Only what rules need is looked at, the rest may be anything. An error names the field and never its value:
objects hold credentials.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from towpath.errors import InvalidObject
from towpath.model.base import Model

API_VERSION: Literal["admission.k8s.io/v1"] = "admission.k8s.io/v1"
KIND: Literal["AdmissionReview"] = "AdmissionReview"


class Request(Model):
    """What the apiserver asks about: an object on its way in, and what is stored of it so far."""

    uid: str = Field(min_length=1)
    obj: dict[str, Any] | None = Field(default=None, alias="object")
    old: dict[str, Any] | None = Field(default=None, alias="oldObject")


@dataclass(frozen=True)
class Verdict:
    """A rule's answer: the object may pass, changed by a JSON patch (RFC 6902), with warnings to the user.

    kubectl prints each warning on a line; those of more than 256 bytes the apiserver may cut off.
    """

    patch: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


class _Review(Model):
    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    request: Request


def decode(body: bytes) -> Request:
    """Return the question in an AdmissionReview. Raises InvalidObject naming the field that is wrong."""
    try:
        return _Review.model_validate_json(body).request
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(f" at {'.'.join(map(str, first['loc']))}" if first["loc"] else "")
        raise InvalidObject(f"no {KIND} of {API_VERSION}{place}: {first['msg']}") from None


def encode(request: Request, verdict: Verdict) -> bytes:
    """Return the AdmissionReview that answers a request."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": True}
    if verdict.warnings:
        response["warnings"] = verdict.warnings
    if verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(verdict.patch).encode()).decode()
    return json.dumps({"apiVersion": API_VERSION, "kind": KIND, "response": response}).encode()
