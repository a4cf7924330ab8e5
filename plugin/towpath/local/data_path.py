"""The data path on a local Karmada with nodes: Towpath's image for the nodes, and the installation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from towpath.errors import BootFailed
from towpath.karmada.client import Client
from towpath.local.fleet import Fleet
from towpath.local.image import build_image
from towpath.local.nodes import images
from towpath.local.spec import Environment
from towpath.polling import until
from towpath.setup.data_path import NAMESPACE, install_data_path

_SELECTOR = "app.kubernetes.io/name=towpath-net"
_PATIENCE = 240.0


async def start(env: Environment, karmada: Client, say: Callable[[str], None]) -> None:
    """Install the data path and wait until it runs on every node. Raises BootFailed if it does not."""
    archive = await asyncio.to_thread(build_image, say)
    name = images.add(env.images, archive)
    # By its digest: a node that has an image of this name does not ask for it again.
    digest = images.read_index(env.images)[name]["digest"]
    await install_data_path(karmada, f"{name}@{digest}")
    fleet = Fleet(karmada)
    members = [name for name, member in env.members.items() if member.node]

    async def not_ready() -> list[str]:
        pods = await asyncio.gather(*(fleet.ready_pods(m, NAMESPACE, _SELECTOR) for m in members))
        return [member for member, found in zip(members, pods, strict=True) if not found]

    def late(missing: list[str]) -> BootFailed:
        return BootFailed(
            f"The pod of towpath-net is not Ready after {_PATIENCE:.0f} s in {', '.join(missing)}."
        )

    await until(not_ready, lambda missing: not missing, patience=_PATIENCE, otherwise=late)
