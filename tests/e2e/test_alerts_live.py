"""Alerts that a running Prometheus fires on the metrics of real plugins, to which bad things happen."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.proxy import Act, Fault, Sort
from tests.chaos.victim import Victim, victim
from tests.conftest import CONTROLLERS, Plane
from tests.e2e.shop import Shop, gateways
from tests.e2e.test_guard import listed_again, several
from tests.support.cli import TOWPATH
from tests.support.prometheus import prometheus
from towpath.controller.controller import WORKERS
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client
from towpath.local import processes
from towpath.local.pki import write_kubeconfig
from towpath.local.ports import free_ports
from towpath.pki import Identity, issue

WITHHELD, STUCK, FAILING = "TowpathDeletionWithheld", "TowpathQueueStuck", "TowpathWritesFail"
AT_LAST = {
    *("TowpathExportsInvalid", "TowpathMemberBehind", "TowpathMemberLost"),
    *("TowpathSeveralLeaders", "TowpathCredentialsExpire"),
}
OF_PLUGINS = {WITHHELD, STUCK, FAILING, *AT_LAST}
WRITES = frozenset({Sort.WRITE})


@pytest.fixture
async def plugin(plane: Plane, tmp_path: Path) -> AsyncIterator[Victim]:
    with gateways(plane, "10.8.2"):
        async with victim(plane.env, tmp_path) as plugin:
            yield plugin


@asynccontextmanager
async def another(plane: Plane, folder: Path, health: str) -> AsyncIterator[None]:
    """Run a further plugin without a Lease, whose client certificate ends tomorrow."""
    pki, config = plane.env.pki, folder / "expiring.config"
    authority = Identity.read((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
    user = issue(authority, "towpath-plugin", "towpath", validity=dt.timedelta(days=1))
    ca = authority.certificate_pem
    write_kubeconfig(config, context="plugin", server=plane.env.karmada_url, ca=ca, identity=user)
    process = await asyncio.create_subprocess_exec(
        *(*TOWPATH, "serve", "plugin", f"--kubeconfig={config}", f"--health={health}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield
    process.terminate()
    await process.wait()


async def lose(karmada: Client, cluster: str) -> None:
    """Report a member lost, as Karmada's controller-manager does it, which must not run."""
    found = await karmada.get(resources.CLUSTERS, cluster)
    conditions = [
        {**condition, "status": "False", "reason": "ClusterNotReachable"}
        if condition["type"] == "Ready"
        else condition
        for condition in found["status"]["conditions"]
    ]
    path = f"{resources.CLUSTERS.path('', cluster)}/status"
    await karmada.json("PATCH", path, body={"status": {"conditions": conditions}}, content_type=MERGE)


async def test_those_of_real_plugins_fire(
    plane: Plane, karmada: Client, namespace: str, members: dict[str, Client], plugin: Victim, tmp_path: Path
) -> None:
    shop = Shop(plane, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy())
    await shop.complete(members)
    health = f"127.0.0.1:{free_ports(1)[0]}"
    async with prometheus(tmp_path / "prometheus", towpath_plugin=f"{plugin.health} {health}") as judge:
        empty = Fault(Act.EMPTY, kinds=(resources.SERVICES,), sorts=frozenset({Sort.LIST}))
        with plugin.proxy.fault(empty):
            await listed_again(plugin, (resources.SERVICES,))
            await judge.fires(WITHHELD)
        with plugin.proxy.fault(Fault(Act.HANG, sorts=WRITES)):
            shop.apply(several(namespace, WORKERS + 4))
            await judge.fires(STUCK)
        with plugin.proxy.fault(Fault(Act.BROKEN, sorts=WRITES)):
            await judge.fires(FAILING)
        processes.stop(plane.env, CONTROLLERS)
        try:
            shop.apply(shop.service(8080), shop.export(8080))
            shop.delete(resources.SERVICES, "s0")
            await lose(karmada, "cluster-3")
            async with another(plane, tmp_path, health):
                await judge.fires(*AT_LAST)
        finally:
            await processes.start(plane.env, CONTROLLERS)
