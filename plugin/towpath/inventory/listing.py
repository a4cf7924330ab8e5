"""The inventory of one moment: read for an answer, without a watch and without a plugin."""

from __future__ import annotations

from towpath.inventory.inventory import Inventory
from towpath.karmada.client import Client
from towpath.karmada.installation import read_marker
from towpath.model.installation import PathScope


async def read(client: Client) -> Inventory:
    """Return the inventory as the apiserver has it now. Raises ApiError."""
    inventory = Inventory(client, lambda _: None)
    marker = await read_marker(client) or {}
    inventory.put_path_scope(PathScope.of(marker.get("data") or {}))
    await inventory.watched.read()
    await inventory.members.resolver.refresh(all_=False)
    return inventory
