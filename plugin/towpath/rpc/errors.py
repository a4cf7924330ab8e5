"""Errors of the gRPC API: a status code, details for programs, and a sentence for people.

The details are those of google.rpc: ``ErrorInfo`` with the reason, and for an invalid request ``BadRequest``,
which names the fields."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

DOMAIN = "towpath.io"
NOT_IN_SYNC = "The plugin has not read everything from Karmada yet. Try again."
STOPPING = "The plugin is shutting down. Try again."


class StatusError(Exception):
    """The error of a call. ``str(error)`` is the message for the user."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str, *details: Message) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason
        self._details = (ErrorInfo(reason=reason, domain=DOMAIN), *details)

    def status(self) -> grpc.Status:
        """Return the status for the client."""
        status = Status(code=self.code.value[0], message=str(self))
        for detail in self._details:
            packed = Any()
            packed.Pack(detail)
            status.details.append(packed)
        return rpc_status.to_status(status)


def invalid_request(problems: Mapping[str, str]) -> StatusError:
    """Return the error of a request with invalid fields; ``problems`` is by field name."""
    violations = [
        BadRequest.FieldViolation(field=field, description=problem) for field, problem in problems.items()
    ]
    message = " ".join(dict.fromkeys(problems.values()))
    return StatusError(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", message, BadRequest(field_violations=violations)
    )


def not_in_sync() -> StatusError:
    """Return the error of every call before the initial sync is complete."""
    return StatusError(grpc.StatusCode.UNAVAILABLE, "NOT_IN_SYNC", NOT_IN_SYNC)


def stopping() -> StatusError:
    """Return the error of every stream while the server stops."""
    return StatusError(grpc.StatusCode.UNAVAILABLE, "STOPPING", STOPPING)


def not_found(reason: str, message: str) -> StatusError:
    """Return the error of a call for an object that does not exist."""
    return StatusError(grpc.StatusCode.NOT_FOUND, reason, message)
