"""The distribution packages that members with nodes need, and what is missing of them on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from towpath.errors import MissingTool

PROGRAMS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "busybox": "busybox-static",
    "curl": "curl",
}
"""Each program that is run, and the Debian package that has it."""
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_CNI_PACKAGE = "containernetworking-plugins"
_CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_WAIT_FOR_OTHERS = ("-o", "DPkg::Lock::Timeout=300")
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """Return the PATH with the folders for administrators, which that of a user may lack."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}"


def find(name: str) -> Path | None:
    """Return where a program is."""
    found = shutil.which(name, path=search_path())
    return Path(found) if found else None


def cni_folder() -> Path | None:
    """Return the folder of the CNI plugins, None if they are not installed."""
    folders = map(Path, _CNI_FOLDERS)
    return next((f for f in folders if all((f / name).exists() for name in CNI_PLUGINS)), None)


def missing() -> list[str]:
    """Return the packages that nodes need and that are not installed, by their names in Debian."""
    return sorted({*_missing(PROGRAMS), *(() if cni_folder() else (_CNI_PACKAGE,))})


def _missing(programs: Mapping[str, str]) -> set[str]:
    return {package for name, package in programs.items() if find(name) is None}


def install_line(packages: list[str]) -> str:
    """Return the command that installs packages on Debian and its derivatives."""
    return f"apt-get install --yes --no-install-recommends {' '.join(packages)}"


def can_install() -> bool:
    """Tell whether packages can be installed here: as root, with apt."""
    return os.geteuid() == 0 and find("apt-get") is not None


def install(say: Callable[[str], None], programs: Mapping[str, str] | None = None) -> None:
    """Install what is missing of what nodes need, or of the packages that have some programs.

    Raises MissingTool, with the command to run, where that is impossible.
    """

    def absent() -> list[str]:
        return missing() if programs is None else sorted(_missing(programs))

    wanted = absent()
    if not wanted:
        return
    if not can_install():
        raise MissingTool(f"Packages are not installed. Run as root: {install_line(wanted)}")
    say(f"Installing {', '.join(wanted)} with apt-get (once).")
    written = "".join(map(_apt_get, ("apt-get update --quiet", install_line(wanted))))
    if absent():
        tail = "\n".join(written.strip().splitlines()[-5:])
        raise MissingTool(f"apt-get could not install {', '.join(wanted)}:\n{tail}")


def _apt_get(command: str) -> str:
    """Run apt-get and return what it wrote. What it did shows in the programs that are there then."""
    name, *arguments = command.split()
    done = subprocess.run(
        [name, *_WAIT_FOR_OTHERS, *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
