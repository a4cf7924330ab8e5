"""Connections to one apiserver whose credentials may change at any time.

Credentials are read again when one of the files behind them changes (kubeconfig, token, certificate, key,
CA), shortly before they expire, and when the apiserver answers 401. A new token is used by the next request
on the same connections; a new certificate or CA gets connections of its own, and the old ones are closed when
their last request or watch has ended. Credentials that cannot be read leave the present ones in use.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from towpath.errors import Unreachable
from towpath.karmada import expiry
from towpath.karmada.access import Access
from towpath.karmada.login import Login, Source, fingerprint, read_login

if TYPE_CHECKING:
    import aiohttp

log = structlog.get_logger()
KEEP_ALIVE_SECONDS = 75.0
"""How long an idle connection is kept: a write after a quiet minute needs no new handshake, which costs as
much as the write. The apiserver closes after 90 s."""
_BUFFER_BYTES = 2 << 20
"""Bytes of one answer that may wait to be read: an event can be larger than aiohttp's default."""
_CHECK_SECONDS = 1.0
"""How often files are looked at, at most."""


@dataclass
class Connection:
    """One connection pool with the credentials that it uses."""

    session: aiohttp.ClientSession
    access: Access
    users: int = 0
    is_retired: bool = field(default=False)

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()


class Connections:
    """The present connection, and those that are still in use with former credentials."""

    def __init__(self, source: Source, user_agent: str, pool: int) -> None:
        self._source, self._user_agent, self._pool = source, user_agent, pool
        self._lock = asyncio.Lock()
        self._current: Connection | None = None
        self._login: Login | None = None
        self._checked_at = 0.0
        self._complaint = ""

    async def open(self) -> None:
        """Read the credentials for the first time. Raises Unreachable if that is impossible."""
        await self._use(await read_login(self._source))

    async def close(self) -> None:
        """Close the present connections."""
        if self._current is not None:
            await self._current.close()

    @property
    def where(self) -> str:
        """The apiserver and the source of the credentials, for messages."""
        return f"{self._access.server} ({self._source.kubeconfig or 'in-cluster'})"

    @property
    def expires(self) -> float | None:
        """The Unix time at which the present credentials expire, None if they do not say it."""
        if self._login is None:
            return None
        return expiry.of_token(self._access.token) or expiry.of_certificate(self._access.certificate)

    @property
    def cluster(self) -> dict[str, Any]:
        """The cluster entry of a kubeconfig for this apiserver."""
        access = self._access
        entry: dict[str, Any] = {"server": access.server}
        if access.ca:
            entry["certificate-authority-data"] = base64.b64encode(access.ca).decode()
        if not access.is_verified:
            entry["insecure-skip-tls-verify"] = True
        if access.server_name:
            entry["tls-server-name"] = access.server_name
        return entry

    @property
    def _access(self) -> Access:
        assert self._login is not None, "open() comes first"  # noqa: S101
        return self._login.access

    @property
    def present(self) -> Connection:
        """The connection with the present credentials."""
        assert self._current is not None, "open() comes first"  # noqa: S101
        return self._current

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Connection]:
        """Give the present connection for one request or watch."""
        await self._check()
        used = self.present
        used.users += 1
        try:
            yield used
        finally:
            used.users -= 1
            if used.is_retired and not used.users:
                await used.close()

    async def renew(self, refused: str) -> bool:
        """Read the credentials again because a token or certificate was refused; return whether it helps.

        ``refused`` is what ``credential`` returned before the request.
        """
        async with self._lock:
            if self.credential == refused:
                await self._reload()
            return self.credential != refused

    @property
    def credential(self) -> str:
        """What tells the present credentials from former ones."""
        login = self._login
        return "" if login is None else f"{login.access.authorization} {hash(login.access.channel)}"

    async def _check(self) -> None:
        """Read the credentials again if their files have changed or they are about to expire."""
        login = self._login
        now = time.monotonic()
        if login is None or (now - self._checked_at < _CHECK_SECONDS and time.time() < login.renew_at):
            return
        async with self._lock:
            if self._login is not login or now < self._checked_at:
                return
            self._checked_at = now
            if time.time() >= login.renew_at or fingerprint(login.files) != login.seen:
                await self._reload()

    async def _reload(self) -> None:
        try:
            fresh = await read_login(self._source)
            changed = self._login is None or fresh.access != self._login.access
            await self._use(fresh)
        except (Unreachable, OSError, ValueError) as error:  # half written, say: the next look tells
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("credentials not read again", error=self._complaint)
            return
        self._complaint = ""
        if changed:
            log.info("credentials read again", source=str(self._source))

    async def _use(self, login: Login) -> None:
        """Use other credentials from now on."""
        former = self._current
        if former is not None and former.access.channel == login.access.channel:
            former.access, self._login = login.access, login
            return
        self._current = _connection(login.access, self._user_agent, self._pool)
        self._login = login
        if former is not None:
            former.is_retired = True
            if not former.users:
                await former.close()


def _connection(access: Access, user_agent: str, pool: int) -> Connection:
    """Return a pool of connections. Raises Unreachable if the certificates cannot be used."""
    import aiohttp

    try:
        tls = access.tls()
    except (OSError, ValueError) as error:  # certificates that do not fit, and what else OpenSSL finds
        raise Unreachable(f"{access.server}: The certificate cannot be used: {error}") from error
    connector = aiohttp.TCPConnector(limit=pool, ssl=tls, keepalive_timeout=KEEP_ALIVE_SECONDS)
    session = aiohttp.ClientSession(
        connector=connector, headers={"User-Agent": user_agent}, read_bufsize=_BUFFER_BYTES
    )
    return Connection(session, access)
