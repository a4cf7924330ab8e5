"""What a local Karmada costs: the time until all members are Ready, memory, and the time to remove it.

    make bench BENCH=boot [OUT=file.json] [ARGS="--members 5 --no-nodes"]

Boots an environment in a new folder, with the programs there, and takes it down again. Memory is that of all
its processes, pods included: RSS counts what processes share once for each, PSS once in all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

from tests.bench.plane import Say
from tests.bench.report import Goal, machine
from tests.bench.running import Options, finish, main_of
from towpath.local import boot, processes
from towpath.local.build import ensure_binaries
from towpath.local.nodes import packages
from towpath.local.nodes.configuration import cgroup
from towpath.local.spec import Environment

READY_GOAL = 45.0
DOWN_GOAL = 15.0
MEMORY_GOAL = 4 * 1024.0


def _memory(env: Environment) -> tuple[dict[str, float], dict[str, float]]:
    """Return RSS and PSS in MiB, each by what the processes are, whichever member has them."""
    rss: defaultdict[str, float] = defaultdict(float)
    pss: defaultdict[str, float] = defaultdict(float)
    found = {process.pid: (process, name) for name, _, process in processes.marked(env.root)}
    for process in psutil.process_iter():
        if process.pid not in found and _is_pod(env, process):
            found[process.pid] = (process, "pods")
    for process, name in found.values():
        try:
            used = process.memory_full_info()
        except psutil.Error:
            continue  # it ended in the meantime
        part = name
        for member in env.members:
            part = part.removeprefix(f"{member}-") if name.startswith(f"{member}-") else part
        part = f"members' {part}" if part != name else part
        rss[part] += used.rss / 2**20
        pss[part] += used.pss / 2**20
    return rss, pss


def _is_pod(env: Environment, process: psutil.Process) -> bool:
    try:
        groups = Path(f"/proc/{process.pid}/cgroup").read_text()
    except OSError:
        return False
    return any(f":{cgroup(env, member)}/" in groups for member in env.members)


async def measure(options: Options, members: int, say: Say, *, nodes: bool) -> dict[str, Any]:
    """Boot, look at the memory, and take down."""
    document: dict[str, Any] = {"bench": "boot", "machine": machine(), "members": members, "nodes": nodes}
    if nodes:
        packages.install(say)
    binaries = ensure_binaries()
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        root, names = Path(folder, "root"), [f"cluster-{n}" for n in range(1, members + 1)]
        began = time.perf_counter()
        env = await boot.up(root, binaries, names=names, qps=options.qps, nodes=nodes, report=say)
        try:
            ready = time.perf_counter() - began
            rss, pss = _memory(env)
        finally:
            began = time.perf_counter()
            ended = boot.down(root)
            down = time.perf_counter() - began
    document |= {"ready": ready, "down": down, "processes": ended, "rss": rss, "pss": pss}
    goals = [
        Goal("all members Ready", READY_GOAL, ready, " s"),
        Goal("memory, PSS", MEMORY_GOAL, sum(pss.values()), " MiB"),
        Goal("down", DOWN_GOAL, down, " s"),
    ]
    width = max(map(len, rss)) + 2
    print(
        f"{members} members {'with nodes' if nodes else 'without nodes'}, {ended} processes",
        f"{'MiB':<{width}}{'RSS':>9}{'PSS':>9}",
        *(
            f"{part:<{width}}{rss[part]:>9.0f}{pss[part]:>9.0f}"
            for part in sorted(rss, key=lambda part: -rss[part])
        ),
        f"{'all':<{width}}{sum(rss.values()):>9.0f}{sum(pss.values()):>9.0f}",
        *goals,
        sep="\n",
    )
    return {**document, "goals": [goal.dump() for goal in goals]}


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.boot", description=__doc__)
    parser.add_argument("--members", type=int, default=3, help="member clusters")
    parser.add_argument("--no-nodes", action="store_true", help="control planes alone")
    options, given = main_of(parser)
    return finish(options, lambda say: measure(options, given.members, say, nodes=not given.no_nodes))


if __name__ == "__main__":
    sys.exit(main())
