"""Builds Towpath's own image from ``deploy/image/Containerfile``, without asking a registry.

The image that the Containerfile starts from is made from Debian's packages by mmdebstrap, under its public
name. buildah keeps both, and the layers in between, in the user's cache folder. The archives of the last
images are kept there too, by the digest of the files that they were built from, so that the same files are
built once.

One builder works at a time. So what it finds of another was left by a killed one, and is removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from towpath import __version__
from towpath.errors import BuildFailed, MissingTool, UsageError
from towpath.local.cachefolder import cache_root, locked
from towpath.local.nodes import packages
from towpath.setup.data_path import IMAGE

PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
_SUITE = "bookworm"
_BASE = f"docker.io/library/debian:{_SUITE}-slim"
_CONTAINERFILE = Path("deploy", "image", "Containerfile")
_CERTIFICATES = Path("/etc/ssl/certs")
_PASSED_ON = ("PIP_CERT", "PIP_INDEX_URL")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_KEPT_LAYERS, _KEPT_ARCHIVES = 6, 3
_UNFINISHED = ".unfinished-"
_DIGITS = 12
_TAIL_LINES = 15


def build_image(say: Callable[[str], None], top: Path | None = None, *, anew: bool = False) -> Path:
    """Build the image from a checkout of Towpath, unless it is there; returns the OCI archive that holds it.

    ``anew`` builds it in any case, and without a layer of an earlier build. Raises UsageError outside a
    checkout, MissingTool without buildah or mmdebstrap, and BuildFailed.
    """
    top = top or Path(__file__).resolve().parents[3]
    if not (top / _CONTAINERFILE).is_file():
        raise UsageError(f"{top} is no checkout of Towpath, from which its image is built")
    folder = cache_root() / "image"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"towpath-{__version__}-{context_digest(top)}.tar"
    with locked(folder / ".lock", lambda: None):
        if archive.exists() and not anew:
            archive.touch()
        else:
            _build(folder, top, archive, say, anew=anew)
    return archive


def context_digest(top: Path) -> str:
    """Return what tells the files of one build from those of another."""
    digest = hashlib.sha256()
    for path in sorted(_context(top)):
        digest.update(f"{path.relative_to(top)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_DIGITS]


def _context(top: Path) -> Iterator[Path]:
    """Yield the files that a build reads: those that its ignore file does not ignore."""
    for line in (top / f"{_CONTAINERFILE}.dockerignore").read_text().splitlines():
        named = top / line.removeprefix("!")
        if line.startswith("!"):
            yield from [named] if named.is_file() else filter(_is_source, named.rglob("*"))


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _build(folder: Path, top: Path, archive: Path, say: Callable[[str], None], *, anew: bool) -> None:
    if os.geteuid() != 0:
        raise UsageError("Building the image without a registry needs root.")
    packages.install(say, PROGRAMS)
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    _buildah(folder, "rm", "--all", check=False)
    if _buildah(folder, "inspect", "--type=image", _BASE, check=False).returncode:
        say(f"Making {_BASE} from Debian's packages (once).")
        _make_base(folder)
    _forget_old_layers(folder)
    say(f"Building {IMAGE}.")
    _buildah(folder, *_build_arguments(top, os.environ, anew=anew))
    unfinished = folder / f"{_UNFINISHED}{archive.name}"
    _buildah(folder, "push", "--quiet", IMAGE, f"oci-archive:{unfinished}:{IMAGE}")
    unfinished.rename(archive)
    newest_first = sorted(folder.glob("towpath-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in newest_first[_KEPT_ARCHIVES:]:
        old.unlink()


def _forget_old_layers(folder: Path) -> None:
    """Remove the layers of earlier builds, of which the last few make the next one faster."""
    old = _buildah(folder, "images", "--quiet", "--filter=dangling=true", check=False).stdout.split()
    if len(old) > _KEPT_LAYERS:
        _buildah(folder, "rmi", "--prune")


def _build_arguments(top: Path, environment: Mapping[str, str], *, anew: bool) -> list[str]:
    containerfile = top / _CONTAINERFILE
    passed_on = [f"--build-arg={name}={environment[name]}" for name in _PASSED_ON if name in environment]
    # A network that inspects TLS has a CA of its own among this host's certificates.
    mounts = [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"] if _CERTIFICATES.is_dir() else []
    return [
        *("build", "--quiet", "--layers", "--pull-never", "--isolation=chroot", "--network=host"),
        *(f"--build-arg=BASE={_BASE}", f"--build-arg=VERSION={__version__}", *passed_on, *mounts),
        *(["--no-cache"] if anew else []),
        *(f"--ignorefile={containerfile}.dockerignore", f"--file={containerfile}", f"--tag={IMAGE}"),
        str(top),
    ]


def _make_base(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as temporary:
        archive = Path(temporary, "base.tar")
        left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
        options = ["--quiet", "--variant=minbase", "--include=ca-certificates", *left_out]
        _run(["mmdebstrap", *options, _SUITE, str(archive)])
        container = _buildah(folder, "from", "scratch").stdout.strip()
        _buildah(folder, "add", "--quiet", container, str(archive), "/")
        _buildah(folder, "commit", "--quiet", "--rm", container, _BASE)


def _buildah(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    storage = [f"--root={folder / 'storage'}", f"--runroot={folder / 'run'}", "--storage-driver=overlay"]
    return _run(["buildah", *storage, *arguments], check=check)


def _run(argv: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    program = packages.find(argv[0])
    if program is None:
        raise MissingTool(f"{argv[0]} is not installed. Run as root: {packages.install_line([argv[0]])}")
    done = subprocess.run(
        [program, *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:])
        raise BuildFailed(f"{argv[0]} could not build the image:\n{tail}")
    return done
