"""The local Karmada as its users handle it: up, down, side by side, members that come and go, and faults."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Plane
from tests.support.cli import TOWPATH, assert_one_line, towpath
from tests.support.signals import heeding_sigint
from towpath.local import boot, processes, store
from towpath.local.build import ensure_binaries
from towpath.local.processes import running
from towpath.local.spec import Environment

pytestmark = pytest.mark.karmada


def kubectl(env: Environment, *args: str, config: Path | None = None) -> str:
    return subprocess.run(
        [env.binaries / "kubectl", f"--kubeconfig={config or env.karmada}", *args],
        text=True,
        capture_output=True,
        check=True,
    ).stdout


def listening(env: Environment) -> list[int]:
    """Return the environment's ports on which something answers."""

    def answers(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    members = (member.port for member in env.members.values())
    return [port for port in (*env.ports.values(), *members) if answers(port)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Boot an environment of one member, beside the plane of the whole run."""
    root = tmp_path_factory.mktemp("small") / "root"
    done = towpath("local", "up", "--members", "1", "--root", root)
    assert done.returncode == 0, done.stderr
    assert f"export KUBECONFIG={root}/karmada.config:{root}/cluster-1.config" in done.stdout
    yield root
    boot.down(root)


def test_two_environments_live_side_by_side(plane: Plane, small: Path) -> None:
    env = store.load(small)

    assert not set(env.ports.values()) & set(plane.env.ports.values())
    assert kubectl(env, "get", "clusters", "-o", "name").split() == ["cluster.cluster.karmada.io/cluster-1"]
    assert len(plane.kubectl("get", "clusters", "-o", "name").stdout.split()) == 3


def test_up_again_says_the_same_and_starts_nothing(small: Path) -> None:
    before = {name: process.pid for name, process in running(small).items()}

    done = towpath("local", "up", "--members", "1", "--root", small)

    assert done.returncode == 0, done.stderr
    assert "export KUBECONFIG=" in done.stdout
    assert {name: process.pid for name, process in running(small).items()} == before


def test_up_starts_what_has_stopped(small: Path) -> None:
    processes.end([running(small)["karmada-scheduler"]])

    done = towpath("local", "up", "--root", small)

    assert "karmada-scheduler" in done.stderr
    assert "karmada-scheduler" in running(small)


def test_one_process_can_be_stopped_seen_and_started(small: Path) -> None:
    assert towpath("local", "stop", "cluster-1-apiserver", "--root", small).returncode == 0
    seen = towpath("local", "status", "--root", small)
    assert seen.returncode == 1
    assert "stopped" in next(line for line in seen.stdout.splitlines() if "cluster-1-apiserver" in line)

    assert towpath("local", "start", "cluster-1-apiserver", "--root", small).returncode == 0
    assert towpath("local", "status", "--root", small).returncode == 0
    assert (
        "Serving securely"
        in towpath("local", "logs", "-n", "500", "cluster-1-apiserver", "--root", small).stdout
    )


def test_the_plugins_certificate_is_its_own(small: Path) -> None:
    env = store.load(small)

    assert "towpath-plugin" in kubectl(env, "auth", "whoami", config=env.plugin)


def booting(root: Path) -> subprocess.Popen[str]:
    """Start a boot and return when it has started several processes."""
    with heeding_sigint():
        command = subprocess.Popen(
            [*TOWPATH, "local", "up", "--members", "1", "--root", root],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    assert command.stderr is not None
    for line in command.stderr:
        if "Karmada's apiserver answers" in line:
            return command
    raise AssertionError("the boot ended before Karmada's apiserver answered")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("in_the_background")
def test_an_interrupted_boot_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    root = tmp_path / "root"
    command = booting(root)

    command.send_signal(number)
    _, output = command.communicate()

    assert command.returncode == 130
    assert output.splitlines()[-1] == "interrupted"
    assert not running(root)
    assert [path.name for path in root.iterdir()] == ["logs"]


def test_down_cleans_up_after_a_boot_that_was_killed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    command = booting(root)

    command.kill()
    command.communicate()
    assert running(root)
    assert_one_line(towpath("local", "up", "--root", root), "towpath local down")

    assert towpath("local", "down", "--root", root).returncode == 0
    assert not running(root)
    assert not root.exists()


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a cache whose etcd logs a line and dies."""
    good = ensure_binaries().folder
    bad = tmp_path / "cache" / "towpath" / "bin" / good.name
    bad.parent.mkdir(parents=True)
    shutil.copytree(good, bad, copy_function=os.symlink)
    (bad / "etcd").unlink()
    (bad / "etcd").write_text("#!/bin/sh\necho the moon is full\nexit 3\n")
    (bad / "etcd").chmod(0o755)
    return tmp_path / "cache"


def test_a_process_that_dies_at_boot_is_named_with_its_log(tmp_path: Path, broken: Path) -> None:
    root = tmp_path / "root"

    done = towpath("local", "up", "--root", root, env={"XDG_CACHE_HOME": str(broken)})

    assert_one_line(done, "etcd exited with code 3", str(root / "logs" / "etcd.log"), "the moon is full")
    assert not running(root)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = towpath("local", "up", "--root", tmp_path / "root", "--base-port", str(port - 3))

    assert_one_line(done, str(port), "taken")
    assert not running(tmp_path / "root")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "pki").mkdir(parents=True)
    (root / "pki" / "ca.crt").symlink_to("/dev/full")

    done = towpath("local", "up", "--root", root)

    assert_one_line(done, "the disk is full")
    assert not running(root)


def test_down_refuses_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    assert_one_line(towpath("local", "down", "--root", tmp_path), "thesis.tex")

    assert (tmp_path / "thesis.tex").exists()


def test_commands_without_an_environment_say_how_to_get_one(tmp_path: Path) -> None:
    for command in (
        ["status"],
        ["logs", "etcd"],
        ["stop", "etcd"],
        ["start", "etcd"],
        ["join", "x"],
        ["reset"],
    ):
        assert_one_line(towpath("local", *command, "--root", tmp_path / "none"), "towpath local up")


def test_an_unknown_process_is_answered_with_those_there_are(small: Path) -> None:
    assert_one_line(towpath("local", "stop", "etc", "--root", small), "'etc'", "etcd", code=2)


def test_nothing_of_towpath_is_left_by_name(small: Path) -> None:
    """Every process is found by its mark: none of this run's binaries runs without one."""
    marked = {process.pid for process in running(small).values()}
    for process in psutil.process_iter(["cmdline"]):
        if any(str(small) in part for part in process.info["cmdline"] or ()):
            assert process.pid in marked


def test_a_member_joins_and_leaves_and_joins_again(small: Path) -> None:
    def names() -> list[str]:
        return kubectl(
            store.load(small), "get", "clusters", "-o", "jsonpath={.items[*].metadata.name}"
        ).split()

    def identity() -> str:
        env = store.load(small)
        return kubectl(
            env, "get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}", config=env.kubeconfig("late")
        )

    assert towpath("local", "join", "late", "--root", small).returncode == 0
    first = identity()
    assert names() == ["cluster-1", "late"]
    assert_one_line(towpath("local", "join", "late", "--root", small), "late is a member already", code=2)

    assert towpath("local", "leave", "late", "--root", small).returncode == 0
    assert names() == ["cluster-1"]
    assert not [name for name in running(small) if name.startswith("late")]
    assert not (small / "late.config").exists()

    assert towpath("local", "join", "late", "--root", small).returncode == 0
    assert identity() == first, "a member that joins again is the same cluster"


def test_down_works_without_the_environment_file(small: Path) -> None:
    """The last test of the small environment: it is gone afterwards."""
    env = store.load(small)
    assert listening(env)
    (small / store.FILE).unlink()

    assert towpath("local", "down", "--root", small).returncode == 0

    assert not running(small)
    assert not listening(env)
    assert not small.exists()
    assert "Nothing was running" in towpath("local", "down", "--root", small).stderr
