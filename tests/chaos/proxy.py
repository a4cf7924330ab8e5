"""A proxy in front of an apiserver that misbehaves on demand.

It passes everything through as the user of a kubeconfig, and has a kubeconfig of its own for the client to
be fooled. While a ``Fault`` is set, a share of the requests that it is about meets it; which ones is drawn
from a seed. What was done is counted, so that a test can tell that its fault took place.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from towpath.karmada.client import Resource
from towpath.local.ports import free_ports
from towpath.local.spec import Environment

_HOP = {"Connection", "Transfer-Encoding", "Content-Length", "Host", "Keep-Alive"}


class Act(StrEnum):
    """What a request meets."""

    GONE = "410 Gone"
    BUSY = "429 Too Many Requests"
    BROKEN = "500 Internal Server Error"
    LOST = "carried out, but answered 500"
    GARBAGE = "200 with a page of HTML"
    CUT = "carried out, and the connection cut"
    HANG = "no answer at all"
    EMPTY = "an empty list"


class Sort(StrEnum):
    """What a request is about."""

    LIST = "list"
    WATCH = "watch"
    WRITE = "write"
    OTHER = "other"


ALL = frozenset(Sort)
READS = frozenset({Sort.LIST, Sort.WATCH})
_STATUS = {Act.GONE: 410, Act.BUSY: 429, Act.BROKEN: 500, Act.LOST: 500}


@dataclass(frozen=True)
class Fault:
    """What a share of the requests of some sorts meets. Without ``kinds`` it is about all."""

    act: Act
    share: float = 1.0
    sorts: frozenset[Sort] = ALL
    kinds: tuple[Resource, ...] = ()

    def is_about(self, sort: Sort, path: str) -> bool:
        return sort in self.sorts and (not self.kinds or any(path == kind.path() for kind in self.kinds))

    def __str__(self) -> str:
        about = " ".join(map(str, self.kinds)) or "everything"
        sorts = "" if self.sorts == ALL else f"{' and '.join(sorted(self.sorts))} of "
        return f"{self.act.value}: {self.share:.0%} of {sorts}{about}"


class Proxy:
    """The running proxy. ``kubeconfig`` leads through it."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession, kubeconfig: Path, seed: int) -> None:
        self.kubeconfig = kubeconfig
        self.done: Counter[Act] = Counter()
        self.passed: Counter[Sort] = Counter()
        """The requests that have come, whatever became of them."""
        self._upstream = upstream
        self._session = session
        self._random = random.Random(seed)
        self._faults: list[Fault] = []
        self._watches: dict[int, web.BaseRequest] = {}
        self._came = asyncio.Event()

    @contextmanager
    def fault(self, *faults: Fault) -> Iterator[None]:
        """Set faults for the time of the block."""
        self._faults += faults
        try:
            yield
        finally:
            for fault in faults:
                self._faults.remove(fault)

    def cut(self) -> int:
        """Cut all open watches off; return how many there were."""
        for request in self._watches.values():
            _abort(request)
        return len(self._watches)

    @property
    def watches(self) -> int:
        """The number of watches that are open."""
        return len(self._watches)

    async def until(self, enough: Callable[[Counter[Sort]], bool], patience: float) -> bool:
        """Wait until enough requests have come; False if that takes too long."""
        try:
            async with asyncio.timeout(patience):
                while not enough(self.passed):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return False
        return True

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: as its fault defines, or as the apiserver does."""
        sort = _sort(request)
        self.passed[sort] += 1
        self._came.set()
        act = self._draw(sort, request.path)
        match act:
            case None:
                return await self._pass(request, sort)
            case Act.HANG:
                await asyncio.Event().wait()
            case Act.EMPTY:
                return await self._empty(request)
            case Act.GARBAGE:
                return web.Response(text="<html>\nSorry\n</html>\n", content_type="text/html")
            case Act.LOST | Act.CUT if sort is not Sort.WATCH:
                async with self._ask(request) as response:
                    await response.read()
        if act is Act.CUT:
            _abort(request)
        return _refusal(_STATUS.get(act, 500), act)

    def _draw(self, sort: Sort, path: str) -> Act | None:
        for fault in self._faults:
            if fault.is_about(sort, path) and self._random.random() < fault.share:
                self.done[fault.act] += 1
                return fault.act
        return None

    @asynccontextmanager
    async def _ask(self, request: web.BaseRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        async with self._session.request(
            request.method,
            self._upstream + request.raw_path,
            headers={**headers, "Accept-Encoding": "identity"},
            data=await request.content.read(),
        ) as response:
            yield response

    async def _pass(self, request: web.BaseRequest, sort: Sort) -> web.StreamResponse:
        try:
            async with self._ask(request) as response:
                headers = {name: value for name, value in response.headers.items() if name not in _HOP}
                if sort is not Sort.WATCH:
                    return web.Response(status=response.status, headers=headers, body=await response.read())
                return await self._stream(request, response, headers)
        except aiohttp.ClientError:
            _abort(request)  # it is not there, or went
            return web.Response()

    async def _stream(
        self, request: web.BaseRequest, response: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        answer = web.StreamResponse(status=response.status, headers=headers)
        await answer.prepare(request)
        self._watches[id(request)] = request
        try:
            async for chunk in response.content.iter_any():
                await answer.write(chunk)
        finally:
            del self._watches[id(request)]
        return answer

    async def _empty(self, request: web.BaseRequest) -> web.Response:
        async with self._ask(request) as response:
            whole = json.loads(await response.read())
        meta = {"resourceVersion": whole["metadata"]["resourceVersion"]}
        return web.json_response({**whole, "metadata": meta, "items": []})


def _sort(request: web.BaseRequest) -> Sort:
    if request.method != "GET":
        return Sort.WRITE
    if request.query.get("watch") == "true":
        return Sort.WATCH
    return Sort.LIST if "limit" in request.query else Sort.OTHER


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _refusal(code: int, act: Act) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": act.value}
    return web.json_response(status, status=code, headers={"Retry-After": "1"} if act is Act.BUSY else None)


def _pem(user: dict[str, str], folder: Path) -> Path:
    """Write a user's certificate and key into one file, as TLS contexts want them."""
    file = folder / "user.pem"
    file.write_bytes(
        b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
    )
    return file


@asynccontextmanager
async def proxying(env: Environment, folder: Path, seed: int = 1) -> AsyncIterator[Proxy]:
    """Run a proxy in front of Karmada's apiserver for the plugin's user."""
    kubeconfig = folder / "proxied.config"
    config = yaml.safe_load(env.plugin.read_text())
    upstream = config["clusters"][0]["cluster"]["server"]
    (port,) = free_ports(1)
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    kubeconfig.write_text(yaml.safe_dump(config))
    outwards = ssl.create_default_context(cafile=str(env.pki / "ca.crt"))
    outwards.load_cert_chain(_pem(config["users"][0]["user"], folder))
    inwards = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    inwards.load_cert_chain(env.pki / "tls.crt", env.pki / "tls.key")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=outwards, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        auto_decompress=False,
        read_bufsize=1 << 20,
    ) as session:
        proxy = Proxy(upstream, session, kubeconfig, seed)
        runner = web.ServerRunner(web.Server(proxy.answer, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=inwards).start()
        try:
            yield proxy
        finally:
            await runner.cleanup()
