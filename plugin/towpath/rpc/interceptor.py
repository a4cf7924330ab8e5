"""What stands around every call: its deadline, and what becomes of an error.

What a servicer raises as ``Refused`` goes to the client with its details. Anything else is a bug of ours: the
log has it, the client hears no more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import grpc
import structlog
from grpc.aio import ServerInterceptor, ServicerContext

from towpath.rpc.errors import Refused

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = ServicerContext[Any, Any]
LONGEST = 30.0
"""Seconds that a call may take, unless it is a stream."""

log = structlog.get_logger()


class Guard(ServerInterceptor):
    """Wraps every handler."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Request, Response] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        """Return the handler of a method, guarded."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method, serialization = (
            handler_call_details.method,
            (
                handler.request_deserializer,
                handler.response_serializer,
            ),
        )
        if handler.unary_unary is not None:
            answer = cast("Callable[[Request, Context], Awaitable[Response]]", handler.unary_unary)
            unary: Any = _unary(method, answer)
            return grpc.unary_unary_rpc_method_handler(unary, *serialization)
        if handler.unary_stream is not None:
            follow = cast("Callable[[Request, Context], AsyncIterator[Response]]", handler.unary_stream)
            stream: Any = _stream(method, follow)
            return grpc.unary_stream_rpc_method_handler(stream, *serialization)
        if handler.stream_stream is not None:
            converse = cast(
                "Callable[[AsyncIterator[Request], Context], AsyncIterator[Response]]", handler.stream_stream
            )
            streams: Any = _stream(method, converse)
            return grpc.stream_stream_rpc_method_handler(streams, *serialization)
        return handler


def _unary(
    method: str, answer: Callable[[Request, Context], Awaitable[Response]]
) -> Callable[[Request, Context], Awaitable[Response]]:
    async def guarded(request: Request, context: Context) -> Response:
        async with _told(method, context):
            try:
                async with asyncio.timeout(LONGEST):
                    return await answer(request, context)
            except TimeoutError:
                raise Refused(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    "TOO_SLOW",
                    f"this took the plugin longer than {LONGEST:g} s",
                ) from None

    return guarded


def _stream(
    method: str, follow: Callable[[Request, Context], AsyncIterator[Response]]
) -> Callable[[Request, Context], AsyncIterator[Response]]:
    async def guarded(request: Request, context: Context) -> AsyncIterator[Response]:
        async with _told(method, context):
            async for response in follow(request, context):
                yield response

    return guarded


@asynccontextmanager
async def _told(method: str, context: Context) -> AsyncIterator[None]:
    """Tell the client what the block fails with."""
    try:
        yield
    except (grpc.aio.AbortError, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as error:
        status = refusal_of(error, method).status()
    else:
        return
    await context.abort(status.code, status.details, status.trailing_metadata)


def refusal_of(error: Exception, method: str) -> Refused:
    """Return what a client hears of an error. The log has what was not meant for it."""
    if isinstance(error, Refused):
        return error
    log.error("a bug of ours", method=method, exc_info=error)
    return Refused(grpc.StatusCode.INTERNAL, "BUG", "internal error: the plugin's log has it")
