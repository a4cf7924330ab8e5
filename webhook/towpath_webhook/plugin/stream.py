"""One gRPC stream to the plugin: questions go as they come, and answers come back in their order.

A call costs more than what is asked, on an open stream a fraction of it. What is asked while a message is on
its way goes together in the next one: the more is asked, the less each costs.

A stream ends as a whole, and with it everything that has no answer yet. It is not opened again: the next
question takes another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

import grpc
import grpc.aio

from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerStub

AT_ONCE, LARGEST = 16, 1 << 20
"""Questions in one message, and bytes after which no more are added: nobody shall wait long for others."""
_ODD = "the plugin answers what it was not asked"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Unanswered(Exception):
    """A question that has no answer. OK: the plugin stopped before, and may be asked again elsewhere."""

    def __init__(self, code: grpc.StatusCode, why: str) -> None:
        super().__init__(why)
        self.code = code


class _Asked:
    """A question, and where its answer goes."""

    __slots__ = ("answer", "question")

    def __init__(self, question: pb.Question) -> None:
        self.question = question
        self.answer: asyncio.Future[pb.Answer] = asyncio.get_running_loop().create_future()


class Stream:
    """An open stream; ``over`` once it has ended."""

    def __init__(self, stub: ReviewerStub) -> None:
        self._call = stub.Review()
        self._unsent: deque[_Asked] = deque()
        self._sent: deque[list[_Asked]] = deque()
        self._more = asyncio.Event()
        self._writing = asyncio.create_task(self._write())
        self._reading = asyncio.create_task(self._read())
        self.over = False

    async def ask(self, question: pb.Question) -> pb.Answer:
        """Return the answer to a question. Raises Unanswered if the stream ends without."""
        asked = _Asked(question)
        self._unsent.append(asked)
        self._more.set()
        answer = await asked.answer
        said = answer.WhichOneof("said")
        if said == "refusal":
            code = _CODES.get(answer.refusal.code, grpc.StatusCode.UNKNOWN)
            raise Unanswered(code, answer.refusal.text)
        if said != question.WhichOneof("asked"):
            raise Unanswered(grpc.StatusCode.INTERNAL, _ODD)
        return answer

    def end(self, code: grpc.StatusCode, why: str) -> None:
        """End the stream: this is what all hear who wait for an answer."""
        if self.over:
            return
        self.over = True
        self._call.cancel()
        self._writing.cancel()
        self._reading.cancel()
        for batch in (*self._sent, self._unsent):
            for asked in batch:
                if not asked.answer.done():
                    asked.answer.set_exception(Unanswered(code, why))

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._unsent:
                batch = [*self._next()]
                if batch:
                    self._sent.append(batch)
                    try:
                        await self._call.write(pb.ReviewRequest(questions=(one.question for one in batch)))
                    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        return  # it has ended: who reads hears why

    def _next(self) -> Iterator[_Asked]:
        """Yield the questions of one message. Those whose asker has gone are left out."""
        size = number = 0
        while self._unsent and number < AT_ONCE and size < LARGEST:
            asked = self._unsent.popleft()
            if not asked.answer.done():
                yield asked
                number += 1
                size += asked.question.ByteSize()

    async def _read(self) -> None:
        try:
            while isinstance(response := await self._call.read(), pb.ReviewResponse):
                batch = self._sent[0] if self._sent else []
                if len(batch) != len(response.answers):
                    self.end(grpc.StatusCode.INTERNAL, _ODD)
                    return
                self._sent.popleft()
                for asked, answer in zip(batch, response.answers, strict=True):
                    if not asked.answer.done():
                        asked.answer.set_result(answer)
            self.end(grpc.StatusCode.OK, "the plugin stops")
        except grpc.aio.AioRpcError as error:
            self.end(error.code(), error.details() or "")
