"""The allocation as it is kept: in one ConfigMap of the agents' own namespace, which no tenant can write.

All agents of a member share it. A write names the version that it is based upon, so that of two agents one
is refused, reads what the other one has written, and works the result out again.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import msgspec

from towpath.datapath.allocation import Allocation, ImportedPort, PathClaim
from towpath.datapath.world import ServiceName
from towpath.errors import InvalidObject
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client
from towpath.model.keys import Dialect, ServiceKey

_PORTS, _PATHS = "ports", "paths"


class _Metadata(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _ConfigMap(msgspec.Struct):
    metadata: _Metadata
    data: dict[str, str] = {}


class StoredAllocation(NamedTuple):
    """An allocation and the version of the ConfigMap that holds it."""

    version: str
    allocation: Allocation


def stored(raw: bytes) -> StoredAllocation:
    """Read the ConfigMap. Raises InvalidObject."""
    try:
        obj = msgspec.json.decode(raw, type=_ConfigMap)
        ports = msgspec.json.decode(obj.data.get(_PORTS, "{}"), type=dict[str, int])
        paths = msgspec.json.decode(obj.data.get(_PATHS, "{}"), type=dict[str, str])
        allocation = Allocation(
            {_port(text): number for text, number in ports.items()},
            {_claim(text): _key(holder) for text, holder in paths.items()},
        )
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidObject(f"the ConfigMap of the allocation: {error}") from None
    return StoredAllocation(obj.metadata.resource_version, allocation)


async def store(client: Client, name: ServiceName, allocation: Allocation, version: str) -> bytes:
    """Write the ConfigMap and return what the apiserver made of it. ``version`` is "" where there is none.

    Raises Conflict if another agent has written it since.
    """
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name.name, "namespace": name.namespace},
        "data": data_of(allocation),
    }
    if not version:
        return await client.request("POST", resources.CONFIG_MAPS.path(name.namespace), body=body)
    body["metadata"]["resourceVersion"] = version  # type: ignore[index]
    path = resources.CONFIG_MAPS.path(name.namespace, name.name)
    return await client.request("PATCH", path, body=body, content_type=MERGE)


def data_of(allocation: Allocation) -> dict[str, str]:
    """Return the data of the ConfigMap."""
    return {
        _PORTS: json.dumps({str(key): port for key, port in sorted(allocation.ports.items())}),
        _PATHS: json.dumps({str(claim): _text(key) for claim, key in sorted(allocation.paths.items())}),
    }


def _port(text: str) -> ImportedPort:
    namespace, _, rest = text.partition("/")
    name, _, port = rest.rpartition(":")
    return ImportedPort(namespace, name, int(port))


def _claim(text: str) -> PathClaim:
    kind, _, path = text.partition(" ")
    return PathClaim(path, kind)


def _text(key: ServiceKey) -> str:
    return f"{key.dialect.value}/{key.namespace}/{key.name}"


def _key(text: str) -> ServiceKey:
    dialect, namespace, name = text.split("/")
    return ServiceKey(Dialect(dialect), namespace, name)
