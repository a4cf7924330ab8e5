"""What a request through the data path costs, next to a static Envoy written by hand for the same job.

    make bench BENCH=datapath [OUT=file.json] [ARGS="--seconds 2 --rounds 5"]

direct    client to the upstream, an Envoy that answers by itself.
static    through one Envoy that puts a path in front, as static-envoy.yaml has it.
egress    through the Envoy that `towpath serve net` configures.
own path  the same where gateways know the Service by different paths.
gateway   through the member's gateway to the upstream as its pod.

16 connections ask as fast as answers come, and the CPU time of the proxy by the requests is its cost. Times
are those of one connection that asks alone. Rounds go through all rows in turn, and the median counts. The
last part gives an agent's Envoy 500 services of 3 clusters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.bench.report import Goal, machine, machine_line, percentile
from tests.support.envoys import data_path, envoy_binary, loopback
from tests.support.members import export, gateway, imported, key, policy, serving, using
from towpath.datapath.world import World

HERE = Path(__file__).parent
CONNECTIONS = 16
PORT = 8080
SERVICES, CLUSTERS = 500, 3
_ANSWER = '{match: {prefix: "/"}, direct_response: {status: 200, body: {inline_string: "ok"}}}'
_FORWARD = '{match: {prefix: "/"}, route: {cluster: up, prefix_rewrite: /web/}}'
_UPSTREAM = (
    "{name: up, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: up, endpoints: ["
    "{lb_endpoints: [{endpoint: {address: {socket_address: {address: UPSTREAM, port_value: 8080}}}}]}]}}"
)


@asynccontextmanager
async def static(folder: Path, route: str, upstream: str = "") -> AsyncIterator[tuple[str, int]]:
    """Run a static Envoy. Yields its address and process id."""
    folder.mkdir()
    address = loopback()
    text = (HERE / "static-envoy.yaml").read_text().replace("ADDRESS", address).replace("ROUTE", route)
    text = text.replace("CLUSTER", _UPSTREAM.replace("UPSTREAM", upstream) if upstream else "")
    (folder / "envoy.yaml").write_text(text)
    with (folder / "envoy.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            envoy_binary(),
            *("-c", str(folder / "envoy.yaml"), "--concurrency", "1", "--disable-hot-restart"),
            stdout=output,
            stderr=output,
        )
    try:
        await _listening(address)
        yield address, process.pid
    finally:
        process.terminate()
        await process.wait()


async def _listening(address: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, PORT)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def ask(address: str, port: int, path: str, seconds: float, times: list[float] | None = None) -> int:
    """Ask on one connection until the time is over. Returns how often it was answered."""
    reader, writer = await asyncio.open_connection(address, port)
    request = f"GET {path} HTTP/1.1\r\nHost: web.shop\r\n\r\n".encode()
    end = time.perf_counter() + seconds
    count = 0
    while (began := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        await reader.readexactly(2)
        count += 1
        if times is not None:
            times.append(time.perf_counter() - began)
    writer.close()
    return count


async def round_of(where: tuple[str, int, str, int], seconds: float) -> dict[str, float]:
    """Return requests a second, CPU time of a request and the time of a lonely request."""
    address, port, path, pid = where
    process = psutil.Process(pid)
    times: list[float] = []
    await ask(address, port, path, seconds / 4, times)
    before = process.cpu_times()
    counts = await asyncio.gather(*(ask(address, port, path, seconds) for _ in range(CONNECTIONS)))
    after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return {
        "requests/s": sum(counts) / seconds,
        "cpu us": cpu / sum(counts) * 1e6,
        "p50 us": percentile(times, 50) * 1e6,
        "p99 us": percentile(times, 99) * 1e6,
    }


async def measure(seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Return the median of each row."""
    async with AsyncExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
        up, up_pid = await open_.enter_async_context(static(folder / "up", _ANSWER))
        by_hand, pid = await open_.enter_async_context(static(folder / "static", _FORWARD, up))
        rows = {"direct": (up, PORT, "/web/x", up_pid), "static": (by_hand, PORT, "/x", pid)}
        for name, other in (("egress", "/web"), ("own path", "/other")):
            path = await open_.enter_async_context(data_path(folder / name, name, access_log=""))
            gateways = (gateway("c1", up), gateway("c2", "127.99.99.99", path=other))
            # The second one is there for its path only, and has no share in the first row.
            targets = ("c1",) if name == "egress" else (("c1", 1 << 20), ("c2", 1))
            await path.apply(using(key(), imported(*gateways), policy("ActiveActive", *targets)))
            address, _, port = path.listener("shop", "web", 80).rpartition(":")
            assert path.envoy is not None
            rows[name] = (address, int(port), "/x", path.envoy.pid)
        far = await open_.enter_async_context(data_path(folder / "far", "far", access_log=""))
        await far.apply(serving(key(), export(), up, port=PORT))
        assert far.envoy is not None
        rows["gateway"] = (far.address, PORT, "/web/x", far.envoy.pid)
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, where in rows.items():
                seen[name].append(await round_of(where, seconds))
    return {
        name: {column: statistics.median(one[column] for one in found) for column in found[0]}
        for name, found in seen.items()
    }


def fleet(services: int) -> World:
    """Return the world of a member that imports so many services of three clusters."""
    world = World()
    for number in range(services):
        gateways = (gateway(f"c{n}", f"127.99.0.{n + 1}", path=f"/s-{number}") for n in range(CLUSTERS))
        one = key(f"s-{number}", f"n-{number % 50}")
        world = using(one, imported(*gateways), policy("ActiveActive"), world=world)
    return world


async def many(services: int) -> dict[str, float]:
    """Return what so many services cost, and how long a change of one takes to be effective."""
    async with AsyncExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
        path = await open_.enter_async_context(data_path(folder / "many", "many"))
        world = fleet(services)
        began = time.perf_counter()
        await path.apply(world)
        first = time.perf_counter() - began
        times = []
        for turn in range(20):
            one = key(f"s-{turn}", f"n-{turn % 50}")
            changed = using(
                one, world.imports[one], policy("ActiveActive", ("c1", turn + 2), "c2"), world=world
            )
            began = time.perf_counter()
            await path.apply(changed)
            times.append(time.perf_counter() - began)
            world = changed
        assert path.envoy is not None
        return {
            "all at once ms": first * 1000,
            "one change p50 ms": percentile(times, 50) * 1000,
            "one change max ms": max(times) * 1000,
            "Envoy MiB": psutil.Process(path.envoy.pid).memory_info().rss / (1 << 20),
            "this process MiB": psutil.Process().memory_info().rss / (1 << 20),
            "rejections": path.rejections,
        }


def goals(rows: Mapping[str, Mapping[str, float]], scale: Mapping[str, float]) -> list[Goal]:
    """Return what was to be reached."""
    ratio = rows["egress"]["cpu us"] / rows["static"]["cpu us"]
    added = (rows["egress"]["p50 us"] - rows["direct"]["p50 us"]) / 1000
    return [
        Goal("CPU of a request: egress / static", 1.10, ratio),
        Goal("added time p50", 0.5, added, " ms"),
        Goal("a change among 500 services p50", 50, scale["one change p50 ms"], " ms"),
    ]


def told(rows: Mapping[str, Mapping[str, float]], scale: Mapping[str, float]) -> str:
    """Return the result as text."""
    columns = list(rows["direct"])
    lines = [f"{'':10}" + "".join(f"{column:>12}" for column in columns)]
    lines += [f"{name:10}" + "".join(f"{row[c]:>12.0f}" for c in columns) for name, row in rows.items()]
    lines += ["", f"{SERVICES} services of {CLUSTERS} clusters:"]
    lines += [f"  {what:20}{value:>9.1f}" for what, value in scale.items()]
    return "\n".join([*lines, "", *map(str, goals(rows, scale))])


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.datapath", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, help="write everything measured to this file, as JSON")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    where = machine()
    rows = asyncio.run(measure(given.seconds, given.rounds))
    scale = asyncio.run(many(SERVICES))
    print(told(rows, scale))
    if given.out:
        found: dict[str, Any] = {"machine": where, "rows": rows, "scale": scale}
        found["goals"] = [goal.dump() for goal in goals(rows, scale)]
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{machine_line(where)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
