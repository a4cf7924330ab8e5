"""Plans in processes of their own: a deadline on the answer is a deadline on the work.

A plan of a large fleet takes seconds of computing, and Python cannot stop a thread. So each plan is computed
by a child process (``plan_worker``), which is killed when its caller cancels, when its deadline passes and
when the plugin stops. If the plugin is killed, the child exits because its standard input ends. One plan is
computed at a time; some more may wait, and further ones are refused."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
import msgspec

from towpath.plan.proposal import Proposal
from towpath.proto.v1alpha1 import planner_pb2 as pb
from towpath.rpc.errors import StatusError, invalid_request

MAX_WAITING = 4
"""Plans that wait while another is computed."""
_WORKER = (sys.executable, "-m", "towpath.rpc.plan_worker")
LENGTH_BYTES = 8
"""Size of the number in front of the input: standard input stays open behind it."""


class PlanInput(msgspec.Struct):
    """What a plan is computed from. ``live`` are the objects of Karmada, ``resolved`` addresses by gateway
    name."""

    live: Sequence[Mapping[str, Any]]
    proposals: Sequence[Proposal]
    namespace: str
    resolved: Mapping[str, str]
    now: float


class PlanOutput(msgspec.Struct):
    """The plan as an encoded PlanResponse, or the invalid field and what is wrong with it."""

    plan: bytes = b""
    field: str = ""
    problem: str = ""


class PlanProcesses:
    """Runs plans one after another."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._number = 0
        self._worker: Process | None = None

    async def run(self, read: Callable[[], Awaitable[PlanInput]]) -> pb.PlanResponse:
        """Read the input when it is this plan's turn, and return the plan. Raises StatusError."""
        if self._number > MAX_WAITING:
            message = f"{self._number} plans are in progress or waiting. Try again later."
            raise StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_PLANS", message)
        self._number += 1
        try:
            async with self._turn:
                output = await self._compute(msgspec.msgpack.encode(await read()))
        finally:
            self._number -= 1
        if output.field:
            raise invalid_request({output.field: output.problem})
        return pb.PlanResponse.FromString(output.plan)

    async def stop(self) -> None:
        """End the plan that is being computed."""
        if self._worker is not None:
            await _kill(self._worker)

    async def _compute(self, encoded: bytes) -> PlanOutput:
        """Return the output of a child process. It is killed if this is cancelled."""
        self._worker = worker = await asyncio.create_subprocess_exec(
            *_WORKER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert worker.stdin is not None  # noqa: S101 - it is a pipe
        assert worker.stdout is not None  # noqa: S101 - it is a pipe
        try:
            worker.stdin.write(len(encoded).to_bytes(LENGTH_BYTES) + encoded)
            output = await worker.stdout.read()
            status = await worker.wait()
        finally:
            await _kill(worker)
            worker.stdin.close()
            self._worker = None
        if status != 0:
            raise RuntimeError(f"the plan worker exited with status {status}")
        return msgspec.msgpack.decode(output, type=PlanOutput)


async def _kill(worker: Process) -> None:
    if worker.returncode is None:
        worker.kill()
        await worker.wait()
