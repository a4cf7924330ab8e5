"""A deadline on the answer is a deadline on the work: plans end with their caller, and are few."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import grpc.aio
import msgspec
import psutil
import pytest

from tests.support.inventories import clusters, exported, knowing
from tests.support.plugins import refusal, server, serving
from tests.support.waiting import until
from towpath.proto.v1alpha1 import planner_pb2 as pb
from towpath.proto.v1alpha1.planner_pb2_grpc import PlannerStub
from towpath.rpc import plan_process
from towpath.rpc.plan_process import LENGTH_BYTES, MAX_WAITING, PlanInput

pytestmark = pytest.mark.timeout(60)
KNOWN = knowing(*clusters("a", "b"), *exported("web", "a", "b"))
NEVER = "import time; time.sleep(600)"


def workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended: also one that another test left as a zombie
            found += [child] if NEVER in child.cmdline() else []
    return found


async def number_of_workers() -> int:
    return len(workers())


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plan_process, "_WORKER", (sys.executable, "-c", NEVER))
    yield
    assert not workers()


async def test_a_plan_ends_with_its_caller(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", KNOWN) as channel:
        call = PlannerStub(channel).Plan(pb.PlanRequest())
        await until(number_of_workers, lambda number: number == 1)
        call.cancel()
        await until(number_of_workers, lambda number: number == 0)


async def test_a_plan_ends_with_its_deadline(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", KNOWN) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await PlannerStub(channel).Plan(pb.PlanRequest(), timeout=1)
        await until(number_of_workers, lambda number: number == 0)


async def test_plans_end_with_the_server(tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
        async with server(KNOWN, tmp_path / "s") as made:
            made.in_sync()
            call = PlannerStub(channel).Plan(pb.PlanRequest())
            await until(number_of_workers, lambda number: number == 1)
        assert not workers()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await call


async def test_plans_are_bounded_in_number(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", KNOWN) as channel:
        stub = PlannerStub(channel)
        calls = [stub.Plan(pb.PlanRequest()) for _ in range(MAX_WAITING + 1)]
        await until(number_of_workers, lambda number: number == 1)
        further = [stub.Plan(pb.PlanRequest()) for _ in range(MAX_WAITING + 1)]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await further[-1]
        calls += further
        assert refusal(caught.value) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_PLANS", {})
        assert len(workers()) == 1
        for call in calls:
            call.cancel()


def test_a_worker_ends_with_its_parent() -> None:
    program = "import time, towpath.rpc.plan_worker as w; w._plan = lambda _: time.sleep(600); w.main()"
    given = msgspec.msgpack.encode(PlanInput([], [], "default", {}, 0.0))
    worker = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.write(len(given).to_bytes(LENGTH_BYTES) + given)
    worker.stdin.flush()
    worker.stdin.close()  # as the kernel does when the parent has gone
    assert worker.wait(20) == 1


def test_the_plugin_does_not_load_what_only_plans_need() -> None:
    """CEL and its terminal tools cost every start 0.15 s of work and 5 MiB."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, towpath.plugin; print(sorted({'cel', 'typer'} & {*sys.modules}))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
