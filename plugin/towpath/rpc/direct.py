"""The calls of the client without a plugin: the same functions, over what the apiserver holds now."""

from __future__ import annotations

import time
from functools import partial
from typing import NamedTuple

from towpath.errors import NotFound
from towpath.inventory import listing
from towpath.inventory.inventory import Inventory
from towpath.karmada.client import Client
from towpath.proto.v1alpha1.inventory_pb2 import ListClustersResponse, ListServicesResponse
from towpath.proto.v1alpha1.service_pb2 import Explanation
from towpath.review import stored
from towpath.review.explanation import Explainer
from towpath.review.lookup import find, in_order, why_not_found
from towpath.rpc import convert


class Reading(NamedTuple):
    """What the apiserver held at one moment, and what explains it."""

    inventory: Inventory
    explainer: Explainer


async def read(client: Client) -> Reading:
    """Read the apiserver. Raises ApiError."""
    return reading(await listing.read(client))


def reading(inventory: Inventory) -> Reading:
    """Return what explains an inventory without a plugin."""
    explainer = Explainer(inventory, stored.withheld(inventory), partial(stored.pending_since, inventory))
    return Reading(inventory, explainer)


def list_clusters(reading: Reading) -> ListClustersResponse:
    """Return the members."""
    members = reading.inventory.world.fleet.members
    return ListClustersResponse(clusters=convert.clusters(members, reading.explainer.gateway_sources()))


def list_services(reading: Reading, namespace: str = "") -> ListServicesResponse:
    """Return a summary of each exported service of a namespace, or of all."""
    now = time.time()
    found = (reading.explainer.standing(key, now) for key in in_order(reading.inventory.world, namespace))
    return ListServicesResponse(services=map(convert.summary, filter(None, found)))


def explain(reading: Reading, namespace: str, name: str, dialect: str = "") -> Explanation:
    """Explain a service. Raises NotFound."""
    world = reading.inventory.world
    key = find(world, namespace, name, dialect)
    found = reading.explainer.explain(key, time.time()) if key else None
    if found is None:
        raise NotFound(why_not_found(namespace, name, dialect, list(world.services)), 404)
    return convert.explanation(found[0])
