"""The interceptor of every call: it sets a deadline, and turns exceptions into statuses.

A ``StatusError`` goes to the client with its details. Any other exception is a defect of the plugin: it is
logged with its traceback, and the client receives INTERNAL without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import grpc
import structlog
from grpc.aio import ServerInterceptor, ServicerContext

from towpath.rpc.errors import StatusError

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = ServicerContext[Any, Any]
CALL_SECONDS = 30.0
"""Deadline of a call that is not a stream. The handler is cancelled then."""

log = structlog.get_logger()


class Interceptor(ServerInterceptor):
    """Wraps every handler."""

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
            unary: Any = _unary(method, respond)
            return grpc.unary_unary_rpc_method_handler(unary, *serialization)
        if handler.unary_stream is not None:
            watch = cast("Callable[[Request, Context], AsyncIterator[Response]]", handler.unary_stream)
            stream: Any = _stream(method, watch)
            return grpc.unary_stream_rpc_method_handler(stream, *serialization)
        if handler.stream_stream is not None:
            converse = cast(
                "Callable[[AsyncIterator[Request], Context], AsyncIterator[Response]]", handler.stream_stream
            )
            streams: Any = _stream(method, converse)
            return grpc.stream_stream_rpc_method_handler(streams, *serialization)
        return handler


def _unary(
    method: str, respond: Callable[[Request, Context], Awaitable[Response]]
) -> Callable[[Request, Context], Awaitable[Response]]:
    async def wrapped(request: Request, context: Context) -> Response:
        async with _abort_on_error(method, context):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await respond(request, context)
            except TimeoutError:
                message = f"The call took longer than {CALL_SECONDS:g} s. Send a smaller request."
                raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW", message) from None

    return wrapped


def _stream(
    method: str, respond: Callable[[Request, Context], AsyncIterator[Response]]
) -> Callable[[Request, Context], AsyncIterator[Response]]:
    async def wrapped(request: Request, context: Context) -> AsyncIterator[Response]:
        async with _abort_on_error(method, context):
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
