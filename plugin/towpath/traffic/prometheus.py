"""A Prometheus, or what has its API: one GET with the query, of which size and time are bounded.

Nothing that it answers is trusted: no redirect is followed, since the token would go along, no compressed
body is unpacked, and what a body says reaches the log only in part and viewers not at all.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from towpath.errors import UsageError
from towpath.rules.reasons import TrafficReason
from towpath.traffic import query
from towpath.traffic.query import WINDOW_SECONDS, Unmeasured
from towpath.traffic.rates import Rates

DEADLINE_SECONDS = 10.0
MAX_ANSWER_BYTES = 8 << 20
"""Two series of 200 to 350 bytes for each pair: 12 000 pairs or more."""
MAX_TOKEN_BYTES = 16 << 10
_OK = 200


class Target(NamedTuple):
    """Where a Prometheus is: the URL before ``/api/v1``, and the label of the member that was scraped."""

    url: str
    cluster_label: str = "cluster"
    token_file: Path | None = None
    ca: Path | None = None


def target(url: str, cluster_label: str, token_file: Path | None, ca: Path | None) -> Target:
    """Return a target as the options name it. Raises UsageError if they cannot be used."""
    if "@" in url:  # first of all, since other messages repeat the URL
        raise UsageError(
            "--prometheus: The URL has a user or a password. Pass a token with --prometheus-token-file."
        )
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or "?" in url or "#" in url or not url.isprintable():
        raise UsageError(
            f"--prometheus: Invalid value {url!r}: must be http://HOST[:PORT][/PATH] or https://..."
        )
    if not query.is_label(cluster_label):
        raise UsageError(
            f"--prometheus-cluster-label: Invalid value {cluster_label!r}: must be the name of a label."
        )
    if parts.scheme == "http" and (token_file or ca):
        raise UsageError(
            "--prometheus-token-file and --prometheus-ca: The URL has no TLS. Pass one with https."
        )
    return Target(url.rstrip("/"), cluster_label, token_file, ca)


class Prometheus:
    """Asks for the rates. Files are read again each time."""

    def __init__(self, at: Target, window_seconds: int = WINDOW_SECONDS) -> None:
        self._target = at
        self._query = query.query(at.cluster_label, window_seconds)

    async def ask(self, members: Collection[str]) -> Rates:
        """Return the rates between members. Raises Unmeasured."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                body = await self._fetch()
        except TimeoutError:
            raise Unmeasured(TrafficReason.UNREACHABLE, "timed out") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Unmeasured(TrafficReason.UNREACHABLE, "unknown certificate") from None
        except (aiohttp.ClientConnectorDNSError, UnicodeError):  # no name in DNS can be like this
            raise Unmeasured(TrafficReason.UNREACHABLE, "unknown host") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unmeasured(TrafficReason.UNREACHABLE, _cause(error), _seen(error)) from None
        # Half a second for the largest answer, in which others have their turns.
        return await asyncio.to_thread(query.rates, body, self._target.cluster_label, members)

    async def _fetch(self) -> bytes:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **self._authorization()}
        connector = aiohttp.TCPConnector(ssl=self._tls(), force_close=True)
        # A new session each time: files may have changed, and a connection is not kept for 15 seconds.
        async with (
            aiohttp.ClientSession(
                connector=connector,
                headers=headers,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.get(
                f"{self._target.url}/api/v1/query", params={"query": self._query}, allow_redirects=False
            ) as answer,
        ):
            body = await _read(answer)
            if answer.status != _OK:
                status = f"HTTP status {answer.status}"
                raise Unmeasured(TrafficReason.REFUSED, status, query.excerpt(body))
            return body

    def _authorization(self) -> dict[str, str]:
        path = self._target.token_file
        if path is None:
            return {}
        try:
            with path.open("rb") as file:
                token = file.read(MAX_TOKEN_BYTES).decode("ascii").strip()
        except OSError as error:
            raise Unmeasured(TrafficReason.BAD_CREDENTIALS, error.strerror or "") from None
        except UnicodeDecodeError:
            token = ""
        if not token or not token.isprintable():
            raise Unmeasured(TrafficReason.BAD_CREDENTIALS, "not a token")
        return {"Authorization": f"Bearer {token}"}

    def _tls(self) -> ssl.SSLContext | bool:
        """Return what to trust: the CA that is given and no other, or what the system trusts."""
        if self._target.ca is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._target.ca))
        except ssl.SSLError:
            raise Unmeasured(TrafficReason.BAD_CREDENTIALS, "not a certificate") from None
        except OSError as error:
            raise Unmeasured(TrafficReason.BAD_CREDENTIALS, error.strerror or "") from None


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Return a body of bounded size. Raises Unmeasured for a larger one."""
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise Unmeasured(TrafficReason.INVALID_ANSWER, f"more than {MAX_ANSWER_BYTES >> 20} MiB")
    return bytes(body)


def _cause(error: Exception) -> str:
    """Return why there is no answer, in words of the operating system: those of asyncio have the address."""
    if not isinstance(error, aiohttp.ClientConnectorError):
        return "not answered as HTTP"
    code = error.os_error.errno
    return os.strerror(code) if code is not None and code > 0 else "not reached"


def _seen(error: Exception) -> str:
    """Return an error for the log, without the request: that has the token."""
    seen = error.message if isinstance(error, aiohttp.ClientResponseError) else repr(error)
    return query.excerpt(seen.encode(errors="replace"))
