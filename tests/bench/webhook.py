"""What an answer of the webhook costs, next to the same work in Go in the same run.

    make bench BENCH=webhook [OUT=file.json] [ARGS="--seconds 2 --rounds 5"]

admission       a ServiceExport is updated: decoded, judged by the static rules, answered.
health, status  Karmada's InterpretHealth and AggregateStatus.
... hop         admission and status once more with the plugin to ask: a real gRPC server over a made-up
                world, in a process of its own. The rows without it, with no plugin, show its share.

A Go client asks over TLS 1.3 with kept connections: first as fast as answers come, then 500 times a second,
which gives the times. Answers a second of one core are the answers for which the server's CPU time is enough,
so that they hold on a machine that has other things to do as well. The ``go`` rows are yardstick/main.go, the
same work with Go's standard library alone. Servers run on one core and the client on another, if there are
two; the plugin shares the client's. Rounds go through all rows in turn, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.bench.report import Goal, machine, machine_line
from tests.fuzz.bodies import interpreted
from tests.support.golang import build
from tests.support.reviews import RULE, document, question
from towpath.local import pki
from towpath.local.ports import free_ports
from towpath_webhook.admission.hooks import INTERPRET, VALIDATE_EXPORTS

HERE = Path(__file__).parent
RATE = 500
P99_WITH_HOP = 0.005
SERVER_CORE, CLIENT_CORE = 1, 0

PATIENCE = 10.0
"""Seconds that a server has to start."""


def bodies() -> dict[str, tuple[str, bytes]]:
    """Return the questions: an export of usual size, as kubectl and Karmada leave it behind."""
    rules = [{**RULE, "portNumber": 8080 + n, "path": f"/shop/web/{n}"} for n in range(4)]
    spec = {
        "rules": rules,
        "serviceAccountName": "web",
        "targetClusters": [f"default/default/default/cluster-{n}" for n in range(8)],
        "loadBalancer": "RoundRobinLoadBalancer",
    }
    conditions = [
        {"type": kind, "status": status, "reason": "Seen", "message": "x" * 60, "observedGeneration": 3}
        for kind, status in (("Valid", "True"), ("Conflict", "False"), ("Ready", "True"))
    ]
    metadata: dict[str, Any] = {
        "uid": "0b1c7a52-4a52-4d9c-8f1e-3a4be8a7d9f1",
        "labels": {f"example.test/label-{n}": "some-value" for n in range(8)},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": spec})},
        "managedFields": [{"manager": "kubectl", "fieldsV1": {f"f:{n}": {} for n in range(60)}}] * 2,
    }
    whole = {**document("ServiceExport", spec, **metadata), "status": {"conditions": conditions}}
    changed = {**whole, "spec": {**spec, "sessionSticky": True}}
    reported = [{"clusterName": f"cluster-{n}", "status": whole["status"], "applied": True} for n in range(3)]
    return {
        "admission": (VALIDATE_EXPORTS, question(changed, whole)),
        "health": (INTERPRET, interpreted(whole, "InterpretHealth", "u-1", None)),
        "status": (INTERPRET, interpreted(whole, "AggregateStatus", "u-1", reported)),
    }


def measure(seconds: float, rounds: int, say: Any = print) -> dict[str, dict[str, float]]:
    """Return the median of each row."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        pki.write_pki(folder)
        load, yardstick = (build(HERE / part / "main.go", folder) for part in ("load", "yardstick"))
        asked_of = folder / "plugin.sock"
        stack.enter_context(plugin(asked_of))
        ports = dict(zip(("go", "webhook", "hop"), free_ports(3), strict=True))
        log = stack.enter_context((folder / "log").open("wb"))
        servers = {
            server: stack.enter_context(serving(server, port, folder, yardstick, asked_of, log))
            for server, port in ports.items()
        }
        rows: dict[str, tuple[str, str, str]] = {}
        for kind, (path, body) in bodies().items():
            (folder / kind).write_bytes(body)
            rows |= {f"{kind} {server}": (server, path, kind) for server in ("go", "webhook")}
            if kind != "health":
                rows[f"{kind} hop"] = ("hop", path, kind)
        samples: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}", file=sys.stderr)
            for row, (server, path, kind) in rows.items():
                url = f"https://127.0.0.1:{ports[server]}{path}"
                samples[row].append(asked(load, url, folder, kind, seconds, servers[server]))
        return {
            row: {name: statistics.median(sample[name] for sample in of) for name in of[0]}
            for row, of in samples.items()
        }


def asked(load: Path, url: str, folder: Path, kind: str, seconds: float, server: int) -> dict[str, float]:
    """Ask as fast as answers come, then at a rate."""

    def run(*args: str) -> dict[str, float]:
        done = subprocess.run(
            [
                *on(CLIENT_CORE),
                load,
                f"-url={url}",
                f"-ca={folder / 'ca.crt'}",
                f"-body={folder / kind}",
                f"-pid={server}",
                *args,
            ],
            check=True,
            capture_output=True,
        )
        read: dict[str, float] = json.loads(done.stdout)
        return read

    full = run("-parallel=16", f"-seconds={seconds}")
    steady = run("-parallel=8", f"-rate={RATE}", f"-seconds={seconds}")
    return {"rate": 1 / full["cpu"], "reached": full["rate"], "p50": steady["p50"], "p99": steady["p99"]}


@contextmanager
def serving(server: str, port: int, folder: Path, yardstick: Path, plugins: Path, log: Any) -> Iterator[int]:
    """Run a server on its core until the block ends."""
    files = (folder / "tls.crt", folder / "tls.key")
    if server == "go":
        argv = [yardstick, f"-listen=127.0.0.1:{port}", f"-cert={files[0]}", f"-key={files[1]}"]
    else:
        argv = [sys.executable, "-m", "towpath", "serve", "webhook", f"--port={port}", "--drain=0"]
        argv += [f"--tls-cert={files[0]}", f"--tls-key={files[1]}"]
        argv += [f"--plugin-socket={plugins}"] if server == "hop" else []
    with process(argv, SERVER_CORE, log, GOMAXPROCS="1") as running:
        listening(port)
        yield running.pid


def listening(port: int) -> None:
    """Wait until a server listens."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def plugin(at: Path) -> Iterator[None]:
    """Run a plugin's gRPC server over a made-up world."""
    argv = [sys.executable, "-m", "tests.bench.webhook_plugin", str(at)]
    with process(argv, CLIENT_CORE, subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline(), "the plugin did not start"
        yield


@contextmanager
def process(argv: list[Any], core: int, output: Any, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on one core until the block ends."""
    errors = None if output is subprocess.PIPE else output
    whole = [*on(core), *argv]
    with subprocess.Popen(whole, stdout=output, stderr=errors, env={**os.environ, **env}) as running:
        try:
            yield running
        finally:
            running.terminate()


def on(core: int) -> list[str]:
    """Return the command that pins a program to a core, if there is more than one."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []


def goals(rows: Mapping[str, Mapping[str, float]]) -> list[Goal]:
    """Return the goals. Ratios of Go to the webhook: below 1 the webhook is faster."""
    ratio = {kind: rows[f"{kind} go"]["rate"] / rows[f"{kind} webhook"]["rate"] for kind in bodies()}
    return [
        Goal("admission: answers a second in Go / ours", 1.0, ratio["admission"], "x"),
        Goal("health: answers a second in Go / ours", 1.0, ratio["health"], "x"),
        Goal("status, no plugin: answers a second in Go / ours", 1.0, ratio["status"], "x"),
        Goal("admission with the hop: p99", P99_WITH_HOP * 1000, rows["admission hop"]["p99"] * 1000, " ms"),
        Goal("status with the hop: p99", P99_WITH_HOP * 1000, rows["status hop"]["p99"] * 1000, " ms"),
    ]


def shown(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return the rows as text, and the hop's share of an answer's time on the server's core."""
    width = max(map(len, rows)) + 2
    lines = [
        f"{'':<{width}}{'a core/s':>10}{'to Go':>8}{'reached':>9}{'p50 ms':>9}{'p99 ms':>9}   at {RATE}/s"
    ]
    for row, of in rows.items():
        to_go = of["rate"] / rows[f"{row.split()[0]} go"]["rate"]
        times = f"{of['p50'] * 1000:>9.2f}{of['p99'] * 1000:>9.2f}"
        lines.append(f"{row:<{width}}{of['rate']:>10.0f}{to_go:>7.2f}x{of['reached']:>9.0f}{times}")
    for kind in ("admission", "status"):
        share = 1 - rows[f"{kind} hop"]["rate"] / rows[f"{kind} webhook"]["rate"]
        lines.append(f"the hop takes {share:.0%} of {kind}'s time on the webhook's core")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=webhook")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    before = machine()
    print(machine_line(before))
    rows = measure(options.seconds, options.rounds)
    print(shown(rows))
    reached = goals(rows)
    for goal in reached:
        print(goal)
    if options.out:
        dumped = {"machine": before, "rows": rows, "goals": [goal.dump() for goal in reached]}
        options.out.write_text(json.dumps(dumped, indent=1) + "\n")
    return 0 if all(goal.met for goal in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
