"""Who may see the page: who knows the token, or whose certificate is signed by the CA of the clients.

A program sends the token as ``Authorization: Bearer``. A browser exchanges it for a cookie, which holds no
more than a time and a signature over it, made with the token: no session is stored, every replica accepts it,
and a new token ends every session.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog
from aiohttp import web

from towpath.errors import UsageError

log = structlog.get_logger()
COOKIE = "towpath_page"
SESSION_SECONDS = 12 * 3600
MIN_TOKEN_CHARACTERS = 16
_PURPOSE = b"towpath page session until "


class Access(Protocol):
    """Decides about requests."""

    def allows(self, request: web.Request) -> bool:
        """Return whether a request is answered. It is asked again while a stream goes on."""

    def session(self, token: str) -> str | None:
        """Return the cookie for a token, None if the token is wrong."""


class Everyone(NamedTuple):
    """Allows what the server lets through: with mutual TLS, clients that have a certificate."""

    def allows(self, request: web.Request) -> bool:
        """Return True."""
        return True

    def session(self, token: str) -> str | None:
        """Return None: no session is needed."""
        return None


class LocalOnly(Everyone):
    """Allows requests to a loopback address. A foreign page whose host name points there is refused."""

    def allows(self, request: web.Request) -> bool:
        """Return whether the request names a loopback host."""
        return is_loopback(request.url.host or "")


class Token:
    """The token in a file, which is read again when it changes. Raises UsageError if it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = _version(path)
        self._token = _read(path)

    def allows(self, request: web.Request) -> bool:
        """Return whether a request carries the token, or the cookie that was given for it."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(given.strip())
        return self._is_session(request.cookies.get(COOKIE, ""))

    def session(self, token: str) -> str | None:
        """Return a cookie if this is the token."""
        if not self._is_token(token):
            return None
        until = str(int(time.time()) + SESSION_SECONDS)
        return f"{until}.{self._signature(until)}"

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._present())

    def _is_session(self, cookie: str) -> bool:
        until, _, signature = cookie.partition(".")
        is_signed = hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(until).encode())
        return is_signed and until.isascii() and until.isdecimal() and time.time() < int(until)

    def _signature(self, until: str) -> str:
        message = _PURPOSE + until.encode("utf-8", "replace")
        return hmac.new(self._present(), message, hashlib.sha256).hexdigest()

    def _present(self) -> bytes:
        """Return the token; the previous one while the file cannot be used."""
        try:
            version = _version(self._path)
            if version != self._version:
                self._version = version
                self._token = _read(self._path)
                log.info("token reloaded", file=str(self._path))
        except UsageError as error:
            log.warning("token not reloaded", reason=str(error))
        return self._token


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when the file is written or replaced; None while there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> bytes:
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from None
    if len(token) < MIN_TOKEN_CHARACTERS or not token.isascii():
        raise UsageError(
            f"{path}: The token has fewer than {MIN_TOKEN_CHARACTERS} characters, or some that are not "
            f"ASCII. Write one with `openssl rand -hex 32`."
        )
    return token
