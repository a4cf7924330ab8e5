"""How long Towpath takes to start out of its image, as a container of it would, without the node's part.

    make bench BENCH=start [OUT=file.json] [ARGS="--rounds 5"]

The layers of the image are unpacked, and its programs run with that folder as their root: the command that
prints its version, the webhook until it answers, and the plugin until it is ready, with the objects of a
small fleet (``synthetic``) to read. The first round, which fills the cache of files, does not count. Needs
root.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.bench.process import child
from tests.bench.report import Goal, machine, machine_line
from tests.support.certificates import HOSTS, authority, identity, written
from tests.support.image import opened
from tests.support.kubeconfig import kubeconfig
from towpath.cli.running import run
from towpath.local.image import build_image
from towpath.local.nodes import packages
from towpath.local.ports import free_ports
from towpath.polling import until

START_GOAL = 1.5
PATIENCE = 60.0
_FLEET = ("--clusters=3", "--services=20", "--exports=10", "--exporters=2")


@dataclass(frozen=True)
class Unpacked:
    """The files of the image, and the environment that it gives to a container."""

    root: Path
    environment: Mapping[str, str]

    async def started(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start Towpath with arguments."""
        return await asyncio.create_subprocess_exec(
            *(str(packages.find("chroot")), str(self.root), "/opt/towpath/bin/towpath", *arguments),
            env=self.environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )


async def _until_ready(image: Unpacked, session: aiohttp.ClientSession, *arguments: str) -> float:
    """Run a process of the image, and return after how many seconds it is ready."""
    health = f"127.0.0.1:{free_ports(1)[0]}"

    async def ready() -> bool:
        try:
            async with session.get(f"http://{health}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    began = time.perf_counter()
    process = await image.started(*arguments, f"--health={health}")
    try:
        await until(ready, bool, patience=PATIENCE, otherwise=lambda _: AssertionError(f"{arguments}"))
        return time.perf_counter() - began
    finally:
        process.terminate()
        await process.wait()


async def measure(archive: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each start by what is started."""
    found = defaultdict[str, list[float]](list)
    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="towpath-bench-")))
        with opened(archive) as content:
            content.unpack(root)
            pairs = (pair.partition("=") for pair in content.config["config"]["Env"])
            image = Unpacked(root, {name: value for name, _, value in pairs})
        synthetic = await stack.enter_async_context(
            child("tests.bench.synthetic", *_FLEET, stdout=asyncio.subprocess.PIPE)
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        assert synthetic.stdout is not None
        kubeconfig(root / "tmp", f"http://127.0.0.1:{int(await synthetic.stdout.readline())}")
        made = authority("bench")
        written(root / "tmp" / "tls", identity(made, "webhook", serves=HOSTS), made)
        webhook = ("serve", "webhook", "--tls-cert=/tmp/tls/tls.crt", "--tls-key=/tmp/tls/tls.key")
        for _ in range(rounds + 1):
            began = time.perf_counter()
            assert await (await image.started("--version")).wait() == 0
            found["version"].append(time.perf_counter() - began)
            port = f"--port={free_ports(1)[0]}"
            found["webhook"].append(await _until_ready(image, session, *webhook, port, "--drain=0"))
            plugin = ("serve", "plugin", "--kubeconfig=/tmp/config")
            found["plugin"].append(await _until_ready(image, session, *plugin))
    return {name: seconds[1:] for name, seconds in found.items()}


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.start", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    where = machine()
    found = run(measure(build_image(print), given.rounds))
    goals = [
        Goal(f"start, {name}, p50", START_GOAL, statistics.median(of), " s") for name, of in found.items()
    ]
    print(*goals, machine_line(where), sep="\n")
    if given.out:
        document = {"bench": "start", "machine": where, **found, "goals": [goal.dump() for goal in goals]}
        given.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
