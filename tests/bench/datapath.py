"""What a request through the data path costs, next to a static Envoy written by hand for the same job.

    make bench BENCH=datapath [OUT=file.json] [ARGS="--seconds 2 --rounds 5"]

direct    client to the upstream, an Envoy that answers by itself.
static    through one Envoy that puts a path in front, as static-envoy.yaml has it.
egress    through the Envoy that `towpath serve net` configures.
own path  the same where gateways know the Service by different paths.
gateway   through the member's gateway to the upstream as its pod.

16 connections ask as fast as answers come, and the CPU time of the proxy by the requests is its cost. Times
are those of one connection that asks alone. Rounds go through all rows in turn, and the median counts.

Then on a Karmada (``effective``): an agent in a member with 500 imports of 3 clusters, what it uses and the
time from a change in the member's apiserver to its first effect at a client; and the time from a change in
Karmada, a cluster that is drained and taken back, with the parts of the way.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.bench import effective
from tests.bench.plane import Say, plane
from tests.bench.report import Goal, machine, percentile, summary, table
from tests.bench.running import Options, finish, main_of
from tests.support.envoys import data_path, envoy_binary, loopback
from tests.support.members import export, gateway, imported, key, policy, serving, using

HERE = Path(__file__).parent
CONNECTIONS = 16
PORT = 8080
SERVICES = 500
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
        name: {column: statistics.median(row[column] for row in found) for column in found[0]}
        for name, found in seen.items()
    }


def goals(
    rows: Mapping[str, Mapping[str, float]], scale: Mapping[str, float], parts: Mapping[str, list[float]]
) -> list[Goal]:
    """Return what was to be reached."""
    ratio = rows["egress"]["cpu us"] / rows["static"]["cpu us"]
    added = (rows["egress"]["p50 us"] - rows["direct"]["p50 us"]) / 1000
    return [
        Goal("CPU of a request: egress / static", 1.10, ratio),
        Goal("added time p50", 0.5, added, " ms"),
        Goal(f"agent with {SERVICES} imports", 100, scale["agent MiB"], " MiB"),
        Goal(f"a change among {SERVICES} imports p50", 50, scale["one change p50 ms"], " ms"),
        *(
            Goal(
                f"from Karmada to the client p50, {way}",
                1.0,
                percentile(parts[effective.row(way, effective.PARTS[-1])], 50),
                " s",
            )
            for way in effective.DIRECTIONS
        ),
    ]


def rendered(rows: Mapping[str, Mapping[str, float]], scale: Mapping[str, float]) -> str:
    """Return the costs as text."""
    columns = list(rows["direct"])
    lines = [f"{'':10}" + "".join(f"{column:>12}" for column in columns)]
    lines += [f"{name:10}" + "".join(f"{row[c]:>12.0f}" for c in columns) for name, row in rows.items()]
    lines += ["", f"{SERVICES} imports of 3 clusters:"]
    lines += [f"  {name:20}{value:>9.1f}" for name, value in scale.items()]
    return "\n".join(lines)


async def measure_all(options: Options, seconds: float, say: Say) -> dict[str, Any]:
    """Measure, print and return everything."""
    document: dict[str, Any] = {"bench": "datapath", "machine": machine()}
    rows = await measure(seconds, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        async with plane(options.qps, say) as booted:
            say(f"{SERVICES} imports")
            scale = await effective.many(booted, Path(folder), SERVICES)
            say("from Karmada to the client")
            parts = await effective.chain(booted, Path(folder))
    reached = goals(rows, scale, parts)
    print(rendered(rows, scale), "", table({name: summary(of) for name, of in parts.items()}), "", sep="\n")
    print(*reached, sep="\n")
    figures = {"rows": rows, "scale": scale, "chain": parts, "goals": [goal.dump() for goal in reached]}
    return {**document, **figures}


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.datapath", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    options, given = main_of(parser, rounds=5)
    return finish(options, lambda say: measure_all(options, given.seconds, say))


if __name__ == "__main__":
    sys.exit(main())
