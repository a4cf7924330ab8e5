"""Builds Towpath's own image from ``deploy/image/Containerfile``, without asking a registry.

The image that the Containerfile starts from is made from Debian's packages by mmdebstrap, under its public
name. buildah keeps both, and the layers in between, in the user's cache folder.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from towpath import __version__
from towpath.errors import BuildFailed, MissingTool, UsageError
from towpath.local.cachefolder import cache_root
from towpath.local.nodes import packages

PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
IMAGE = f"docker.io/towpath/towpath:{__version__}"
_SUITE = "bookworm"
_BASE = f"docker.io/library/debian:{_SUITE}-slim"
_CONTAINERFILE = Path("deploy", "image", "Containerfile")
_CERTIFICATES = Path("/etc/ssl/certs")
_PASSED_ON = ("PIP_CERT", "PIP_INDEX_URL")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_KEPT_LAYERS = 6
_TAIL_LINES = 15


def build_image(say: Callable[[str], None], top: Path | None = None) -> Path:
    """Build the image from a checkout of Towpath; returns the OCI archive that holds it.

    Raises UsageError outside a checkout, MissingTool without buildah or mmdebstrap, and BuildFailed.
    """
    top = top or Path(__file__).resolve().parents[3]
    if not (top / _CONTAINERFILE).is_file():
        raise UsageError(f"{top} is no checkout of Towpath, from which its image is built")
    if os.geteuid() != 0:
        raise UsageError("Building the image without a registry needs root.")
    packages.install(say, PROGRAMS)
    folder = cache_root() / "image"
    folder.mkdir(parents=True, exist_ok=True)
    if _buildah(folder, "inspect", "--type=image", _BASE, check=False).returncode:
        say(f"Making {_BASE} from Debian's packages (once).")
        _make_base(folder)
    _forget_old_layers(folder)
    say(f"Building {IMAGE}.")
    _buildah(folder, *_build_arguments(top, os.environ))
    archive = folder / f"towpath-{__version__}.tar"
    archive.unlink(missing_ok=True)
    _buildah(folder, "push", "--quiet", IMAGE, f"oci-archive:{archive}:{IMAGE}")
    return archive


def _forget_old_layers(folder: Path) -> None:
    """Remove the layers of earlier builds, of which the last few make the next one faster."""
    old = _buildah(folder, "images", "--quiet", "--filter=dangling=true", check=False).stdout.split()
    if len(old) > _KEPT_LAYERS:
        _buildah(folder, "rmi", "--prune")


def _build_arguments(top: Path, environment: Mapping[str, str]) -> list[str]:
    containerfile = top / _CONTAINERFILE
    passed_on = [f"--build-arg={name}={environment[name]}" for name in _PASSED_ON if name in environment]
    # A network that inspects TLS has a CA of its own among this host's certificates.
    mounts = [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"] if _CERTIFICATES.is_dir() else []
    return [
        *("build", "--quiet", "--layers", "--pull-never", "--isolation=chroot", "--network=host"),
        *(f"--build-arg=BASE={_BASE}", *passed_on, *mounts),
        *(f"--ignorefile={containerfile}.dockerignore", f"--file={containerfile}", f"--tag={IMAGE}"),
        str(top),
    ]


def _make_base(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
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
