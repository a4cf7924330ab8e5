"""A snapshot: everything that concerns one service at one moment, taken once for each pass of the controller.

What a pass decides follows from its snapshot and from nothing else, so a decision is tested with a table of
snapshots. What changes while the pass acts touches the service again, and the next pass sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from towpath.derivation.derive import Derived
from towpath.derivation.stages import Current, is_foreign
from towpath.inventory.inventory import Inventory
from towpath.karmada import decode, resources
from towpath.karmada.client import Resource
from towpath.karmada.decode import Binding, StoredExport, StoredTraffic
from towpath.karmada.reflector import Name
from towpath.model.cluster import Fleet
from towpath.model.keys import ServiceKey
from towpath.model.ownership import EXPORT_PREFIX, TRAFFIC_PREFIX, import_policy_name
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.propagation.claims import Claim, claim_of

Object = Mapping[str, Any]


@dataclass(frozen=True)
class ImportState:
    """How the derived ServiceImport of one service stands in Karmada.

    ``binding`` holds what each member reports, and where Karmada fails to write. ``taken_by`` is the API
    version of a ServiceImport that has the binding of this name (shared binding names), and ``claim`` the
    policy that has claimed the template, if it is not the derived one. ``reflecting``: members report digests
    at all.
    """

    binding: Binding
    taken_by: str = ""
    claim: Claim | None = None
    lost: frozenset[str] = frozenset()
    reflecting: bool = True


class Template(NamedTuple):
    """A template of the service, and the uid of the former template that its binding names, if it does."""

    resource: Resource
    name: Name
    former: str

    @property
    def binding(self) -> Name:
        """Where Karmada keeps its binding."""
        return Name(self.name.namespace, decode.binding_name(self.name.name, self.resource.kind))


@dataclass(frozen=True)
class Snapshot:
    """One service at ``now`` (seconds since 1970). What does not exist is None.

    ``export`` is None also while the ServiceExport is being deleted; then ``deleting`` is the ServiceExport.

    ``terminating``: the namespace is being deleted. ``idle``: nothing else waits to be reconciled.
    ``changed_at`` is when the change began that no pass has taken up yet. ``existing`` is the number of
    derived ServiceImports of all services. ``missing_inputs`` and ``no_exports`` say which lists were empty
    that should not be.
    """

    key: ServiceKey
    now: float
    fleet: Fleet
    imports: ImportState
    current: Current = field(default_factory=Current)
    export: StoredExport | None = None
    deleting: StoredExport | None = None
    service: ExportedService | None = None
    derived: Derived | None = None
    export_policy: Object | None = None
    traffic: StoredTraffic | None = None
    policy: AppliedPolicy | None = None
    traffic_policy: Object | None = None
    templates: tuple[Template, ...] = ()
    terminating: bool = False
    idle: bool = True
    changed_at: float | None = None
    existing: int = 0
    missing_inputs: tuple[str, ...] = ()
    no_exports: bool = False


def take(inventory: Inventory, key: ServiceKey, now: float, *, idle: bool) -> Snapshot:
    """Take the snapshot of one service."""
    watched, world = inventory.watched, inventory.world
    export = watched.exports[key.dialect].get(key.name, key.namespace)
    traffic = watched.traffic[key.dialect].get(key.name, key.namespace)
    template = watched.imports[key.dialect].get(key.name, key.namespace)
    namespace = watched.namespaces.get(key.namespace)
    return Snapshot(
        key,
        now,
        world.fleet,
        _import_state(inventory, key, template),
        current=_current(inventory, key, template),
        export=None if export is None or export.deleting else export,
        deleting=export if export is not None and export.deleting else None,
        service=world.services.get(key),
        derived=world.derived(key, now),
        export_policy=watched.propagation.get(f"{EXPORT_PREFIX}{key.name}", key.namespace),
        traffic=traffic,
        policy=world.policies.get(key),
        traffic_policy=watched.propagation.get(f"{TRAFFIC_PREFIX}{key.name}", key.namespace)
        if traffic
        else None,
        templates=_templates(inventory, key, template, export, traffic),
        terminating=namespace is not None and namespace.terminating,
        idle=idle,
        changed_at=inventory.changed_at.get(key),
        existing=sum(map(len, watched.imports.values())),
        missing_inputs=inventory.missing_inputs,
        no_exports=watched.exports[key.dialect].found_nothing,
    )


def import_state(inventory: Inventory, key: ServiceKey) -> ImportState:
    """Return how the derived ServiceImport of one service stands in Karmada."""
    return _import_state(inventory, key, inventory.watched.imports[key.dialect].get(key.name, key.namespace))


def _import_state(inventory: Inventory, key: ServiceKey, template: Object | None) -> ImportState:
    watched = inventory.watched
    uid = template["metadata"]["uid"] if template else ""
    claim = claim_of(template["metadata"].get("annotations") or {}) if template else None
    derived = Claim("PropagationPolicy", key.namespace, import_policy_name(key))
    return ImportState(
        watched.binding_of(key.dialect.api_version, "ServiceImport", key, uid),
        watched.taken_by(key, "ServiceImport"),
        None if claim == derived else claim,
        inventory.lost,
        inventory.reflecting,
    )


def _current(inventory: Inventory, key: ServiceKey, template: Object | None) -> Current:
    watched, name = inventory.watched, import_policy_name(key)
    names = (name, *sorted(inventory.numbered.get(Name(key.namespace, key.name), ())))
    overrides = {n: obj for n in names if (obj := watched.overrides.get(n, key.namespace)) is not None}
    return Current(template, watched.propagation.get(name, key.namespace), overrides)


def _templates(
    inventory: Inventory,
    key: ServiceKey,
    service_import: Object | None,
    export: StoredExport | None,
    traffic: StoredTraffic | None,
) -> tuple[Template, ...]:
    """Return the templates of the service whose binding Karmada may keep: a foreign ServiceImport is not
    one."""
    dialect, name = key.dialect, Name(key.namespace, key.name)
    service = inventory.watched.services.get(key.name, key.namespace)
    imported = None if service_import is None or is_foreign(service_import) else service_import
    uids = (
        (resources.SERVICES, service.uid if service else ""),
        (resources.service_exports(dialect), export.uid if export else ""),
        (resources.traffic_policies(dialect), traffic.uid if traffic else ""),
        (resources.service_imports(dialect), imported["metadata"]["uid"] if imported else ""),
    )
    return tuple(Template(resource, name, _former(inventory, resource, name, uid)) for resource, uid in uids)


def _former(inventory: Inventory, resource: Resource, name: Name, uid: str) -> str:
    """Return the uid that the binding of a template names instead of its own; empty if it does not."""
    binding = inventory.watched.bindings.get(decode.binding_name(name.name, resource.kind), name.namespace)
    if binding is None or not uid or binding.uid == uid:
        return ""
    its_own = (binding.api_version, binding.kind) == (resource.api_version, resource.kind)
    return binding.uid if its_own else ""
