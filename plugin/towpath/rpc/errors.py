"""Why a call is not answered: a gRPC status with details that programs can read, and a sentence for people.

The details are google.rpc's: ``ErrorInfo`` with a word, and for a request without meaning ``BadRequest``,
which names the fields.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

DOMAIN = "towpath.io"
NOT_IN_SYNC = "the plugin has not yet read everything from Karmada: try again"


class Refused(Exception):
    """A call that is not answered. ``str(error)`` is fit for a user."""

    def __init__(self, code: grpc.StatusCode, reason: str, text: str, *details: Message) -> None:
        super().__init__(text)
        self.code, self.reason = code, reason
        self._details = (ErrorInfo(reason=reason, domain=DOMAIN), *details)

    def status(self) -> grpc.Status:
        """Return what goes to the client."""
        status = Status(code=self.code.value[0], message=str(self))
        for detail in self._details:
            packed = Any()
            packed.Pack(detail)
            status.details.append(packed)
        return rpc_status.to_status(status)


def invalid(fields: Mapping[str, str]) -> Refused:
    """Return the refusal of a request: by the name of a field what is wrong there."""
    violations = [BadRequest.FieldViolation(field=field, description=text) for field, text in fields.items()]
    text = "; ".join(dict.fromkeys(fields.values()))
    return Refused(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", text, BadRequest(field_violations=violations)
    )


def not_in_sync() -> Refused:
    """Return the refusal of everything before the world is known."""
    return Refused(grpc.StatusCode.UNAVAILABLE, "NOT_IN_SYNC", NOT_IN_SYNC)


def stopping() -> Refused:
    """Return how streams end, and what new ones hear, while the server stops."""
    return Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING", "the plugin stops: try again")


def not_found(reason: str, text: str) -> Refused:
    """Return the refusal to speak of what is not there."""
    return Refused(grpc.StatusCode.NOT_FOUND, reason, text)
