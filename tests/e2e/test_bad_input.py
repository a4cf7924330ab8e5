"""What users get wrong, or what breaks under them: one clear line, an exit code, nothing left."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import Plane
from tests.support.cli import TOWPATH, assert_one_line, towpath
from towpath.local.ports import free_ports

COMMANDS = (["install"], ["serve", "plugin"], ["demo"])


@pytest.fixture
def nowhere(plane: Plane, tmp_path: Path) -> Path:
    """Return a kubeconfig whose server does not listen."""
    document = yaml.safe_load(plane.karmada.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_ports(1)[0]}"
    config = tmp_path / "nowhere.config"
    config.write_text(yaml.safe_dump(document))
    return config


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_kubeconfig_that_points_nowhere(command: list[str], nowhere: Path) -> None:
    assert_one_line(towpath(*command, "--kubeconfig", nowhere), str(nowhere), "refused")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_kubeconfig_that_is_not_there(command: list[str], tmp_path: Path) -> None:
    missing = tmp_path / "missing.config"

    assert_one_line(towpath(*command, "--kubeconfig", missing), str(missing), "No such file", code=2)


@pytest.mark.parametrize("content", ["", "{", "a: [", "apiVersion: v1\nkind: Config\n", "\x00", "- 1\n"])
def test_a_kubeconfig_that_is_none(content: str, tmp_path: Path) -> None:
    config = tmp_path / "broken.config"
    config.write_text(content)

    assert_one_line(towpath("serve", "plugin", "--kubeconfig", config), str(config), code=2)


def test_a_context_that_is_not_in_the_kubeconfig(plane: Plane) -> None:
    done = towpath("serve", "plugin", "--kubeconfig", plane.karmada, "--context", "mars")

    assert_one_line(done, "mars", code=2)


def test_a_certificate_that_the_apiserver_does_not_know(plane: Plane, tmp_path: Path) -> None:
    document = yaml.safe_load(plane.karmada.read_text())
    del document["clusters"][0]["cluster"]["certificate-authority-data"]
    config = tmp_path / "untrusting.config"
    config.write_text(yaml.safe_dump(document))

    assert_one_line(towpath("install", "--kubeconfig", config), "certificate verify failed")


def test_a_user_without_permission(plane: Plane) -> None:
    done = towpath("install", "--kubeconfig", plane.env.plugin)

    assert_one_line(done, "cannot", "customresourcedefinitions", "an administrator of the Karmada", code=2)


def test_an_apiserver_of_no_karmada(plane: Plane) -> None:
    """The kubeconfig of the host cluster, say: it is noticed before anything is changed."""
    before = plane.kubectl("get", "crds", "-o", "yaml", member="cluster-1").stdout
    done = towpath("install", "--kubeconfig", plane.env.kubeconfig("cluster-1"))

    assert_one_line(done, "is not that of a Karmada", "Use the kubeconfig of the Karmada apiserver", code=2)
    assert plane.kubectl("get", "crds", "-o", "yaml", member="cluster-1").stdout == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["local", "up", "--members", "0"],
        ["local", "up", "--qps", "fast"],
        ["local", "fly"],
        ["demo", "--member", "a"],
        ["demo", "--keep", "--kubeconfig", "x"],
        ["explain", "httpbin"],
    ],
    ids=" ".join,
)
def test_arguments_that_mean_nothing(arguments: list[str]) -> None:
    done = towpath(*arguments)

    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_tool_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    """Without Go, without a network and without a cache there is nothing to build with."""
    done = towpath(
        "local",
        "up",
        "--root",
        tmp_path / "root",
        env={
            "PATH": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_FIND_LINKS": "",
            "PIP_RETRIES": "0",
        },
    )

    assert_one_line(done, "Go")
    assert not (tmp_path / "root").exists()


def test_a_plugin_that_does_not_run_is_reported(tmp_path: Path) -> None:
    done = towpath("explain", "shop/web", "--socket", tmp_path / "none.sock")

    assert_one_line(done, str(tmp_path / "none.sock"))


def test_output_without_reader_is_no_error(plane: Plane) -> None:
    with subprocess.Popen(
        [*TOWPATH, "local", "logs", "-n", "5000", "karmada-controller-manager", "--root", plane.env.root],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        command.stdout.close()
        assert command.stderr is not None
        assert "Traceback" not in command.stderr.read()


@pytest.mark.karmada
def test_the_wheel_carries_all_that_it_needs(tmp_path: Path) -> None:
    """Installed away from the checkout it finds its CRDs, manifests and pinned modules."""
    uv = shutil.which("uv", path=str(Path(TOWPATH[0]).parent))
    assert uv, "uv comes with the development packages"
    subprocess.run(
        [uv, "build", "--wheel", "--offline", "--no-build-isolation", "-q", "-o", tmp_path], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    carried = {name.removeprefix("towpath/_deploy/") for name in zipfile.ZipFile(wheel).namelist()}
    for folder in ("deploy/crds", "deploy/karmada", "deploy/local", "deploy/schemas", "examples/walkthrough"):
        top = Path(folder)
        names = {f"{top.name}/{path.relative_to(top)}" for path in top.rglob("*") if path.is_file()}
        assert names <= carried
    target = tmp_path / "site"
    subprocess.run(
        [uv, "pip", "install", "-q", "--no-deps", "--offline", "--target", target, wheel], check=True
    )
    root = tmp_path / "root"

    def run(*args: str | Path) -> str:
        away = {**os.environ, "PYTHONPATH": str(target)}
        return subprocess.run(
            [TOWPATH[0], *args], env=away, cwd=tmp_path, text=True, capture_output=True, check=True
        ).stdout

    where = run("-c", "import towpath, towpath_webhook as w; print(towpath.__file__, w.__file__)")
    assert where.count(str(target)) == 2
    try:
        run("-m", "towpath", "local", "up", "--members", "1", "--root", root)
    finally:
        run("-m", "towpath", "local", "down", "--root", root)
