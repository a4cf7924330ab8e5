"""Fixtures of the whole suite: one real Karmada for the run, a namespace for each test.

The Karmada is booted by the code that users boot theirs with. A test that needs it and cannot have it
fails with the reason; nothing is skipped.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support import reaper
from tests.support.audit import AuditLog
from tests.support.blocking import BlockingClient, blocking_client
from tests.support.loops import TidyLoop
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local import boot, processes, programs
from towpath.local.build import ensure_binaries
from towpath.local.nodes import packages
from towpath.local.spec import PLUGIN, Environment, Qps
from towpath.model.keys import Dialect
from towpath.model.ownership import MANAGED_BY_LABEL, TOWPATH

PATIENT = 5
"""The niceness of tests that can wait: a third of the processor time of those that cannot."""
CONTROLLERS = "karmada-controller-manager"
MEMBERS = ["cluster-1", "cluster-2", "cluster-3"]
WRITTEN = (
    *map(resources.service_exports, Dialect),
    *map(resources.service_imports, Dialect),
    *map(resources.traffic_policies, Dialect),
    resources.SERVICES,
    resources.INGRESSES,
    resources.DEPLOYMENTS,
    resources.LEASES,
    resources.PROPAGATION_POLICIES,
    resources.OVERRIDE_POLICIES,
    resources.BINDINGS,
)
"""Kinds that tests write into a namespace. Templates come before the policies that carry them."""
WITHOUT_KARMADA = ("tests/unit/", "tests/golden/", "tests/scenarios/")
"""What `make unit` runs, where there is neither Go nor Karmada."""

settings.register_profile("fast", deadline=None, max_examples=40)
settings.register_profile("full", deadline=None, max_examples=100)
settings.load_profile("full")  # unless --hypothesis-profile names another
reaper.watch()
# Karmada's processes collect garbage a tenth as often, which saves a third of their processor time and takes
# 3 GB for a Karmada with three members. Each runs on one core: dozens share the machine, and to spread the
# work of one over several costs a sixth more.
os.environ.setdefault("GOMAXPROCS", "1")
os.environ.setdefault("GOGC", "1000")
os.environ.setdefault("GOMEMLIMIT", "1GiB")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", metavar="DIR", help="worked cases to run instead of tests/golden/cases")


def pytest_asyncio_loop_factories(config: pytest.Config) -> Mapping[str, Callable[[], TidyLoop]]:
    """Run every test in a loop that ends after its connections."""
    return {"tidy": TidyLoop}


class Files(LoadScopeScheduling):
    """Gives each worker one file after the other, and those whose tests use nodes all to one worker.

    There can be one environment with the network of the walk-through at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return "nodes" if _uses_nodes(self.config.rootpath / file) else file


@cache
def _uses_nodes(file: Path) -> bool:
    """Tell whether the tests of a file use nodes: once, since the file may change during a run."""
    return "pytest.mark.nodes" in file.read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Files | None:
    """Schedule by file where that is asked for."""
    return Files(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the Karmada of the run, put what takes longest first, and leave out the image's tests.

    What uses nodes takes longest, and then what uses a Karmada. What boots one of its own is marked where it
    does.
    """
    for item in items:
        if "plane" in getattr(item, "fixturenames", ()):
            item.add_marker("karmada")
        if item.get_closest_marker("karmada") and item.nodeid.startswith(WITHOUT_KARMADA):
            raise pytest.UsageError(
                f"{item.nodeid}: It needs a Karmada. Move it to tests/integration or tests/e2e."
            )
    long = [{item.path for item in items if item.get_closest_marker(mark)} for mark in ("nodes", "karmada")]
    items.sort(key=lambda item: [item.path not in paths for paths in long])
    if "image" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("image")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let what uses nodes go first, with all that it starts, where other workers run beside it.

    An apiserver waits three seconds for a webhook in a pod; the rest waits for conditions.
    """
    if "PYTEST_XDIST_WORKER" in os.environ and os.geteuid() == 0:
        priority = 0 if item.get_closest_marker("nodes") else PATIENT
        with suppress(PermissionError):  # of a root that may not
            os.setpriority(os.PRIO_PROCESS, 0, priority)


@pytest.fixture
def in_the_background() -> Iterator[None]:
    """Ignore SIGINT, as a shell makes the background processes of a script do. Children inherit it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Plane:
    """A running Karmada with three members and Towpath's CRDs."""

    env: Environment

    @property
    def karmada(self) -> Path:
        """Kubeconfig of Karmada's administrator."""
        return self.env.karmada

    @property
    def audit(self) -> AuditLog:
        """The audit log of Karmada's apiserver: each write with its user."""
        return AuditLog(self.env.audit_log)

    def client(self, member: str | None = None) -> BlockingClient:
        """Return a client of Karmada's administrator, or of a member's."""
        return blocking_client(self.env.kubeconfig(member) if member else self.karmada)

    def create_namespace(self, name: str, member: str | None = None) -> None:
        """Create a namespace in Karmada, or in a member."""
        self.client(member).apply(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}")

    def delete_namespace(self, name: str, member: str | None = None) -> None:
        """Begin to delete a namespace of Karmada, or of a member."""
        self.client(member).delete(resources.NAMESPACES, name)

    def empty_namespace(self, name: str) -> None:
        """Begin to delete what tests write into a namespace of Karmada, and what follows from that.

        The namespace stays. To delete it takes four apiservers two requests for each kind that they serve: a
        fifth of the processor time of most tests.
        """
        for kind in WRITTEN:
            self.client().delete_all(kind, name, f"{MANAGED_BY_LABEL}!={TOWPATH}")

    def kubectl(
        self, *args: str, stdin: str | None = None, check: bool = True, member: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl against Karmada, or against a member."""
        config = self.env.kubeconfig(member) if member else self.karmada
        done = subprocess.run(
            [self.env.binaries / "kubectl", f"--kubeconfig={config}", *args],
            input=stdin,
            check=False,
            text=True,
            capture_output=True,
        )
        if check and done.returncode:
            pytest.fail(f"kubectl {' '.join(args)}: {done.stderr}{self._dead}")
        return done

    @property
    def _dead(self) -> str:
        """What became of processes that should run and do not: empty if all do."""
        alive = processes.running(self.env.root)
        known = programs.processes(self.env).items()
        dead = [name for name, process in known if name not in alive and not process.optional]
        return "".join(f"\n{name} does not run:\n{processes.tail(self.env.log(name))}" for name in dead)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Plane]:
    """Boot a Karmada. Its logs stay in the session's folder if a test has failed."""
    root = tmp_path_factory.mktemp("karmada") / "root"
    env = asyncio.run(boot.up(root, ensure_binaries(), names=MEMBERS, qps=Qps.HIGH))
    try:
        yield Plane(env)
    finally:
        if request.session.testsfailed:
            shutil.copytree(env.logs, root.parent / "logs")
        boot.down(root)


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Plane]:
    """Boot a Karmada whose members have nodes.

    It has the network of the walk-through: there can be one such environment at a time.
    """
    root = tmp_path_factory.mktemp("nodes") / "root"
    packages.install(print)
    env = asyncio.run(boot.up(root, ensure_binaries(), names=MEMBERS, qps=Qps.HIGH, nodes=True))
    try:
        yield Plane(env)
    finally:
        if request.session.testsfailed:
            shutil.copytree(env.logs, root.parent / "logs")
        boot.down(root)


@contextmanager
def attentive(plane: Plane) -> Iterator[None]:
    """Let Karmada notice within seconds what becomes of a member, during the block: by default that takes 40.

    It then asks each member every second, which takes the processor time of all that its apiserver does idle.
    """
    often = ("failure-threshold", "success-threshold", "status-update-frequency")
    processes.stop(plane.env, CONTROLLERS)
    processes.spawn(plane.env, CONTROLLERS, *(f"--cluster-{name}=1s" for name in often))
    asyncio.run(processes.wait_ready(plane.env, CONTROLLERS))
    try:
        yield
    finally:
        processes.stop(plane.env, CONTROLLERS)
        asyncio.run(processes.start(plane.env, CONTROLLERS))


@pytest.fixture
def namespace(plane: Plane) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    plane.create_namespace(name)
    yield name
    plane.empty_namespace(name)


@pytest.fixture
async def karmada(plane: Plane) -> AsyncIterator[Client]:
    async with await Client.connect(plane.karmada, user_agent="towpath-tests") as client:
        yield client


@pytest.fixture
async def members(plane: Plane) -> AsyncIterator[dict[str, Client]]:
    """Return a client to each member's own apiserver."""
    clients = {
        name: await Client.connect(plane.env.kubeconfig(name), user_agent="towpath-tests")
        for name in plane.env.members
    }
    yield clients
    for client in clients.values():
        await client.close()


@dataclass(frozen=True)
class Plugin:
    """The plugin as a process of the plane, to be stopped and started."""

    plane: Plane

    async def start(self) -> None:
        """Start it and wait until it has read the world."""
        await processes.start(self.plane.env, PLUGIN)

    async def caught_up(self) -> None:
        """Wait until it has looked at everything that was there when it started."""

        async def is_synced() -> bool:
            log = self.plane.env.log(PLUGIN).read_text()
            return '"initial sync complete"' in log[log.rindex('"caches synced"') :]

        await until(is_synced, bool)

    def stop(self) -> None:
        """End it, if it runs."""
        processes.stop(self.plane.env, PLUGIN)


@pytest.fixture(scope="module")
def lasting_plugin(plane: Plane) -> Iterator[Plugin]:
    """Run the plugin during all tests of a module; one that stops it starts it again."""
    plugin = Plugin(plane)
    try:
        asyncio.run(plugin.start())
        yield plugin
    finally:
        plugin.stop()  # also one that was late: other tests must not meet it


@pytest.fixture
async def plugin(plane: Plane) -> AsyncIterator[Plugin]:
    """Run the plugin during the test."""
    plugin = Plugin(plane)
    try:
        await plugin.start()
        yield plugin
    finally:
        plugin.stop()
