"""Builds the programs of the local Karmada, once, into the user's cache folder.

What is built is pinned in ``deploy/local/go.mod``: each ``tool`` line there is a program, and
``go build tool`` makes them all. The result is kept under a key that covers everything it depends on
(module files, link flags, Go version, platform), and says itself what it was built of. A result of the same
sources serves whichever Go has built it, so a second call needs no Go. Results that nothing has used for a
month are removed after a build:

    <cache>/towpath/bin/<key>/kube-apiserver, karmada-webhook, ...      the programs
                              karmada/crds/, webhook-configuration.yaml what Karmada installs
                              .sources                                  what it was built of

Progress is counted, not estimated. ``go list`` says beforehand which packages are missing in Go's own
cache, and ``go build -v`` names each of them when its compilation begins. Those found in the cache take
no time and are not counted. While go links it says nothing, but each program appears in the folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from towpath.errors import BuildFailed, MissingTool
from towpath.local import gomodule
from towpath.local.cachefolder import cache_root, make_folder
from towpath.local.foreground import Finished, run
from towpath.local.toolchain import Toolchain, find_toolchain
from towpath.setup.assets import deployed

Stage = Literal["waiting", "toolchain", "modules", "compile", "link"]

# What go calls each program (after its package's folder), and what we do.
_PROGRAMS = {
    "aggregated-apiserver": "karmada-aggregated-apiserver",
    "controller-manager": "karmada-controller-manager",
    "coredns": "coredns",
    "karmadactl": "karmadactl",
    "kube-apiserver": "kube-apiserver",
    "kube-controller-manager": "kube-controller-manager",
    "kube-proxy": "kube-proxy",
    "kube-scheduler": "kube-scheduler",
    "kubectl": "kubectl",
    "kubelet": "kubelet",
    "pipy": "pipy",
    "scheduler": "karmada-scheduler",
    "server": "etcd",
    "webhook": "karmada-webhook",
}
_KARMADA_PACKAGE = "github.com/karmada-io/karmada/cmd/webhook"
_CRDS = Path("karmada", "crds")
_WEBHOOKS = Path("karmada", "webhook-configuration.yaml")
_IN_KARMADA_MODULE = {
    _CRDS: Path("charts", "karmada", "_crds", "bases"),
    _WEBHOOKS: Path("artifacts", "deploy", "webhook-configuration.yaml"),
}

# For `go list`: a program is never called up to date, as go keeps compiled packages but not programs.
_TO_COMPILE = (
    '{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}{{.ImportPath}}{{end}}'
)
_DISK_FULL = re.compile("no space left on device|disk quota exceeded", re.IGNORECASE)
_NO_NETWORK = re.compile(
    "dial tcp|no such host|timeout|TLS handshake|connection re(fused|set)|proxyconnect|disabled by GOPROXY"
    r"|x509: |: [45]\d\d |unexpected EOF"
)
_TAIL_LINES = 15
_SOURCES = ".sources"
KEPT_SECONDS = 30 * 86400.0
"""How long a result is kept that nothing uses."""


@dataclass(frozen=True)
class BuildProgress:
    """How far the build is; ``done`` and ``total`` count what ``stage`` is about.

    ==========  ==============================================================================
    waiting     another process is building; no count
    toolchain   Go itself is being installed; no count
    modules     modules whose download has begun; ``total`` is 0 until go asks for the first, then
                an upper bound, as a few of the missing ones are needed on other platforms only
    compile     packages whose compilation has begun, of those that Go's cache lacks
    link        programs that are finished, of all
    ==========  ==============================================================================

    Each counted stage ends with ``done == total``; "compile" is left out when nothing is missing.
    """

    stage: Stage
    done: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Binaries:
    """A complete result of the build."""

    folder: Path

    def program(self, name: str) -> Path:
        """Return the path of a program by its name; raises MissingTool if there is none of that name."""
        path = self.folder / name
        if name not in _PROGRAMS.values() or not path.is_file():
            raise MissingTool(f"{self.folder} contains no program {name!r}. Run `towpath local build`.")
        return path

    @property
    def karmada_crds(self) -> Path:
        """The folder of Karmada's CRDs, one subfolder for each API group."""
        return self.folder / _CRDS

    @property
    def webhook_configuration(self) -> Path:
        """Karmada's webhook configuration, a template."""
        return self.folder / _WEBHOOKS


class _Tell(Protocol):
    def __call__(self, stage: Stage, done: int = 0, total: int = 0) -> None: ...


def _ignore(_progress: BuildProgress) -> None:
    pass


def ensure_binaries(report: Callable[[BuildProgress], None] = _ignore) -> Binaries:
    """Return the programs of the local Karmada, built first if this machine has none of this version.

    Raises MissingTool if there is no Go and none can be installed, and BuildFailed.
    """
    began = time.monotonic()

    def tell(stage: Stage, done: int = 0, total: int = 0) -> None:
        report(BuildProgress(stage, done, total, time.monotonic() - began))

    sources = deployed("local")
    cache = cache_root()
    module = _Module(sources)
    try:
        if (built := _built_of(module, cache / "bin")) is not None:
            os.utime(built)
            return Binaries(built)
        toolchain = find_toolchain(
            gomodule.go_version(module.go_mod), sources / "go-requirements.txt", cache, installing=tell
        )
        build = _Build(toolchain, module, tell)
        target = cache / "bin" / build.key()
        if not _complete(target):
            make_folder(
                target,
                complete=lambda: _complete(target),
                fill=build.fill,
                waiting=lambda: tell("waiting"),
            )
            _remove_unused(cache / "bin", time.time())
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BuildFailed(_no_space([cache])) from error
        if error.filename is None:  # not about a file, so not ours: the callback's
            raise
        raise BuildFailed(
            f"The cache folder {cache} is not usable ({error}). Set XDG_CACHE_HOME to another folder."
        ) from error
    return Binaries(target)


def _complete(folder: Path) -> bool:
    programs = all(os.access(folder / name, os.X_OK) for name in _PROGRAMS.values())
    return programs and all((folder / path).exists() for path in _IN_KARMADA_MODULE)


def _built_of(module: _Module, results: Path) -> Path | None:
    """Return a complete result of these sources, whichever Go has built it; None if there is none."""
    digest = module.digest()
    for stamp in sorted(results.glob(f"[!.]*/{_SOURCES}")):
        if stamp.read_text() == digest and _complete(stamp.parent):
            return stamp.parent
    return None


def _remove_unused(results: Path, now: float) -> None:
    """Remove results that nothing has used for a long time. Each use sets the time of the folder."""
    for folder in results.glob("[!.]*"):
        if now - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


class _Module:
    """The module as go wants it: its two files, and the packages of ours."""

    def __init__(self, folder: Path) -> None:
        self.go_mod = (folder / "go.mod").read_text()
        self.files = {
            str(path.relative_to(folder)): path.read_text()
            for path in sorted((folder / "go.mod", folder / "go.sum", *folder.glob("*/*.go")))
        }
        self.flags = ("-trimpath", f"-ldflags={gomodule.link_flags(self.go_mod)}")

    def digest(self, *compiler: str) -> str:
        """Return the digest of what a result is built of, with ``compiler`` also of what builds it."""
        sources = (text for file in self.files.items() for text in file)
        names = (f"{made}={called}" for made, called in _PROGRAMS.items())
        parts = (*sources, *self.flags, *compiler, *names)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


class _Build:
    """One build: what goes into it, and the steps that make it."""

    def __init__(self, toolchain: Toolchain, module: _Module, tell: _Tell) -> None:
        self._toolchain = toolchain
        self._module = module
        self._flags = module.flags
        self._tell = tell

    def key(self) -> str:
        """Name the result after everything it depends on."""
        return self._module.digest(self._toolchain.version, self._toolchain.platform)

    def fill(self, folder: Path) -> None:
        """Build everything into an empty folder."""
        work = folder / ".work"
        # go's intermediate files too: so they are on the disk that we name, and go with the folder.
        (work / "tmp").mkdir(parents=True)
        for name, text in self._module.files.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_text(text)
        self._compile(work, folder, self._packages_to_compile(work))
        for made, called in _PROGRAMS.items():
            (folder / made).rename(folder / called)
        module = Path(*self._go(work, ("list", "-f", "{{.Module.Dir}}", _KARMADA_PACKAGE)).output)
        for ours, theirs in _IN_KARMADA_MODULE.items():
            _copy_writable(module / theirs, folder / ours)
        (folder / _SOURCES).write_text(self._module.digest())
        shutil.rmtree(work)

    def _packages_to_compile(self, work: Path) -> frozenset[str]:
        """Download the modules that are missing; return the packages that are not in Go's cache."""
        self._tell("modules")
        missing = gomodule.missing_modules(self._module.go_mod, self._toolchain.module_cache)
        begun = 0

        def on_line(line: str | None) -> None:
            nonlocal begun
            begun += line is not None and line.startswith("go: downloading ")
            self._tell("modules", min(begun, missing), missing if begun else 0)

        listed = self._go(
            work, ("list", "-deps", *self._flags, "-f", _TO_COMPILE, "tool"), on_line, _no_modules
        )
        if begun:
            self._tell("modules", missing, missing)
        return frozenset(filter(None, listed.output))

    def _compile(self, work: Path, folder: Path, packages: frozenset[str]) -> None:
        begun = 0

        def on_line(line: str | None) -> None:
            nonlocal begun
            begun += line in packages
            if begun < len(packages) or line in packages:
                self._tell("compile", begun, len(packages))
            else:
                self._tell("link", sum((folder / made).exists() for made in _PROGRAMS), len(_PROGRAMS))

        def explain(messages: Sequence[str]) -> str:
            return _no_build([line for line in messages if line not in packages])

        output = f"{folder}{os.sep}"  # the separator at its end makes it a folder to go
        self._go(work, ("build", "-v", *self._flags, "-o", output, "tool"), on_line, explain)
        self._tell("link", len(_PROGRAMS), len(_PROGRAMS))

    def _go(
        self,
        work: Path,
        arguments: Sequence[str],
        on_line: Callable[[str | None], None] = lambda _line: None,
        explain: Callable[[Sequence[str]], str] | None = None,
    ) -> Finished:
        environment = {**self._toolchain.environment(), "GOTMPDIR": str(work / "tmp")}
        finished = run([self._toolchain.program, *arguments], env=environment, cwd=work, on_line=on_line)
        if finished.code != 0:
            if any(_DISK_FULL.search(line) for line in finished.messages):
                caches = (work.parent.parent, self._toolchain.build_cache, self._toolchain.module_cache)
                raise BuildFailed(_no_space(caches))
            raise BuildFailed((explain or _no_build)(finished.messages))
        return finished


def _copy_writable(source: Path, target: Path) -> None:
    """Copy a file or a folder without its modes: in Go's module cache everything is read-only."""
    if source.is_dir():
        target.mkdir(parents=True)
        for entry in source.iterdir():
            _copy_writable(entry, target / entry.name)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _no_space(folders: Iterable[Path]) -> str:
    return (
        "no space left: building the local Karmada needs about 5 GB (0.6 GB of it for good) in "
        + ", ".join(map(str, folders))
        + "; XDG_CACHE_HOME, GOCACHE and GOMODCACHE choose other places"
    )


def _no_modules(messages: Sequence[str]) -> str:
    if any(_NO_NETWORK.search(line) for line in messages):
        once = list(dict.fromkeys(messages))  # go says it for each package of the module
        return _with_tail(
            "the Go modules of the local Karmada cannot be downloaded: check the network and GOPROXY", once
        )
    return _no_build(messages)


def _no_build(messages: Sequence[str]) -> str:
    return _with_tail("go could not build the local Karmada", messages)


def _with_tail(summary: str, messages: Sequence[str]) -> str:
    lines = [line for line in messages if line.strip() and not line.startswith("go: downloading ")]
    return "\n".join([f"{summary}:" if lines else summary, *lines[-_TAIL_LINES:]])
