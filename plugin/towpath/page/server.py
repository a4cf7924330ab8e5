"""The HTTP server of the page.

    /                              the page; the form for the token for who has not shown it yet
    /static/...                    style sheet, modules, icon: nothing secret
    /session                       POST {"token": ...} answers with a cookie, DELETE ends it
    /api/picture                   everything that is shown, as JSON
    /api/stream                    the same, and then what changes, as server-sent events
    /api/explain                   the chain of a service (?namespace=...&name=...&dialect=...)

Everything is read-only. The policy of the page lets it load what is served here and nothing else, and run no
script but its modules: a browser enforces that even where the page has a fault. The limits are those of the
number of connections, of viewers, and of the time that a connection may be silent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, cast

import structlog
from aiohttp import web

from towpath.errors import ApiError, NotFound, UsageError
from towpath.page.access import COOKIE, SESSION_SECONDS, Access
from towpath.page.feed import Feed
from towpath.page.files import File, files
from towpath.page.fleet import ServiceId
from towpath.page.frames import frame
from towpath.page.metrics import Metrics
from towpath.page.tls import TlsFiles, Version
from towpath.page.viewer import follow
from towpath.serving.listening import LOGGER, Connections, listen

log = structlog.get_logger()
MAX_VIEWERS = 200
MAX_CONNECTIONS = 600
MAX_BODY_BYTES = 4096
MAX_LINE_BYTES = 4096
"""Length of the request line, and of a header: a cookie of others may be long."""
KEEP_ALIVE_SECONDS = 30.0
GRACE_SECONDS = 1.0
TLS_LOOK_SECONDS = 5.0
"""How often the files of TLS are looked at."""
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Server": "towpath",
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer:
    """Serves at ``address`` (HOST:PORT), as an async context manager. ``port`` is the port in use.

    Raises on entering UsageError if the address or the TLS files cannot be used, SocketUnusable if the server
    cannot listen.
    """

    def __init__(
        self, address: str, feed: Feed, access: Access, metrics: Metrics, tls: TlsFiles | None = None
    ) -> None:
        self.port = 0
        self._address, self._feed, self._access, self._metrics, self._tls = (
            address,
            feed,
            access,
            metrics,
            tls,
        )
        self._files = files()
        self._viewers: set[asyncio.Task[object]] = set()
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_post("/session", self._sign_in)
        app.router.add_delete("/session", self._sign_out)
        app.router.add_get("/api/picture", self._guarded(self._picture), allow_head=False)
        app.router.add_get("/api/stream", self._guarded(self._stream), allow_head=False)
        app.router.add_get("/api/explain", self._guarded(self._explain), allow_head=False)
        app.on_response_prepare.append(self._set_headers)
        app.on_shutdown.append(self._end_streams)
        metrics.viewers.set_function(lambda: len(self._viewers))
        metrics.connected.set_function(lambda: feed.state.source.connected)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,  # a viewer that leaves is forgotten at once
            logger=LOGGER,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=GRACE_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            shutdown_timeout=GRACE_SECONDS,
        )
        self._connections = Connections(self._runner)
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._bound = listen(self._address, "--listen")
        self.port = self._bound.getsockname()[1]
        try:
            await self._runner.setup()
            await self._listen()
        except BaseException:
            self._bound.close()
            raise
        self._reloading = asyncio.create_task(self._reload(self._tls)) if self._tls else None
        log.info("listening", address=self._bound.getsockname()[0], port=self.port, tls=self._tls is not None)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._reloading is not None:
            self._reloading.cancel()
        if self._listener is not None:
            self._listener.close()
        self._bound.close()
        await self._runner.cleanup()

    async def _listen(self) -> None:
        """Accept connections, with what the TLS files hold now. Connections that there are go on."""
        context = self._tls.context() if self._tls else None
        before = self._listener
        # The socket itself stays open: no connection is refused while one listener follows another.
        self._listener = await asyncio.get_running_loop().create_server(
            self._connection,
            sock=self._bound.dup(),
            ssl=context,
            ssl_handshake_timeout=KEEP_ALIVE_SECONDS if context else None,
        )
        if before is not None:
            before.close()

    async def _reload(self, tls: TlsFiles) -> None:
        """Listen anew whenever the TLS files change; files that cannot be used change nothing."""
        seen: Version | str = tls.version
        while True:
            await asyncio.sleep(TLS_LOOK_SECONDS)
            try:
                version = tls.version
                if version != seen:
                    await self._listen()
                    log.info("certificates reloaded", certificate=str(tls.certificate))
                seen = version
            except UsageError as error:
                if str(error) != seen:
                    log.warning("certificates not reloaded", reason=str(error))
                seen = str(error)

    def _connection(self) -> asyncio.Protocol:
        return self._connections.accept(MAX_CONNECTIONS)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self._access.allows(request):
                self._metrics.refusals["unauthorized"].inc()
                message = "Unauthorized. Send the token as Authorization: Bearer TOKEN."
                return _problem(401, message, {"WWW-Authenticate": "Bearer"})
            return await handler(request)

        return guarded

    async def _page(self, request: web.Request) -> web.Response:
        if self._access.allows(request):
            return self._file(request, "index.html")
        return self._file(request, "sign-in.html", 401)

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files or name.endswith(".html"):
            raise web.HTTPNotFound
        return self._file(request, name)

    def _file(self, request: web.Request, name: str, status: int = 200) -> web.Response:
        file: File = self._files[name]
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if status == 200 and request.headers.get("If-None-Match") == file.tag:  # noqa: PLR2004
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, status=status, headers={**headers, "Content-Type": file.type})

    async def _sign_in(self, request: web.Request) -> web.Response:
        # A foreign page can send a form here, and cannot send JSON.
        if request.content_type != "application/json":
            return _problem(415, "Send JSON.")
        try:
            token = (await request.json())["token"]
        except (ValueError, TypeError, KeyError):
            return _problem(400, 'Send {"token": "..."}.')
        cookie = self._access.session(token) if isinstance(token, str) else None
        if cookie is None:
            self._metrics.refusals["unauthorized"].inc()
            return _problem(403, "The token is wrong.")
        response = web.Response(status=204)
        response.set_cookie(
            COOKIE, cookie, max_age=SESSION_SECONDS, httponly=True, samesite="Strict", secure=request.secure
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        response = web.Response(status=204)
        response.del_cookie(COOKIE, httponly=True, samesite="Strict", secure=request.secure)
        return response

    async def _picture(self, _request: web.Request) -> web.Response:
        return web.Response(body=frame(None, self._feed.state), content_type="application/json")

    async def _explain(self, request: web.Request) -> web.Response:
        service = ServiceId(*(request.query.get(field, "") for field in ServiceId._fields))
        try:
            body = await self._feed.explanation(service)
        except NotFound as error:
            return _problem(404, str(error))
        except UsageError as error:
            return _problem(400, str(error))
        except ApiError as error:
            return _problem(503, str(error))
        return web.Response(body=body, content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= MAX_VIEWERS:
            self._metrics.refusals["viewers"].inc()
            return _problem(503, f"{MAX_VIEWERS} browsers follow this page already.", {"Retry-After": "10"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        viewer = cast("asyncio.Task[object]", asyncio.current_task())  # each request has its own
        self._viewers.add(viewer)
        try:
            await response.prepare(request)
            await follow(request, response, self._feed, self._metrics, lambda: self._access.allows(request))
        finally:
            self._viewers.discard(viewer)
        return response

    async def _end_streams(self, _app: web.Application) -> None:
        for viewer in self._viewers:
            viewer.cancel()

    async def _set_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        if request.secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        text=json.dumps({"message": message}),
        content_type="application/json",
        headers=headers,
    )
