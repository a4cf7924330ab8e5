"""A gRPC stream to the plugin: questions are sent as they come, and answers return in the same order.

A gRPC call costs more than its question; a message on an open stream costs a fraction of it. Questions that
arrive while a message is being sent share the next message, so each costs less the more there are.

A stream ends as a whole, with all questions that have no answer yet. It is not opened again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

import grpc
import grpc.aio

from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerStub

MAX_BATCH_QUESTIONS, MAX_BATCH_BYTES = 16, 1 << 20
"""Questions in one message, and bytes after which no more are added: no question waits long for others."""
_MISMATCH = "the answers of the plugin do not match the questions"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class NoAnswer(Exception):
    """A question without an answer. With OK the plugin has stopped, and the question may be asked again."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _Pending:
    """A question that waits for its answer."""

    __slots__ = ("answer", "question")

    def __init__(self, question: pb.Question) -> None:
        self.question = question
        self.answer: asyncio.Future[pb.Answer] = asyncio.get_running_loop().create_future()


class Stream:
    """A stream; ``is_over`` once it has ended."""

    def __init__(self, stub: ReviewerStub) -> None:
        self._call = stub.Review()
        self._unsent: deque[_Pending] = deque()
        self._sent: deque[list[_Pending]] = deque()
        self._more = asyncio.Event()
        self._writing = asyncio.create_task(self._write())
        self._reading = asyncio.create_task(self._read())
        self.is_over = False

    async def ask(self, question: pb.Question) -> pb.Answer:
        """Return the answer to a question. Raises NoAnswer if the stream ends before."""
        pending = _Pending(question)
        self._unsent.append(pending)
        self._more.set()
        answer = await pending.answer
        kind = answer.WhichOneof("said")
        if kind == "refusal":
            code = _CODES.get(answer.refusal.code, grpc.StatusCode.UNKNOWN)
            raise NoAnswer(code, answer.refusal.text)
        if kind != question.WhichOneof("asked"):
            raise NoAnswer(grpc.StatusCode.INTERNAL, _MISMATCH)
        return answer

    def end(self, code: grpc.StatusCode, reason: str) -> None:
        """End the stream; pending questions fail with this code and reason."""
        if self.is_over:
            return
        self.is_over = True
        self._call.cancel()
        self._writing.cancel()
        self._reading.cancel()
        for batch in (*self._sent, self._unsent):
            for pending in batch:
                if not pending.answer.done():
                    pending.answer.set_exception(NoAnswer(code, reason))

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._unsent:
                batch = [*self._next_batch()]
                if batch:
                    self._sent.append(batch)
                    try:
                        await self._call.write(
                            pb.ReviewRequest(questions=(pending.question for pending in batch))
                        )
                    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        return  # the stream has ended: the reader gets the reason

    def _next_batch(self) -> Iterator[_Pending]:
        """Yield the questions of one message, without those that nobody waits for."""
        size = number = 0
        while self._unsent and number < MAX_BATCH_QUESTIONS and size < MAX_BATCH_BYTES:
            pending = self._unsent.popleft()
            if not pending.answer.done():
                yield pending
                number += 1
                size += pending.question.ByteSize()

    async def _read(self) -> None:
        try:
            while isinstance(response := await self._call.read(), pb.ReviewResponse):
                batch = self._sent[0] if self._sent else []
                if len(batch) != len(response.answers):
                    self.end(grpc.StatusCode.INTERNAL, _MISMATCH)
                    return
                self._sent.popleft()
                for pending, answer in zip(batch, response.answers, strict=True):
                    if not pending.answer.done():
                        pending.answer.set_result(answer)
            self.end(grpc.StatusCode.OK, "the plugin is shutting down")
        except grpc.aio.AioRpcError as error:
            self.end(error.code(), error.details() or "")
