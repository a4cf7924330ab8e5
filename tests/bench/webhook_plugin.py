"""A plugin's gRPC server over a made-up world, for ``tests.bench.webhook``: a process of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.inventories import clusters, exported, knowing
from tests.support.plugins import serving
from towpath.serving import gc_tuning

SERVICES = 100


async def main(socket: Path) -> None:
    members = [f"cluster-{number}" for number in range(3)]
    services = [obj for n in range(SERVICES) for obj in exported(f"svc-{n}", *members)]
    known = knowing(*clusters(*members), *exported("web", *members), *services)
    gc_tuning.collect_rarely()
    gc_tuning.keep()
    async with serving(socket, known):
        print("serving", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
