"""``towpath status`` and ``explain`` as processes: what they print, and their exit codes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.support.cli import assert_one_line, towpath
from tests.support.inventories import annotated, carry, cluster, clusters, exported, knowing, tell
from tests.support.plugins import serving
from tests.support.standin import answered_by
from towpath.cli import chain_output
from towpath.inventory.inventory import Inventory
from towpath.rpc import direct


def settled() -> Inventory:
    """Return a fleet in which everything is in sync."""
    made = knowing(*clusters("a", "b", "c"), *exported("web", "a", "b"))
    carry(made)
    return made


@asynccontextmanager
async def asked(tmp_path: Path, inventory: Inventory) -> AsyncIterator[Asking]:
    async with serving(tmp_path / "s", inventory):
        yield Asking(tmp_path / "s")


class Asking:
    """Runs commands against a plugin."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(towpath, *args, "--socket", self._socket, env={"KUBECONFIG": ""})


async def test_a_fleet_in_sync_ends_with_zero(tmp_path: Path) -> None:
    async with asked(tmp_path, settled()) as ask:
        done = await ask("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 members\n1 service: 1 in sync\n"


async def test_what_is_broken_is_named_with_its_fix(tmp_path: Path) -> None:
    inventory = settled()
    tell(inventory, {**cluster("b"), "metadata": {"name": "b", "uid": "b"}})
    async with asked(tmp_path, inventory) as ask:
        done, listed = await ask("status"), await ask("status", "-o", "json")
    assert done.returncode == listed.returncode == 1
    assert "1 without gateway" in done.stdout
    assert "Exporting in b" in done.stdout
    assert "Annotate the Karmada Cluster with towpath.io/gateway" in done.stdout
    answer = json.loads(listed.stdout)
    assert answer["inSync"] is False
    assert answer["services"][0]["first"]["reason"] == "NoGateway"


async def test_explain_ends_with_the_first_broken_link(tmp_path: Path) -> None:
    inventory = settled()
    tell(inventory, {**cluster("b"), "metadata": {"name": "b", "uid": "b"}})
    async with asked(tmp_path, inventory) as ask:
        chain, alone = await ask("explain", "shop/web"), await ask("explain", "shop/web", "--cluster", "b")
        unknown = await ask("explain", "shop/web", "--cluster", "x")
    assert "First broken link: Exporting in b: NoGateway: No gateway is known" in chain.stdout
    assert "First broken link: Exporting in b" in alone.stdout
    assert "exported by" not in alone.stdout
    assert_one_line(unknown, "no member 'x'")


async def test_waiting_ends_when_all_is_in_sync_or_in_time(tmp_path: Path) -> None:
    inventory = settled()
    carry(inventory, {"a": "other"})
    async with asked(tmp_path, inventory) as ask:
        late = await ask("status", "--wait", "--timeout", "0.2")
        waiting = asyncio.create_task(ask("status", "--wait", "--timeout", "30"))
        carry(inventory)
        in_time = await waiting
    assert (late.returncode, in_time.returncode) == (1, 0)


async def test_without_plugin_and_apiserver_one_line_says_so(tmp_path: Path) -> None:
    done = await Asking(tmp_path / "none")("status")
    assert_one_line(done, "No plugin serves")


def test_long_lists_are_cut() -> None:
    made = knowing(*clusters("a", "b"), *(o for i in range(30) for o in exported(f"s{i}", "a")))
    read = direct.reading(made)
    parts = chain_output.fleet(direct.list_clusters(read).clusters, direct.list_services(read).services)
    assert parts[-1] == "and 10 more: -o json lists all."


def test_a_drained_fleet_is_in_sync() -> None:
    made = knowing(annotated(cluster("a"), drain="true"), *clusters("b", "c"), *exported("web", "a", "b"))
    carry(made)
    read = direct.reading(made)
    parts = chain_output.fleet(direct.list_clusters(read).clusters, direct.list_services(read).services)
    assert parts[0] == "3 members, 1 drained"
    assert "1 service: 1 in sync" in parts


async def test_explain_stands_without_an_apiserver(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", settled()):
        where = ("--socket", tmp_path / "s", "--kubeconfig", tmp_path / "none")
        done = await asyncio.to_thread(towpath, "explain", "shop/web", *where)

    assert (done.returncode, done.stderr) == (0, "")
    assert "NotRead" in done.stdout


async def karmada(request: web.Request) -> web.StreamResponse:
    """Let the user read the exporter a, which has no ready pod, and not b."""
    if request.path.endswith("/clusters"):
        return web.json_response({"items": [{"metadata": {"name": name}} for name in "ab"]})
    if request.path.endswith("a/proxy/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"):
        assert request.query["labelSelector"] == "kubernetes.io/service-name=web"
        return web.json_response({"items": [{"metadata": {}, "endpoints": []}]})
    if request.path.endswith("a/proxy/apis/apps/v1/namespaces/towpath-system/daemonsets/towpath-net"):
        return web.json_response({"status": {"numberReady": 1}})
    return web.json_response({"message": "forbidden", "reason": "Forbidden"}, status=403)


async def test_explain_reads_the_exporters_that_it_may_read(tmp_path: Path) -> None:
    inventory = settled()
    async with answered_by(karmada, tmp_path), serving(tmp_path / "s", inventory):
        where = ("--socket", tmp_path / "s", "--kubeconfig", tmp_path / "kubeconfig")
        shown = await asyncio.to_thread(towpath, "explain", "shop/web", *where)
        alone = await asyncio.to_thread(
            towpath, "explain", "shop/web", "--cluster", "a", "-o", "json", *where
        )

    assert "First broken link: Pods in a: NoReadyPod: The Service has no ready pod" in shown.stdout
    assert "forbidden: The cluster cannot be read" in shown.stdout
    answer = json.loads(alone.stdout)
    assert [link["state"] for link in answer["chain"] if link["step"] in {"Pods", "Gateway"}] == [
        "Broken",
        "OK",
    ]
    assert answer["processes"] == []
