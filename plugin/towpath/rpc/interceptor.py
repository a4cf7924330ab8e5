"""The interceptor of every call: it sets a deadline and a limit, and turns exceptions into statuses.

Clients that show one certificate are one client, over any number of connections. Its calls are limited, so
that it leaves some to the others: without the plugin the webhook cannot tell who has a path.

A ``StatusError`` goes to the client with its details. Any other exception is a defect of the plugin: it is
logged with its traceback, and the client receives INTERNAL without it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

import grpc
import structlog
from grpc.aio import ServerInterceptor, ServicerContext

from towpath.rpc.errors import StatusError

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = ServicerContext[Any, Any]
MAX_CALLS_OF_CLIENT = 500
"""Concurrent calls and streams of one client."""
CALL_SECONDS = 30.0
"""Deadline of a call that is not a stream. The handler is cancelled then."""

log = structlog.get_logger()


class Interceptor(ServerInterceptor):
    """Wraps every handler."""

    def __init__(self) -> None:
        self._calls = Counter[str]()

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Request, Response] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        """Return the wrapped handler of a method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        serialization = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            respond = cast("Callable[[Request, Context], Awaitable[Response]]", handler.unary_unary)
            unary: Any = _unary(method, respond, self._limited)
            return grpc.unary_unary_rpc_method_handler(unary, *serialization)
        if handler.unary_stream is not None:
            watch = cast("Callable[[Request, Context], AsyncIterator[Response]]", handler.unary_stream)
            stream: Any = _stream(method, watch, self._limited)
            return grpc.unary_stream_rpc_method_handler(stream, *serialization)
        if handler.stream_stream is not None:
            converse = cast(
                "Callable[[AsyncIterator[Request], Context], AsyncIterator[Response]]", handler.stream_stream
            )
            streams: Any = _stream(method, converse, self._limited)
            return grpc.stream_stream_rpc_method_handler(streams, *serialization)
        return handler

    @contextmanager
    def _limited(self, context: Context) -> Iterator[None]:
        """Count a call of a client. Raises StatusError if it has too many."""
        client = client_of(context)
        if client and self._calls[client] >= MAX_CALLS_OF_CLIENT:
            message = f"The client has {MAX_CALLS_OF_CLIENT} calls already. End some."
            raise StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", message)
        self._calls[client] += 1
        try:
            yield
        finally:
            self._calls[client] -= 1
            if not self._calls[client]:
                del self._calls[client]


def client_of(context: Context) -> str:
    """Return what tells clients apart; empty on the unix socket, which only the plugin's own user reaches."""
    if context.peer().startswith("unix:"):
        return ""
    return str(context.auth_context().get("x509_pem_cert") or context.peer())


_Limit = Callable[[Context], AbstractContextManager[None]]


def _unary(
    method: str, respond: Callable[[Request, Context], Awaitable[Response]], limited: _Limit
) -> Callable[[Request, Context], Awaitable[Response]]:
    async def wrapped(request: Request, context: Context) -> Response:
        async with _abort_on_error(method, context):
            try:
                with limited(context):
                    async with asyncio.timeout(CALL_SECONDS):
                        return await respond(request, context)
            except TimeoutError:
                message = f"The call took longer than {CALL_SECONDS:g} s. Send a smaller request."
                raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW", message) from None

    return wrapped


def _stream(
    method: str, respond: Callable[[Request, Context], AsyncIterator[Response]], limited: _Limit
) -> Callable[[Request, Context], AsyncIterator[Response]]:
    async def wrapped(request: Request, context: Context) -> AsyncIterator[Response]:
        async with _abort_on_error(method, context):
            with limited(context):
                async for response in respond(request, context):
                    yield response

    return wrapped


@asynccontextmanager
async def _abort_on_error(method: str, context: Context) -> AsyncIterator[None]:
    """Send the status of an exception in the block to the client."""
    try:
        yield
    except (grpc.aio.AbortError, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as error:
        status = status_error(error, method).status()
    else:
        return
    await context.abort(status.code, status.details, status.trailing_metadata)


def status_error(error: Exception, method: str) -> StatusError:
    """Return an exception as the client receives it. An unexpected one is logged."""
    if isinstance(error, StatusError):
        return error
    log.error("unhandled exception", method=method, exc_info=error)
    message = "Internal error. The log of the plugin has the details."
    return StatusError(grpc.StatusCode.INTERNAL, "BUG", message)
