"""Taking a snapshot of one service from the inventory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from towpath.derivation.brought import BroughtService
from towpath.derivation.render import InUse
from towpath.derivation.routes import LiveRoute
from towpath.derivation.stages import Current, is_foreign
from towpath.inventory.inventory import Inventory
from towpath.inventory.snapshot import ImportState, Object, RouteState, Snapshot, Template
from towpath.karmada import decode, resources
from towpath.karmada.client import Resource
from towpath.karmada.decode import Copies, StoredExport, StoredTraffic
from towpath.karmada.wire import Name
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.ownership import (
    EXPORT_PREFIX,
    TRAFFIC_PREFIX,
    belongs_to,
    import_policy_name,
    is_ours,
    route_name,
    service_policy_name,
)
from towpath.propagation.claims import Claim, claim_of
from towpath.rules.gateway_route import RouteKind
from towpath.rules.late_cache import catching_up


def take(inventory: Inventory, key: ServiceKey, now: float, *, idle: bool) -> Snapshot:
    """Take the snapshot of one service."""
    watched, world = inventory.watched, inventory.world
    export = watched.exports[key.dialect].get(key.name, key.namespace)
    traffic = watched.traffic[key.dialect].get(key.name, key.namespace)
    template = watched.imports[key.dialect].get(key.name, key.namespace)
    namespace = watched.namespaces.get(key.namespace)
    sources = watched.sources(key.namespace, key.name)
    others = _others(sources, key)
    return Snapshot(
        key,
        now,
        world.fleet,
        _import_state(inventory, key, template, now),
        current=_current(inventory, key, template, sources, others),
        in_use=in_use(inventory, key),
        export=None if export is None or export.deleting else export,
        deleting=export if export is not None and export.deleting else None,
        exported=_exported(inventory, key, export),
        service=world.services.get(key),
        derived=world.derived(key, now),
        claims=world.records(key, now),
        may_record_later=world.may_record_later(key),
        others=others,
        export_policy=_ours(watched.propagation.get(f"{EXPORT_PREFIX}{key.name}", key.namespace), sources),
        traffic=traffic,
        policy=world.policies.get(key),
        traffic_policy=_ours(watched.propagation.get(f"{TRAFFIC_PREFIX}{key.name}", key.namespace), sources),
        brought=_brought(inventory, key),
        routes=_routes(inventory, key, sources, others),
        service_policy=_ours(watched.overrides.get(service_policy_name(key), key.namespace), sources),
        templates=_templates(inventory, key, template, export, traffic),
        terminating=namespace is not None and namespace.terminating,
        idle=idle,
        changed_at=inventory.changed_at.get(key),
        existing=sum(map(len, watched.imports.values())),
        lists=watched.lists,
        missing_inputs=inventory.missing_inputs,
        no_exports=watched.exports[key.dialect].found_nothing,
    )


def import_state(inventory: Inventory, key: ServiceKey, now: float) -> ImportState:
    """Return how the derived ServiceImport of one service stands in Karmada."""
    template = inventory.watched.imports[key.dialect].get(key.name, key.namespace)
    return _import_state(inventory, key, template, now)


def _others(sources: Mapping[str, Dialect], key: ServiceKey) -> frozenset[str]:
    """Return the uids of the other API group's sources of a name."""
    return frozenset(uid for uid, dialect in sources.items() if dialect is not key.dialect)


def route_states(inventory: Inventory, key: ServiceKey) -> Mapping[RouteKind, RouteState]:
    """Return the routes of one service on gateways of the members' own."""
    sources = inventory.watched.sources(key.namespace, key.name)
    return _routes(inventory, key, sources, _others(sources, key))


def _routes(
    inventory: Inventory, key: ServiceKey, sources: Collection[str], others: Collection[str]
) -> Mapping[RouteKind, RouteState]:
    return {kind: _route(inventory, key, kind, sources, others) for kind in RouteKind}


def _import_state(inventory: Inventory, key: ServiceKey, template: Object | None, now: float) -> ImportState:
    watched = inventory.watched
    uid = template["metadata"]["uid"] if template else ""
    claim = claim_of(template["metadata"].get("annotations") or {}) if template else None
    derived = Claim("PropagationPolicy", key.namespace, import_policy_name(key))
    binding = watched.binding_of(key.dialect.api_version, "ServiceImport", key, uid)
    return ImportState(
        binding,
        watched.taken_by(key, "ServiceImport"),
        None if claim == derived else claim,
        inventory.lost,
        catching_up(inventory.world.fleet.members, binding.copies.failed, now),
        inventory.reflecting,
        inventory.policies.reaching(key.dialect.api_version, "ServiceImport", Name(key.namespace, key.name)),
        inventory.services.targets,
    )


def _exported(inventory: Inventory, key: ServiceKey, export: StoredExport | None) -> Copies:
    uid = export.uid if export else ""
    return inventory.watched.binding_of(key.dialect.api_version, "ServiceExport", key, uid).copies


def _current(
    inventory: Inventory,
    key: ServiceKey,
    template: Object | None,
    sources: Collection[str],
    others: Collection[str],
) -> Current:
    """Return the derived objects of a service, without policies of the other API group's."""
    watched, name, owners = inventory.watched, import_policy_name(key), (sources, others)
    names = (name, *sorted(inventory.numbered.get(Name(key.namespace, key.name), ())))
    overrides = {n: obj for n in names if (obj := _own(watched.overrides.get(n, key.namespace), *owners))}
    propagation = _own(watched.propagation.get(name, key.namespace), *owners)
    return Current(template, propagation, overrides, watched.bound(key, "ServiceImport"))


def _brought(inventory: Inventory, key: ServiceKey) -> BroughtService | None:
    watched, service = inventory.watched, inventory.world.services.get(key)
    stored = watched.services.get(key.name, key.namespace)
    others = [d for d in Dialect if d != key.dialect and watched.exports[d].get(key.name, key.namespace)]
    decides = not service.taken_by if service else not others
    if stored is None or stored.going or not decides:
        return None
    bound = watched.binding_of("v1", "Service", key, stored.uid)
    copies = bound.copies
    return BroughtService(
        stored.uid, stored.template, bound.clusters, bound.brought, copies.applied, copies.failed
    )


def _route(
    inventory: Inventory,
    key: ServiceKey,
    kind: RouteKind,
    sources: Collection[str],
    others: Collection[str],
) -> RouteState:
    watched, name = inventory.watched, route_name(kind, key.name)
    route = watched.routes[kind].get(name, key.namespace)
    kept = (watched.propagation, watched.overrides)
    live = LiveRoute(
        None if route is None or is_foreign(route) or belongs_to(route, others) else route,
        *(_own(policies.get(name, key.namespace), sources, others) for policies in kept),
    )
    uid = live.route["metadata"]["uid"] if live.route else ""
    binding = watched.binding_of(kind.api_version, kind, key._replace(name=name), uid)
    policies, place = (resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES), Name(key.namespace, name)
    is_taken = any(watched.is_taken(policy, place, sources, others) for policy in policies)
    return RouteState(live, binding, is_taken)


def _own(obj: Object | None, sources: Collection[str], others: Collection[str]) -> Object | None:
    """Return an object if it may be changed and is not the other API group's."""
    ours = _ours(obj, sources)
    return None if ours is None or belongs_to(ours, others) else ours


def _ours(policy: Object | None, sources: Collection[str]) -> Object | None:
    """Return a policy if it may be changed, None for one of a user that has the label."""
    return policy if policy is not None and is_ours(policy, sources) else None


def in_use(inventory: Inventory, key: ServiceKey) -> InUse:
    """Return which derived names of a service objects of users have."""
    watched, service = inventory.watched, inventory.world.services.get(key)
    template = watched.imports[key.dialect].get(key.name, key.namespace)
    sources = watched.sources(key.namespace, key.name)

    def taken(resource: Resource, name: str, others: Collection[str] = ()) -> str:
        is_taken = watched.is_taken(resource, Name(key.namespace, name), sources, others)
        return f"{resource.kind} {key.namespace}/{name}" if is_taken else ""

    others = _others(sources, key)  # of two API groups' exports of a name one alone has imports
    imports = (
        f"ServiceImport {key.namespace}/{key.name}" if is_foreign(template) else "",
        taken(resources.PROPAGATION_POLICIES, import_policy_name(key), others),
        taken(resources.OVERRIDE_POLICIES, import_policy_name(key), others),
        taken(resources.OVERRIDE_POLICIES, service_policy_name(key)),
    )
    follows = service is not None and not service.selected
    return InUse(
        tuple(filter(None, imports)),
        taken(resources.PROPAGATION_POLICIES, f"{EXPORT_PREFIX}{key.name}") if follows else "",
        taken(resources.PROPAGATION_POLICIES, f"{TRAFFIC_PREFIX}{key.name}"),
    )


def _templates(
    inventory: Inventory,
    key: ServiceKey,
    service_import: Object | None,
    export: StoredExport | None,
    traffic: StoredTraffic | None,
) -> tuple[Template, ...]:
    """Return the templates whose binding Karmada may keep, present or not: a foreign ServiceImport is not
    one."""
    dialect, name = key.dialect, Name(key.namespace, key.name)
    service = inventory.watched.services.get(key.name, key.namespace)
    uids = [
        (resources.SERVICES, service.uid if service else ""),
        (resources.service_exports(dialect), export.uid if export else ""),
        (resources.traffic_policies(dialect), traffic.uid if traffic else ""),
    ]
    if not is_foreign(service_import):
        uid = service_import["metadata"]["uid"] if service_import else ""
        uids.append((resources.service_imports(dialect), uid))
    return tuple(Template(resource, name, _former(inventory, resource, name, uid)) for resource, uid in uids)


def _former(inventory: Inventory, resource: Resource, name: Name, uid: str) -> str:
    """Return the uid that the binding of a template names instead of its own; empty if it does not."""
    binding = inventory.watched.bindings.get(decode.binding_name(name.name, resource.kind), name.namespace)
    if binding is None or binding.uid == uid:
        return ""
    its_own = (binding.api_version, binding.kind) == (resource.api_version, resource.kind)
    return binding.uid if its_own else ""
