"""A short chaos on the run's Karmada. ``make chaos`` plays the long one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.chaos.play import Length, Play, teller
from tests.chaos.victim import victim
from tests.conftest import Plane
from tests.e2e.shop import gateways
from tests.support.waiting import until
from towpath.karmada.client import Client

SEED = 5
SHORT = Length(services=20, kills=8, outage=3, burst=24, patience=300)


async def clusters_are_discovered(plane: Plane) -> bool:
    found = await asyncio.to_thread(plane.kubectl, "get", "clusters.cluster.karmada.io", check=False)
    return found.returncode == 0


@pytest.mark.timeout(900)
async def test_same_end_state_after_kills_outages_and_lies(
    plane: Plane, namespace: str, karmada: Client, members: dict[str, Client], tmp_path: Path
) -> None:
    burst = f"{namespace}-b"
    plane.kubectl("create", "namespace", burst)
    with gateways(plane, "10.7.0"):
        async with victim(plane.env, tmp_path, SEED) as plugin:
            random = Random(SEED)
            play = Play(plane, karmada, members, plugin, random, SHORT, namespace, burst, teller())
            await play.run()
            assert len(plugin.proxy.done) >= 6, "the faults took place"
        # After an outage an apiserver leaves kinds of other servers out of its discovery for up to a minute.
        await until(lambda: clusters_are_discovered(plane), bool, patience=120)
    plane.kubectl("delete", "namespace", burst, "--wait=false")
