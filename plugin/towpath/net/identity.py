"""Which member this is: Karmada says so in whatever it has brought here."""

from __future__ import annotations

from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client

UNKNOWN = "this cluster"
"""Name of a member that Karmada has not brought the ConfigMap to."""
CONFIG_MAP = "towpath-net-envoy"
"""Envoy's own configuration (deploy/datapath)."""
_ANNOTATION, _PREFIX = "work.karmada.io/namespace", "karmada-es-"
"""The namespace of the object's Work in Karmada: it has the member's name."""


async def member_name(client: Client, namespace: str) -> str:
    """Return the name that Karmada has for this member."""
    try:
        found = await client.get(resources.CONFIG_MAPS, CONFIG_MAP, namespace)
    except NotFound:
        return UNKNOWN
    work_namespace = str((found["metadata"].get("annotations") or {}).get(_ANNOTATION, ""))
    return work_namespace.removeprefix(_PREFIX) or UNKNOWN
