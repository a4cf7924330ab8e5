"""What a local Karmada needs of this machine, checked before anything starts.

A process that runs into a limit dies later, with an error that names something else: an apiserver without an
inotify instance cannot read its certificates, and etcd without space stops answering.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from towpath.errors import BootFailed

_SYSCTL = "fs.inotify.max_user_instances"
INOTIFY_OF_KARMADA, INOTIFY_OF_KARMADA_IN_PODS, INOTIFY_OF_MEMBER, INOTIFY_OF_NODE = 8, 13, 3, 13
"""Inotify instances of the control plane, as processes and as pods, of a member's apiserver, and of a node
beside that."""
FILES = 1024
"""Open files of one process: with three members, etcd has 320."""
DISK_MIB, DISK_OF_NODE_MIB = 300, 300
"""Space for etcd, logs and audit log, and for the images and pods of a node."""


class Machine(NamedTuple):
    """What this machine gives to the user who boots: limits, and what is left of them."""

    inotify_limit: int
    inotify_used: int
    files: int
    disk_mib: int


def problems(
    machine: Machine, root: Path, members: int, *, nodes: bool, on_host: bool = False
) -> Iterator[str]:
    """Yield what this many members lack, each with the fix. ``on_host``: Karmada is pods of one of them."""
    instances = INOTIFY_OF_KARMADA_IN_PODS if on_host else INOTIFY_OF_KARMADA
    instances += members * (INOTIFY_OF_MEMBER + nodes * INOTIFY_OF_NODE)
    if machine.inotify_used + instances > machine.inotify_limit:
        wanted = max(2 * machine.inotify_limit, machine.inotify_used + 2 * instances)
        yield (
            f"{_SYSCTL}: {machine.inotify_used} of {machine.inotify_limit} are in use, and {instances} more "
            f"are needed. Run `sudo sysctl {_SYSCTL}={wanted}`."
        )
    if machine.files < FILES:
        yield (
            f"Open files: The limit is {machine.files}, and {FILES} are needed. Run `ulimit -n {4 * FILES}`."
        )
    space = DISK_MIB + members * nodes * DISK_OF_NODE_MIB
    if machine.disk_mib < space:
        yield (
            f"{root}: {machine.disk_mib} MiB are free, and {space} MiB are needed. "
            "Free space, or pass --root."
        )


def check(root: Path, members: int, *, nodes: bool, on_host: bool = False) -> None:
    """Raise BootFailed, with the fixes, if this machine lacks something."""
    if found := list(problems(machine(root), root, members, nodes=nodes, on_host=on_host)):
        raise BootFailed(" ".join(found))


def machine(root: Path) -> Machine:
    """Return what this machine has, and the disk of a folder."""
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    return Machine(
        int(Path("/proc/sys", *_SYSCTL.split(".")).read_text()),
        sum(_inotify_of(process) for process in Path("/proc").glob("[0-9]*")),
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        shutil.disk_usage(place).free >> 20,
    )


def _inotify_of(process: Path) -> int:
    """Return the inotify instances of a process of this user; others have a limit of their own."""
    try:
        if process.stat().st_uid != os.geteuid():
            return 0
        return sum(_is_inotify(file) for file in (process / "fd").iterdir())
    except OSError:  # it has ended, or hides its files
        return 0


def _is_inotify(file: Path) -> bool:
    try:
        return str(file.readlink()) == "anon_inode:inotify"
    except OSError:  # closed meanwhile
        return False
