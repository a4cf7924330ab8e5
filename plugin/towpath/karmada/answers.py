"""What an apiserver answers: errors as exceptions, and whether it accepts our credentials at all."""

from __future__ import annotations

import json
import os
import ssl
import time

from towpath.errors import ApiError, Conflict, Gone, NotFound

ERROR, UNAUTHORIZED, FORBIDDEN = 400, 401, 403
_KINDS: dict[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Gone}
_REFUSED_SECONDS = 5.0
"""How long every call must have been refused before it is a problem: a role binding takes a moment."""


class Acceptance:
    """Whether the apiserver accepts any call: one that is refused now and then is none of this."""

    def __init__(self) -> None:
        self._refused_since: float | None = None
        self._refusal = ""

    def accepted(self) -> None:
        """Note a call that was neither 401 nor 403."""
        self._refused_since = None

    def refused(self, error: ApiError) -> None:
        """Note a call that was 401 or 403."""
        self._refusal = str(error)
        if self._refused_since is None:
            self._refused_since = time.monotonic()

    @property
    def problem(self) -> str:
        """Why every call is refused; empty if that is not so."""
        if self._refused_since is None or time.monotonic() - self._refused_since < _REFUSED_SECONDS:
            return ""
        return f"The apiserver refuses every call: {self._refusal}"


def short(error: BaseException) -> str:
    """Return the cause in one line: the operating system's words where there are some."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno).lower()
    return (str(cause) or type(error).__name__).splitlines()[0]


def api_error(status: int, body: bytes, action: str) -> ApiError:
    """Return the error of an answer; ``what`` is the request."""
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()[:200] or f"HTTP {status}"
    return _KINDS.get(status, ApiError)(f"{action}: {message}", status)
