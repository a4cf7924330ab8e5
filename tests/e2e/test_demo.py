"""``towpath demo``: on its own Karmada, and on an existing one that it leaves unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.conftest import MEMBERS, Plane
from tests.support.cli import TOWPATH, assert_one_line, towpath
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Object, Resource
from towpath.local import boot, store
from towpath.local.build import ensure_binaries
from towpath.local.processes import running
from towpath.local.spec import Qps
from towpath.model.keys import Dialect
from towpath.model.manifest import load
from towpath.setup.install import serves

ROWS = ("10.0.2.4:80/httpbin", "10.0.2.6:80/httpbin", "ActiveActive")

pytestmark = pytest.mark.karmada


def roles(*members: str) -> list[str]:
    return [argument for member in members for argument in ("--member", member)]


def inventory(plane: Plane) -> dict[str, set[str]]:
    """Return what a demo could leave behind: names of objects, by kind, in Karmada and in the members.

    Namespaces of other tests may be on their way out.
    """

    def names(member: str | None, *kinds: Resource) -> set[str]:
        found = {f"{kind}/{name}" for kind in kinds for name in plane.client(member).names(kind)}
        return {name for name in found if not name.startswith("namespaces/t-")}

    everywhere = (resources.NAMESPACES, resources.CRDS)
    in_karmada = (
        resources.CLUSTER_ROLES,
        resources.CLUSTER_ROLE_BINDINGS,
        resources.CLUSTER_PROPAGATION_POLICIES,
        resources.CLUSTER_BINDINGS,
    )
    return {
        "karmada": names(None, *everywhere, *in_karmada),
        **{member: names(member, *everywhere) for member in MEMBERS},
    }


def plugins(config: Path) -> list[psutil.Process]:
    """Return the plugins that run with a kubeconfig."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if any(str(config) in part for part in p.info["cmdline"] or ())]


def test_the_local_demo_shows_the_walkthrough_and_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"

    done = towpath("demo", "--no-nodes", "--root", root)

    assert done.returncode == 0, done.stdout + done.stderr
    for row in ROWS:
        assert row in done.stdout
    assert "No pods run" in done.stdout
    assert "curl:" not in done.stdout
    assert not running(root)
    assert not root.exists()


def test_it_can_be_kept_looked_at_reset_and_played_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    try:
        kept = towpath("demo", "--no-nodes", "--root", root, "--keep")
        assert kept.returncode == 0, kept.stdout + kept.stderr
        assert f"towpath local down --root {root}" in kept.stdout
        socket = store.load(root).plugin_socket

        explained = towpath("explain", "httpbin/httpbin", "--socket", socket)
        assert "cluster-3" in explained.stdout
        assert "No policy selects the Service any more" in explained.stdout, "the text reuses its name"
        assert_one_line(towpath("demo", "--root", root), "namespace httpbin exists", code=2)

        assert towpath("local", "reset", "--root", root).returncode == 0
        again = towpath("demo", "--root", root)
        assert again.returncode == 0, again.stdout + again.stderr
        assert running(root), "an environment that was there before stays"
    finally:
        boot.down(root)


def test_on_a_given_karmada_the_demo_cleans_up(plane: Plane) -> None:
    before = inventory(plane)

    done = towpath("demo", "--kubeconfig", plane.karmada, *roles("cluster-3", "cluster-1", "cluster-2"))

    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if "ActiveActive" in line)
    assert "cluster-1" in row, "the client of the text is the second member given"
    assert inventory(plane) == before
    assert not plane.client().list(resources.flomesh_clusters(Dialect.FLOMESH))


def test_it_does_not_touch_what_is_there(plane: Plane) -> None:
    plane.create_namespace("curl")
    try:
        done = towpath("demo", "--kubeconfig", plane.karmada)
        assert_one_line(done, "namespace curl exists", code=2)
    finally:
        plane.client().remove(resources.NAMESPACES, "curl")


def test_members_that_are_not_there_are_named(plane: Plane) -> None:
    done = towpath("demo", "--kubeconfig", plane.karmada, *roles("cluster-1", "cluster-2", "paris"))

    assert_one_line(done, "'paris'", "cluster-1, cluster-2, cluster-3", code=2)


def test_an_apiserver_without_karmada_is_reported(plane: Plane) -> None:
    done = towpath("demo", "--kubeconfig", plane.env.kubeconfig("cluster-1"))

    assert_one_line(done, "is no Karmada", code=2)


class Proxy:
    """A TCP proxy in front of an apiserver, to be cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.ExitStack() as closing, contextlib.suppress(OSError, asyncio.CancelledError):
            closing.callback(writer.transport.abort)
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            closing.callback(back.transport.abort)
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
        target.close()

    async def _close(self) -> None:
        for socket in self._server.sockets:
            asyncio.get_running_loop().remove_reader(socket.fileno())
        for _ in range(3):
            await asyncio.sleep(0)  # what was accepted last begins
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # a transport is gone one turn after it was aborted

    def cut(self) -> None:
        """Close everything: nothing listens on the port any more."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@pytest.fixture
def proxy(plane: Plane) -> Iterator[Proxy]:
    proxy = Proxy(plane.env.ports["karmada-apiserver"])
    yield proxy
    proxy.cut()


def test_a_lost_apiserver_is_one_line_and_leaves_no_process(
    plane: Plane, proxy: Proxy, tmp_path: Path
) -> None:
    document = yaml.safe_load(plane.karmada.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    config = tmp_path / "through-proxy.config"
    config.write_text(yaml.safe_dump(document))
    try:
        with subprocess.Popen(
            [*TOWPATH, "demo", "--kubeconfig", config],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as command:
            assert command.stdout is not None
            assert any(line.startswith("1. ") for line in command.stdout)
            proxy.cut()
            _, errors = command.communicate()

        assert command.returncode == 1
        assert [line for line in errors.splitlines() if line.startswith("error: ")] == errors.splitlines()
        assert str(proxy.port) in errors
        assert not plugins(config)
    finally:
        client, clusters = plane.client(), resources.flomesh_clusters(Dialect.FLOMESH)
        client.remove(clusters, *client.names(clusters))
        client.remove(resources.NAMESPACES, "httpbin", "curl")


def foreign_crds(folder: Path) -> Path:
    """Write CRDs as ErieCanal and FSM ship them: our fields and defaults, none of our rules and limits."""

    def without_rules(value: Any) -> Any:
        if isinstance(value, dict):
            ours = {"x-kubernetes-validations", "maxLength", "minLength", "maxItems", "description"}
            return {key: without_rules(item) for key, item in value.items() if key not in ours}
        if isinstance(value, list):
            return [without_rules(item) for item in value]
        return value

    folder.mkdir()
    for path in Path("deploy/crds").glob("*.yaml"):
        (folder / path.name).write_text(yaml.safe_dump(without_rules(yaml.safe_load(path.read_text()))))
    return folder


def install_crds(plane: Plane, folder: Path) -> None:
    """Let Karmada and its members have CRDs, as users of FSM have them; wait until Karmada has noticed."""
    definitions = load(folder)

    async def established(member: str | None) -> set[str]:
        found = plane.client(member).list(resources.CRDS)
        return {crd["metadata"]["name"] for crd in found if is_established(crd)}

    for member in (None, *MEMBERS):
        plane.client(member).apply_objects(*definitions)
        wanted = {crd["metadata"]["name"] for crd in definitions}
        asyncio.run(until(partial(established, member), wanted.issubset))


def is_established(crd: Object) -> bool:
    conditions = crd.get("status", {}).get("conditions") or ()
    return any((c["type"], c["status"]) == ("Established", "True") for c in conditions)


def assert_a_demo_changes_nothing(plane: Plane) -> None:
    before = inventory(plane)
    done = towpath("demo", "--kubeconfig", plane.karmada)
    assert done.returncode == 0, done.stdout + done.stderr
    assert inventory(plane) == before


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Boot a Karmada without any multi-cluster CRDs."""
    root, empty = tmp_path_factory.mktemp("bare") / "root", tmp_path_factory.mktemp("empty")
    plane = Plane(asyncio.run(boot.up(root, ensure_binaries(), names=MEMBERS, qps=Qps.HIGH, crds=empty)))
    try:
        for kind in (resources.CLUSTER_ROLES, resources.CLUSTER_ROLE_BINDINGS):
            plane.client().remove(kind, "towpath-plugin")
        yield plane
    finally:
        boot.down(root)


def test_the_demo_restores_a_karmada_without_our_crds(bare: Plane) -> None:
    assert_a_demo_changes_nothing(bare)


def test_the_demo_keeps_the_crds_of_others(bare: Plane, tmp_path: Path) -> None:
    """They stay when the module ends: the test of the Karmada without them comes first."""
    install_crds(bare, foreign_crds(tmp_path / "crds"))
    asyncio.run(until(partial(serving, bare), lambda members: members == set(MEMBERS)))
    assert_a_demo_changes_nothing(bare)


async def serving(plane: Plane) -> set[str]:
    """Return the members that serve ServiceImports of both API groups, as Karmada knows them."""
    clusters = plane.client().list(resources.CLUSTERS)
    return {c["metadata"]["name"] for c in clusters if all(serves(c, dialect) for dialect in Dialect)}
