"""What members with nodes have on this host outside their machines: a bridge, and cgroups of their pods.

Both are found by the environment's tag, without any file, so they are removed after every crash.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from towpath.errors import BootFailed, MissingTool, UsageError
from towpath.local.nodes import packages
from towpath.local.nodes.configuration import cgroup
from towpath.local.spec import Environment, host_tag

_CGROUP_SECONDS = 5.0
_LINKS = Path("/sys/class/net")
_OWN = Path("/proc/self/cgroup")
_WEIGHT = 10
"""The share of the processor of all pods of an environment, where each process of this host has 1: without a
service manager, which gives a share to groups of processes."""
# In namespaces that end with the command: it shows whether a machine can be made, and changes nothing.
_PROBE = (
    "ip link add probe type bridge && ip link add probe-a type veth peer name probe-b && "
    "nft add table ip probe && mount -t tmpfs tmpfs /tmp"
)


def check(root: Path, subnet: ipaddress.IPv4Network) -> None:
    """Raise an error, with the fix, if this host cannot run nodes or uses their network already."""
    if os.geteuid() != 0:
        raise UsageError("Nodes need root. Run the command as root, or without --nodes.")
    if absent := packages.missing():
        raise MissingTool(f"Nodes need packages that are not installed. Run: {packages.install_line(absent)}")
    done = _run("unshare", "--net", "--mount", "--pid", "--fork", "sh", "-c", _PROBE, check=False)
    if done.returncode:
        raise BootFailed(
            "This machine cannot run nodes: it refuses namespaces, links, nftables or mounts to root: "
            f"{done.stderr.strip()}"
        )
    hierarchies = list(_hierarchies())
    if not hierarchies or not all(os.access(path, os.W_OK) for path in hierarchies):
        raise BootFailed("This machine cannot run nodes: it has no cgroups, or they are read-only.")
    check_subnet(host_tag(root), subnet)


def check_subnet(own: str, subnet: ipaddress.IPv4Network) -> None:
    """Raise UsageError if an interface other than ``own`` has an address in a network."""
    for interface, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family is not socket.AF_INET or interface == own:
                continue
            used = ipaddress.ip_interface(f"{address.address}/{address.netmask or 32}").network
            if used.overlaps(subnet):
                raise UsageError(
                    f"The network {subnet} is in use: interface {interface} has {address.address}. "
                    f"{_way_out(interface)}"
                )


def _way_out(interface: str) -> str:
    root = _alias(interface)
    down = f"Run `towpath local down --root {shlex.quote(root)}`, or choose another with --subnet."
    return down if root and host_tag(Path(root)) == interface else "Choose another with --subnet."


def _alias(interface: str) -> str:
    """Return the alias of an interface: of a bridge of ours, the folder of the environment."""
    try:
        stored = (_LINKS / interface / "ifalias").read_text(errors="replace")
        return stored.removesuffix("\n")
    except OSError:  # it has gone, or is the label of a further address, such as eth0:1
        return ""


def prepare(env: Environment) -> None:
    """Make the bridge of the environment and the cgroups of its nodes, as far as they are not there."""
    bridge = host_tag(env.root)
    if _run("ip", "link", "show", bridge, check=False).returncode:
        _run("ip", "link", "add", bridge, "type", "bridge")
    _run("ip", "address", "replace", f"{env.gateway}/{env.subnet.prefixlen}", "dev", bridge)
    _run("ip", "link", "set", bridge, "up")
    _run("ip", "link", "set", bridge, "alias", str(env.root), check=False)  # of 255 bytes at most
    for hierarchy in _hierarchies():
        for member in env.members.values():
            if member.node:
                _make_cgroup(hierarchy, cgroup(env, member.name))
        _weigh(hierarchy / bridge)


def _make_cgroup(hierarchy: Path, path: str) -> None:
    """Make a cgroup with its parents. A new cpuset has no CPU and no memory until it is given some."""
    folder = hierarchy
    for part in path.strip("/").split("/"):
        parent, folder = folder, folder / part
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            # Of cgroup v1 alone: v2 passes the parent's on by itself.
            if (parent / name).exists() and (parent / "cgroup.clone_children").exists():
                (folder / name).write_text((parent / name).read_text())


def _weigh(folder: Path) -> None:
    """Give the pods their share, in the unit of the cgroup version, if this process has one of its own."""
    if not all(line.endswith(":/") for line in _OWN.read_text().splitlines() if _is_of_cpu(line)):
        return
    for name, usual in (("cpu.shares", 1024), ("cpu.weight", 100)):
        if (folder / name).exists():
            (folder / name).write_text(str(_WEIGHT * usual))


def _is_of_cpu(line: str) -> bool:
    """Tell whether a line of /proc/PID/cgroup is about processor time: ``7:cpu,cpuacct:/`` or ``0::/``."""
    _, controllers, _ = line.split(":", 2)
    return not controllers or "cpu" in controllers.split(",")


def _hierarchies() -> Iterator[Path]:
    """Return where the cgroup hierarchies are mounted: several of version 1, or the one of version 2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:
            yield Path(where)


def remove_member(env: Environment, member: str) -> None:
    """Remove the cgroups of one member, whose machine has ended."""
    for hierarchy in _hierarchies():
        _remove_cgroup(hierarchy / cgroup(env, member).lstrip("/"))


def remove(root: Path) -> None:
    """Remove everything of an environment on this host, whose machines have ended."""
    tag = host_tag(root)
    for hierarchy in _hierarchies():
        _remove_cgroup(hierarchy / tag)
    # The network of a machine outlives it by minutes while connections that nobody answers wait in it.
    for link in sorted(_LINKS.glob(f"{tag}*")):
        _remove_link(link.name)


def _remove_link(name: str) -> None:
    """Remove a network interface, which the kernel may take away at the same time."""
    try:
        _run("ip", "link", "delete", name)
    except BootFailed:
        if (_LINKS / name).exists():
            raise


def _remove_cgroup(top: Path) -> None:
    """Remove a cgroup and all below it. What still runs there is killed: it is a pod of a dead machine."""
    deadline = time.monotonic() + _CGROUP_SECONDS
    while top.is_dir():
        for folder, _, _ in os.walk(top, topdown=False):
            _kill_all(Path(folder))
            with contextlib.suppress(OSError):  # busy until the kernel has let the last process go
                Path(folder).rmdir()
        if time.monotonic() > deadline:
            raise BootFailed(f"The cgroup {top} cannot be removed: something still runs in it.")
        time.sleep(0.01)


def _kill_all(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    program = packages.find(argv[0])
    if program is None:
        raise MissingTool(f"{argv[0]} is not installed. Run: {packages.install_line(packages.missing())}")
    done = subprocess.run(
        [program, *argv[1:]],
        env={**os.environ, "PATH": packages.search_path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise BootFailed(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
    return done
