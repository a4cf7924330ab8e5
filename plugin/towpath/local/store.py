"""Where an environment is remembered between commands: ``environment.json`` in its root folder.

A lock beside the folder lets one command at a time change it; it is held by the kernel, so a killed
command leaves no lock behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from towpath.errors import NoEnvironment
from towpath.local.spec import Environment, Member, Qps

FILE = "environment.json"


def default_root() -> Path:
    """Return the folder used when the user names none."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "towpath" / "local"


def load(root: Path) -> Environment:
    """Return the environment in ``root``. Raises NoEnvironment if there is none."""
    try:
        document = json.loads((root / FILE).read_text())
        return Environment(
            root=root,
            binaries=Path(document["binaries"]),
            ports=document["ports"],
            members={name: _member(name, **fields) for name, fields in document["members"].items()},
            qps=Qps(document["qps"]),
            subnet=IPv4Network(document["subnet"]),
            karmada_host=document.get("karmada_host"),
        )
    except FileNotFoundError:
        raise NoEnvironment(
            f"{root} contains no local Karmada. Run `towpath local up` to create one."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise NoEnvironment(
            f"{root / FILE} is damaged ({error}). Run `towpath local down` to remove the environment."
        ) from error


def _member(name: str, port: int, node: str | None) -> Member:
    return Member(name, port, IPv4Address(node) if node else None)


def save(env: Environment) -> None:
    """Write the environment so that a reader sees the old or the new one, never half."""
    document = {
        "binaries": str(env.binaries),
        "ports": dict(env.ports),
        "members": {
            name: {"port": member.port, "node": str(member.node) if member.node else None}
            for name, member in env.members.items()
        },
        "qps": env.qps.value,
        "subnet": str(env.subnet),
        "karmada_host": env.karmada_host,
    }
    fresh = env.root / f"{FILE}.new"
    fresh.write_text(json.dumps(document, indent=1) + "\n")
    fresh.replace(env.root / FILE)


_WRITTEN = {
    FILE,
    f"{FILE}.new",
    "audit-policy.yaml",
    "crds",
    "etcd",
    "images",
    "karmada",
    "karmada-crds.tar.gz",
    "logs",
    "nodes",
    "pki",
    "towpath-plugin.sock",
}


def check_removable(root: Path) -> None:
    """Raise NoEnvironment if ``root`` holds what no environment wrote: ``--root ~`` must not cost a home."""
    strange = (
        [p.name for p in root.iterdir() if p.name not in _WRITTEN and p.suffix != ".config"]
        if root.is_dir()
        else []
    )
    if strange:
        raise NoEnvironment(
            f"{root} is no folder of a local Karmada. It contains {', '.join(sorted(strange)[:3])}."
        )


def forget(root: Path) -> None:
    """Remove everything an environment wrote."""
    if root.exists():
        shutil.rmtree(root)


def _lock_file(root: Path) -> Path:
    return root.with_name(f".{root.name}.lock")


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """Hold the right to change the environment in ``root``. Raises NoEnvironment while another has it."""
    lock = _lock_file(root)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoEnvironment(f"Another towpath command is changing {root}. Wait until it ends.") from None
        yield
    with suppress(OSError):
        if not root.exists():
            lock.unlink()
