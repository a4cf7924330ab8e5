"""Peers of other versions: what an older one would send and see, and what a newer one might.

``base.binpb`` is the contract that must not be broken. An older peer knows its fields alone: it passes on a
message as read by that contract, without unknown fields. A newer peer sends fields that are unknown here, in
every message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from tests.support.checkout import TOP
from towpath.proto.v1alpha1 import reviewer_pb2 as pb

REVIEW = "/towpath.proto.v1alpha1.Reviewer/Review"
_UNKNOWN = b"\x82\x7d\x01x"
"""Field 2000, with one byte: no message has it."""
Skew = Callable[[Message], bytes]


def _base() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString((TOP / "proto" / "base.binpb").read_bytes())
    for file in files.file:
        pool.Add(file)
    return pool


_BASE = _base()


def older(message: Message) -> bytes:
    """Return what a peer of the base contract makes of a message."""
    known = message_factory.GetMessageClass(_BASE.FindMessageTypeByName(message.DESCRIPTOR.full_name))
    read = known.FromString(message.SerializeToString())
    read.DiscardUnknownFields()
    return read.SerializeToString()


def newer(message: Message) -> bytes:
    """Return a message as a peer of a later contract might send it."""
    for part in _parts(message):
        part.MergeFromString(_UNKNOWN)
    return message.SerializeToString()


def _parts(message: Message) -> Iterator[Message]:
    """Yield a message and all that are in it."""
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if field.is_repeated else [value]:
            yield from _parts(part)
    yield message


@asynccontextmanager
async def skewed(target: str, path: Path, sends: Skew, answers: Skew) -> AsyncIterator[str]:
    """Give the address of a plugin whose questions and answers pass through peers of other versions."""

    async def review(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async def asked() -> AsyncIterator[bytes]:
            async for request in requests:
                yield sends(pb.ReviewRequest.FromString(request))

        async with grpc.aio.insecure_channel(target) as channel:
            method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(REVIEW)
            async for response in method(asked()):
                yield answers(pb.ReviewResponse.FromString(response))

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(review)
    service, _, method = REVIEW[1:].partition("/")
    passing = grpc.aio.server()
    passing.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    passing.add_insecure_port(f"unix:{path}")
    await passing.start()
    try:
        yield f"unix:{path}"
    finally:
        await passing.stop(None)
