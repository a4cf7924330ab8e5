"""``make chaos [SEED=n]``: the long play on its own Karmada, each fault with its time, and the verdict."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from tests.chaos.play import Length, Play, Say, teller
from tests.chaos.victim import victim
from tests.conftest import MEMBERS, Plane
from tests.e2e.shop import gateways
from towpath.errors import TowpathError
from towpath.karmada.client import Client
from towpath.local import boot
from towpath.local.build import ensure_binaries
from towpath.local.spec import Qps

LONG = Length(services=100, kills=50, outage=60, frozen=40, burst=60, patience=300)
NAMESPACES = ("chaos", "chaos-burst")


async def _play(root: Path, seed: int, length: Length, say: Say) -> None:
    plane = Plane(await boot.up(root, ensure_binaries(), names=MEMBERS, qps=Qps.HIGH))
    say(f"seed {seed}; a Karmada with {len(MEMBERS)} members in {root}")
    for namespace in NAMESPACES:
        plane.kubectl("create", "namespace", namespace)
    async with AsyncExitStack() as stack:
        stack.enter_context(gateways(plane, "10.9.0"))
        karmada, *clients = [
            await stack.enter_async_context(await Client.connect(config, user_agent="towpath-chaos"))
            for config in (plane.karmada, *map(plane.env.kubeconfig, MEMBERS))
        ]
        plugin = await stack.enter_async_context(victim(plane.env, root.parent, seed))
        members = dict(zip(MEMBERS, clients, strict=True))
        drawn = random.Random(seed)
        await Play(plane, karmada, members, plugin, drawn, length, *NAMESPACES, say).run()
        for act, count in sorted(plugin.proxy.done.items()):
            say(f"{count} requests met {act.value}")


def main() -> int:
    """Play; returns 0 if everything was right in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--services", type=int, default=LONG.services)
    parser.add_argument("--kills", type=int, default=LONG.kills)
    given = parser.parse_args()
    length = Length(given.services, given.kills, LONG.outage, LONG.burst, LONG.patience, LONG.frozen)
    say = teller()
    with tempfile.TemporaryDirectory(prefix="towpath-chaos-") as folder:
        root = Path(folder) / "root"
        try:
            asyncio.run(_play(root, given.seed, length, say))
        except (AssertionError, TowpathError) as error:
            say(f"FAILED with seed {given.seed}: {error}")
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            boot.down(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
