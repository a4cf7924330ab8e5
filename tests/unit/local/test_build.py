"""Building into the cache folder, with a shell script in the place of go.

The script answers as go does (names of packages on stderr, programs in the folder given), and each test
says what its build does. Named pipes keep the two sides in step: opening or reading one waits.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.signals import heeding_sigint
from towpath.errors import BuildFailed, MissingTool
from towpath.local import gomodule
from towpath.local.build import KEPT_SECONDS, Binaries, BuildProgress, ensure_binaries
from towpath.setup.assets import deployed

GO_MOD = (deployed("local") / "go.mod").read_text()
# As go names a program: after its package's folder, or the one above a folder such as v3.
MADE_BY_GO = [
    re.sub(r"/v\d+$", "", package).rpartition("/")[2]
    for package in "".join(re.findall(r"^tool \((.*?)\)", GO_MOD, re.MULTILINE | re.DOTALL)).split()
]
PROGRAMS = [
    *("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "karmadactl"),
    *("coredns", "kube-proxy", "kube-scheduler", "kubelet", "pipy"),
    *("karmada-aggregated-apiserver", "karmada-controller-manager", "karmada-scheduler", "karmada-webhook"),
]
GO = """#!/bin/sh
PATH=/usr/bin:/bin
cd "{root}"
echo "$1 $2" >> calls
make_programs() {{
    while [ "$1" != -o ]; do shift; done
    for name in {made_by_go}; do echo "$name" > "$2$name"; chmod +x "$2$name"; done
}}
case "$1 $2" in
    env*) cat env ;;
    "list -deps") . ./list.sh ;;
    "list -f") echo "{root}/karmada-module" ;;
    build*) . ./build.sh ;;
esac
"""


class FakeGo:
    """The script, and the files that control it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        program = root / "bin" / "go"
        program.parent.mkdir(parents=True)
        program.write_text(GO.format(root=root, made_by_go=" ".join(MADE_BY_GO)))
        program.chmod(0o755)
        self.is_version("go1.26.8")
        self.on_list("printf 'pkg/one\n\npkg/two\n'")
        self.on_build('echo pkg/one >&2; echo pkg/two >&2; make_programs "$@"')
        self.karmada_module = root / "karmada-module"
        crds = self.karmada_module / "charts/karmada/_crds/bases/work"
        crds.mkdir(parents=True)
        (crds / "works.yaml").write_text("kind: CustomResourceDefinition\n")
        webhooks = self.karmada_module / "artifacts/deploy/webhook-configuration.yaml"
        webhooks.parent.mkdir(parents=True)
        webhooks.write_text("caBundle: {{caBundle}}\n")
        for path in [webhooks, crds / "works.yaml", crds, crds.parent]:  # as in Go's module cache
            path.chmod(0o555)

    def is_version(self, version: str) -> None:
        lines = [version, "linux", "amd64", self.root / "build-cache", self.root / "module-cache"]
        (self.root / "env").write_text("".join(f"{line}\n" for line in lines))

    def on_list(self, script: str) -> None:
        (self.root / "list.sh").write_text(script)

    def on_build(self, script: str) -> None:
        (self.root / "build.sh").write_text(script)

    def pipe(self, name: str) -> Path:
        path = self.root / name
        os.mkfifo(path)
        return path

    def forget_calls(self) -> None:
        (self.root / "calls").unlink()

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    fake = FakeGo(tmp_path / "go")
    monkeypatch.setenv("PATH", str(tmp_path / "go" / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache folder"))
    return fake


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "cache folder" / "towpath" / "bin"


def left_in(results: Path) -> list[str]:
    return sorted(path.name for path in results.iterdir())


@contextmanager
def build_in_a_process() -> Iterator[subprocess.Popen[str]]:
    """Run a build that prints its progress in another process, as a user would have."""
    script = (
        "from towpath.local.build import KEPT_SECONDS, ensure_binaries\n"
        "ensure_binaries(lambda progress: print(progress.stage, progress.done, flush=True))"
    )
    with heeding_sigint():
        started = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with started as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_line(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout is not None
    assert any(line == f"{wanted}\n" for line in process.stdout)


def test_makes_every_program_and_karmadas_files(go: FakeGo, results: Path) -> None:
    binaries = ensure_binaries()
    assert left_in(binaries.folder) == sorted([*PROGRAMS, ".sources", "karmada"])
    assert all(os.access(binaries.program(name), os.X_OK) for name in PROGRAMS)
    assert binaries.program("etcd").read_text() == "server\n"
    assert binaries.program("karmada-webhook").read_text() == "webhook\n"
    assert (binaries.karmada_crds / "work" / "works.yaml").read_text() == "kind: CustomResourceDefinition\n"
    assert binaries.webhook_configuration.read_text() == "caBundle: {{caBundle}}\n"
    copied = [binaries.webhook_configuration, *binaries.karmada_crds.rglob("*")]
    assert all(path.stat().st_mode & 0o200 for path in copied)
    assert left_in(results) == [".lock", binaries.folder.name]


def test_a_second_call_needs_no_go(go: FakeGo, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure_binaries()
    go.forget_calls()
    monkeypatch.setenv("PATH", "")
    seen: list[BuildProgress] = []
    assert ensure_binaries(seen.append) == first
    assert not (go.root / "calls").exists()
    assert seen == []


def test_a_result_that_lacks_a_program_is_made_anew(go: FakeGo, results: Path) -> None:
    first = ensure_binaries()
    first.program("etcd").unlink()
    (first.folder / "stray").touch()
    again = ensure_binaries()
    assert again == first
    assert left_in(again.folder) == sorted([*PROGRAMS, ".sources", "karmada"])
    assert left_in(results) == [".lock", again.folder.name]


def test_what_another_version_of_go_has_built_serves(go: FakeGo, results: Path) -> None:
    first = ensure_binaries()
    go.is_version("go1.27.3")
    assert ensure_binaries().folder == first.folder
    (first.folder / ".sources").write_text("others")  # then it is looked for by its name alone
    assert ensure_binaries().folder != first.folder
    assert len(left_in(results)) == 3


def test_a_build_removes_what_nothing_has_used_for_long(go: FakeGo, results: Path) -> None:
    now = time.time()
    for name, age in [("old", KEPT_SECONDS + 60), ("recent", KEPT_SECONDS - 60)]:
        (results / name).mkdir(parents=True)
        os.utime(results / name, (now - age, now - age))
    made = ensure_binaries().folder
    assert left_in(results) == sorted([".lock", made.name, "recent"])
    os.utime(made, (0, 0))
    ensure_binaries()
    assert made.stat().st_mtime >= now - 1


def test_an_unknown_program_is_missing(go: FakeGo, tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="no program 'karmada'"):
        ensure_binaries().program("karmada")
    with pytest.raises(MissingTool, match="no program 'etcd'"):
        Binaries(tmp_path).program("etcd")


def test_progress_counts_downloads_packages_and_programs(go: FakeGo) -> None:
    go.on_list("echo 'go: downloading k8s.io/api v0.35.4' >&2; printf 'pkg/one\n\npkg/two\n'")
    seen: list[BuildProgress] = []
    ensure_binaries(seen.append)
    counts = [(progress.stage, progress.done, progress.total) for progress in seen]
    required = len(gomodule.modules(GO_MOD))
    assert list(dict.fromkeys(counts)) == [
        *[("modules", 0, 0), ("modules", 1, required), ("modules", required, required)],
        *[("compile", 1, 2), ("compile", 2, 2), ("link", 14, 14)],
    ]
    assert [progress.seconds for progress in seen] == sorted(progress.seconds for progress in seen)


def test_packages_in_gos_cache_are_not_counted(go: FakeGo) -> None:
    go.on_list("printf '\n\n'")
    go.on_build('make_programs "$@"')
    seen: list[BuildProgress] = []
    ensure_binaries(seen.append)
    assert {progress.stage for progress in seen} == {"modules", "link"}
    assert (seen[-1].done, seen[-1].total) == (14, 14)


def test_a_failed_build_ends_with_the_compilers_last_lines(go: FakeGo, results: Path) -> None:
    go.on_build(
        "echo pkg/one >&2\n"
        'for n in $(seq 1 20); do echo "pkg/two: line $n" >&2; done\n'
        "printf last >&2; exit 1"
    )
    with pytest.raises(BuildFailed) as failure:
        ensure_binaries()
    summary, *tail = str(failure.value).splitlines()
    assert summary == "go could not build the local Karmada:"
    assert tail == [*(f"pkg/two: line {n}" for n in range(7, 21)), "last"]
    assert left_in(results) == [".lock"]


def test_a_full_disk_says_how_much_is_needed_and_where(go: FakeGo, results: Path) -> None:
    go.on_build("echo 'pkg/one: write a.o: no space left on device' >&2; exit 1")
    with pytest.raises(BuildFailed) as failure:
        ensure_binaries()
    message = str(failure.value)
    assert message.startswith("no space left: building the local Karmada needs about 5 GB")
    assert all(
        str(place) in message for place in [results, go.root / "build-cache", go.root / "module-cache"]
    )
    assert left_in(results) == [".lock"]


def test_no_network_is_named(go: FakeGo) -> None:
    go.on_list("echo 'go: k8s.io/api@v0.35.4: dial tcp: lookup proxy: no such host' >&2; exit 1")
    with pytest.raises(BuildFailed, match=r"cannot be downloaded: check the network.*\n.*no such host$"):
        ensure_binaries()


def test_a_changed_module_is_not_called_a_network_failure(go: FakeGo) -> None:
    go.on_list("echo 'verifying k8s.io/api@v0.35.4: checksum mismatch' >&2; exit 1")
    with pytest.raises(BuildFailed, match=r"^go could not build.*\n.*checksum mismatch$"):
        ensure_binaries()


def test_an_unusable_cache_folder_is_named(
    go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BuildFailed, match="Set XDG_CACHE_HOME to another folder"):
        ensure_binaries()


def test_a_failing_callback_is_not_taken_for_a_failing_build(go: FakeGo, results: Path) -> None:
    def report(_progress: BuildProgress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        ensure_binaries(report)
    assert left_in(results) == [".lock"]


def test_two_at_once_build_once(go: FakeGo) -> None:
    gate = go.pipe("gate")
    go.on_build('echo pkg/one >&2; read go_on < gate; echo pkg/two >&2; make_programs "$@"')
    compiling, waiting = threading.Event(), threading.Event()

    def first(progress: BuildProgress) -> None:
        if progress.stage == "compile":
            compiling.set()

    def second(progress: BuildProgress) -> None:
        if progress.stage == "waiting":
            waiting.set()

    with ThreadPoolExecutor() as pool:
        building = pool.submit(ensure_binaries, first)
        compiling.wait()
        waiting_build = pool.submit(ensure_binaries, second)
        waiting.wait()
        gate.write_text("go on\n")
        assert building.result() == waiting_build.result()
    assert sum(call.startswith("build") for call in go.calls) == 1


@pytest.mark.timeout(30)
@pytest.mark.usefixtures("in_the_background")
def test_ctrl_c_ends_go_and_its_compilers_and_leaves_nothing(go: FakeGo, results: Path) -> None:
    # The compiler ignores SIGINT, as what a shell puts in the background does.
    go.pipe("alive")
    go.on_build("exec 9> alive; sleep 1000 & echo pkg/one >&2; wait")
    with build_in_a_process() as process, (go.root / "alive").open("rb") as alive:
        wait_for_line(process, "compile 1")
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert alive.read() == b""  # returns when the last process that holds the pipe has ended
    assert left_in(results) == [".lock"]


@pytest.mark.timeout(30)
def test_the_next_build_clears_up_after_a_killed_one(go: FakeGo, results: Path) -> None:
    go.pipe("alive")
    gate = go.pipe("gate")
    go.on_build("exec 9> alive; echo pkg/one >&2; read go_on < gate; echo pkg/two >&2; touch survived")
    with build_in_a_process() as process, (go.root / "alive").open("rb") as alive:
        wait_for_line(process, "compile 1")
        process.kill()
        process.wait()
        gate.write_text("go on\n")
        assert alive.read() == b""
    assert not (go.root / "survived").exists()
    assert any(name.startswith(".unfinished-") for name in left_in(results))
    go.on_build('make_programs "$@"')
    binaries = ensure_binaries()
    assert left_in(results) == [".lock", binaries.folder.name]


def test_the_versions_linked_in_are_those_of_go_mod() -> None:
    versions = gomodule.modules(GO_MOD)
    flags = gomodule.link_flags(GO_MOD)
    kubernetes = versions["k8s.io/kubernetes"]
    assert f"-X k8s.io/component-base/version.gitVersion={kubernetes} " in flags
    assert f"-X k8s.io/component-base/version.gitMinor={kubernetes.split('.')[1]} " in flags
    assert flags.endswith(f"karmada/pkg/version.gitVersion={versions['github.com/karmada-io/karmada']}")


def test_a_replaced_module_counts_in_its_replacements_version(tmp_path: Path) -> None:
    go_mod = (
        "module x\n\ngo 1.25.10\n"
        "\nrequire (\n\tgithub.com/Azure/a v1.0.0 // indirect\n\tk8s.io/api v0.0.0\n)\n"
        "\nreplace (\n\tk8s.io/api => k8s.io/api v0.35.4\n\tk8s.io/unused => k8s.io/unused v0.35.4\n)\n"
    )
    assert gomodule.go_version(go_mod) == "1.25.10"
    assert gomodule.modules(go_mod) == {"github.com/Azure/a": "v1.0.0", "k8s.io/api": "v0.35.4"}
    assert gomodule.missing_modules(go_mod, tmp_path) == 2
    (tmp_path / "k8s.io" / "api@v0.35.4").mkdir(parents=True)
    (tmp_path / "github.com" / "!azure" / "a@v1.0.0").mkdir(parents=True)
    assert gomodule.missing_modules(go_mod, tmp_path) == 0
