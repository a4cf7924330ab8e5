"""Where the objects of a service are."""

from __future__ import annotations

from towpath.karmada import resources
from towpath.karmada.client import Resource
from towpath.karmada.wire import Name
from towpath.model.keys import ServiceKey


def export_of(key: ServiceKey) -> tuple[Resource, Name]:
    """Return where the export is."""
    return resources.service_exports(key.dialect), Name(key.namespace, key.name)


def import_of(key: ServiceKey) -> tuple[Resource, Name]:
    """Return where the derived import is."""
    return resources.service_imports(key.dialect), Name(key.namespace, key.name)
