"""The plugin with the token that ``towpath install`` writes, beside a webhook that guards derived objects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conftest import Plane
from tests.e2e.shop import Shop, gateways
from tests.support.cli import towpath
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.local import webhook


@pytest.fixture
async def guarded(plane: Plane, karmada: Client) -> AsyncIterator[Plane]:
    """Give the plane a registered webhook that refuses a foreign hand on derived objects."""
    await webhook.start(plane.env, karmada)
    with gateways(plane, "203.0.113"):
        yield plane
    await webhook.stop(plane.env, karmada)


@pytest.fixture
def plugin_with_token(guarded: Plane, tmp_path: Path) -> Iterator[None]:
    """Run a plugin that is the ServiceAccount of ``towpath install``."""
    made = towpath("install", "--kubeconfig", guarded.karmada, "--write-kubeconfig", tmp_path)
    assert made.returncode == 0, made.stderr
    command = [sys.executable, "-m", "towpath", "serve", "plugin"]
    command += [f"--kubeconfig={tmp_path / 'plugin.kubeconfig'}", f"--socket={tmp_path / 'socket'}"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as running:
        yield
        running.terminate()


@pytest.mark.usefixtures("plugin_with_token")
async def test_it_creates_changes_and_deletes_derived_objects(
    guarded: Plane, namespace: str, members: dict[str, Client]
) -> None:
    shop = Shop(guarded, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy())
    seen = await shop.complete(members)
    assert {port for ports in seen.values() for port in ports} == {80}
    by_hand = guarded.kubectl("delete", "serviceimports.flomesh.io", "web", "-n", namespace, check=False)
    assert "derived.towpath.io" in by_hand.stderr, "the webhook does not guard derived objects"

    shop.apply(shop.service(81), shop.export(81))

    async def ports() -> set[int]:
        return {port for held in (await shop.seen(members)).values() for port in held}

    await until(ports, lambda found: found == {81})
    shop.annotate(drain="true")
    await until(ports, lambda found: not found)
