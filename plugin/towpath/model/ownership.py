"""What marks an object as Towpath's: its label, its field manager, its annotations, its name.

Each of these facts stands here alone. The controller writes them, ``plan`` and the webhook recognize objects
by them, ``install`` and ``uninstall`` select by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath.model.keys import ServiceKey

MANAGED_BY_LABEL, TOWPATH = "app.kubernetes.io/managed-by", "towpath"
MANAGED_BY = {MANAGED_BY_LABEL: TOWPATH}
"""The labels of every object that Towpath creates."""
OWN_OBJECTS = f"{MANAGED_BY_LABEL}={TOWPATH}"
"""Selects them."""
OTHER_OBJECTS = f"{MANAGED_BY_LABEL}!={TOWPATH}"
"""Selects all others."""
FIELD_MANAGER = "towpath"
"""The field manager with which the controller applies."""
VIEW_ANNOTATION = "towpath.io/view"
"""Holds the digest of the view that a ServiceImport gives to its cluster."""
IMPORT_PREFIX, EXPORT_PREFIX, TRAFFIC_PREFIX = "towpath-import-", "towpath-export-", "towpath-traffic-"
"""How names of derived policies begin: those that carry imports, and those by which exports and traffic
policies follow. The name of the service is next.
"""


def is_own(obj: Mapping[str, Any]) -> bool:
    """Tell whether an object has Towpath's label."""
    labels = obj["metadata"].get("labels")
    return isinstance(labels, Mapping) and labels.get(MANAGED_BY_LABEL) == TOWPATH


def import_policy_name(key: ServiceKey, shard: int = 0) -> str:
    """Return the name of a service's policies; those after the first are numbered, behind a dot."""
    return f"{IMPORT_PREFIX}{key.name}.{shard}" if shard else f"{IMPORT_PREFIX}{key.name}"


def imported_service(policy_name: str) -> str | None:
    """Return the service whose imports a derived policy carries, None for any other policy."""
    if not policy_name.startswith(IMPORT_PREFIX):
        return None
    return policy_name.removeprefix(IMPORT_PREFIX).partition(".")[0]


def followed_service(policy_name: str) -> str | None:
    """Return the service whose export or traffic policy a derived policy carries, None for any other."""
    for prefix in (EXPORT_PREFIX, TRAFFIC_PREFIX):
        if policy_name.startswith(prefix):
            return policy_name.removeprefix(prefix)
    return None
