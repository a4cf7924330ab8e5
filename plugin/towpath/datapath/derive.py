"""From the world of one member to Envoy resources and EndpointSlices: the same world, the same result.

Each object is worked out by itself, and what is wrong with one is a ``Problem`` that affects no other. Given
the last result, what has not changed is taken from it: that costs less and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import is_
from typing import NamedTuple, TypeVar

from towpath.datapath.allocation import (
    Allocation,
    ImportedPort,
    allocate_paths,
    allocate_ports,
    claims_of,
    valid_claims,
)
from towpath.datapath.egress import Gateways, egress, gateways
from towpath.datapath.envoy import Json, Kind, Resource
from towpath.datapath.fallback import own_paths, with_own_gateway
from towpath.datapath.ingress import Exported, exported, gateway, ready_addresses
from towpath.datapath.problem import EXPORT, IMPORT, Problem, ProblemReason
from towpath.datapath.shares import has_local_part, uses_imports
from towpath.datapath.shares import problems as policy_problems
from towpath.datapath.slices import gateways as gateways_of
from towpath.datapath.slices import proxies, wanted_slice
from towpath.datapath.world import (
    MemberExport,
    MemberImport,
    MemberPolicy,
    Proxy,
    ServiceName,
    Settings,
    Slice,
    SlicePort,
    World,
)
from towpath.model.keys import ServiceKey
from towpath.model.service import HEADLESS, Service
from towpath.model.view import ImportPort
from towpath.propagation import namespaces

T = TypeVar("T")
_TCP = "TCP"
_APISERVER = ("default", "kubernetes")
GATEWAY_PORT_NAME = "gateway"
"""Name of the port of the gateway's Service."""
_NO_PORT_LEFT = (
    "All listener ports are in use, and the namespace has its share of them. Give the agent a larger range, "
    "or import fewer ports into the namespace."
)


class ImportInputs(NamedTuple):
    """All that the result for one import depends on."""

    key: ServiceKey
    imported: MemberImport
    policy: MemberPolicy | None
    service: Service | None
    slices: tuple[Slice, ...]
    ports: tuple[int | None, ...]
    """Listener ports, as the ports of the import."""
    proxies: tuple[Proxy, ...]
    own_paths: tuple[str | None, ...]
    """Paths at the member's own gateway, as the ports of the import."""


class ExportInputs(NamedTuple):
    """All that the result for one export depends on."""

    key: ServiceKey
    export: MemberExport
    service: Service | None
    slices: tuple[Slice, ...]
    holders: tuple[ServiceKey, ...]
    """Who has the path of each rule."""


class Imported(NamedTuple):
    """What comes of one import."""

    resources: tuple[Resource, ...] = ()
    content: Slice | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Derived:
    """The result: resources by type and name, slices by Service, and what could not be done."""

    resources: Mapping[Kind, Mapping[str, Json]] = field(default_factory=dict)
    slices: Mapping[ServiceName, Slice] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    allocation: Allocation = field(default_factory=Allocation)
    imports: Mapping[ServiceKey, tuple[ImportInputs, Imported]] = field(default_factory=dict)
    exports: Mapping[ServiceKey, tuple[ExportInputs, Exported]] = field(default_factory=dict)
    front: tuple[Resource, ...] = ()
    """The gateway's listener and routes."""


def derive(world: World, known: Allocation, settings: Settings, last: Derived | None = None) -> Derived:
    """Return what the world asks for. ``known`` is the allocation as it is kept in the member."""
    last = last or Derived()
    world, reserved = _without_reserved(world, settings)
    world, renamed = _one_of_each_name(world)
    allocation = _allocate(world, known, settings)
    imports = {}
    envoys = proxies(world.slices_of(settings.proxies))
    for key in world.imports:
        wanted = _import_inputs(world, key, allocation, envoys)
        before = last.imports.get(key)
        made = before[1] if before and before[0] == wanted else _imported(wanted, settings)
        imports[key] = (wanted, made)
    exports = {}
    for key in world.exports:
        asked = _export_inputs(world, key, allocation)
        was = last.exports.get(key)
        exports[key] = was if was and was[0] == asked else (asked, exported(*asked))
    taken = [result for _, result in imports.values()]
    offered = [result for _, result in exports.values()]
    before_that = [result for _, result in last.exports.values()]
    every: list[Imported | Exported] = [*taken, *offered]
    is_same = last.front and len(offered) == len(before_that) and all(map(is_, offered, before_that))
    front = last.front if is_same else gateway(offered, settings)
    return Derived(
        _by_kind([*front, *(r for result in every for r in result.resources)]),
        {
            **_gateway_slice(world, settings),
            **{
                ServiceName(key.namespace, key.name): made.content
                for key, (_, made) in imports.items()
                if made.content is not None
            },
        },
        tuple(
            sorted(
                {*reserved, *renamed, *_problems(world), *(p for result in every for p in result.problems)}
            )
        ),
        allocation,
        imports,
        exports,
        front,
    )


def _allocate(world: World, known: Allocation, settings: Settings) -> Allocation:
    ports = {
        ImportedPort(key.namespace, key.name, port.port)
        for key, imported in world.imports.items()
        for port in imported.view.ports
    }
    claims = {
        key: valid_claims(export, world.services.get(ServiceName(key.namespace, key.name)))
        for key, export in world.exports.items()
    }
    return Allocation(
        allocate_ports(ports, known.ports, settings.first_port, settings.ports),
        allocate_paths(world.exports, claims, known.paths),
    )


def _gateway_slice(world: World, settings: Settings) -> dict[ServiceName, Slice]:
    """Return the slice of the gateway's Service, if the member has that Service."""
    if settings.gateway not in world.services:
        return {}
    port = SlicePort(GATEWAY_PORT_NAME, settings.gateway_port)
    return {settings.gateway: wanted_slice([port], gateways_of(world.slices_of(settings.proxies)))}


def _without_reserved(world: World, settings: Settings) -> tuple[World, tuple[Problem, ...]]:
    """Return the world without imports and exports of the Services that the cluster itself rests on.

    By an import of ``default/kubernetes`` all pods of the member would send their tokens to another cluster.
    """

    def is_reserved(key: ServiceKey) -> bool:
        reserved = key.namespace == settings.proxies.namespace or namespaces.is_reserved(key.namespace)
        return reserved or (key.namespace, key.name) == _APISERVER

    text = "metadata.name: The cluster itself needs this Service. Use another namespace or name."
    kinds: tuple[tuple[str, Mapping[ServiceKey, object]], ...] = (
        (IMPORT, world.imports),
        (EXPORT, world.exports),
    )
    problems = tuple(
        Problem(kind, key, ProblemReason.RESERVED, text)
        for kind, objects in kinds
        for key in filter(is_reserved, objects)
    )
    if not problems:
        return world, ()
    imports = {key: found for key, found in world.imports.items() if not is_reserved(key)}
    exports = {key: found for key, found in world.exports.items() if not is_reserved(key)}
    return replace(world, imports=imports, exports=exports), problems


def _one_of_each_name(world: World) -> tuple[World, tuple[Problem, ...]]:
    """Return the world with one import and one export for each Service: of two dialects the newer counts."""
    imports, no_imports = _unique(IMPORT, world.imports)
    exports, no_exports = _unique(EXPORT, world.exports)
    return replace(world, imports=imports, exports=exports), (*no_imports, *no_exports)


def _unique(kind: str, objects: Mapping[ServiceKey, T]) -> tuple[dict[ServiceKey, T], tuple[Problem, ...]]:
    found: dict[ServiceName, ServiceKey] = {}
    problems = []
    for key in sorted(objects, reverse=True):
        by = found.setdefault(ServiceName(key.namespace, key.name), key)
        if by != key:
            text = f"metadata.name: The {kind} of {by.dialect.value} is used. Delete one of them."
            problems.append(Problem(kind, key, ProblemReason.NAME_TAKEN, text))
    return {key: objects[key] for key in reversed(found.values())}, tuple(problems)


def _import_inputs(
    world: World, key: ServiceKey, allocation: Allocation, envoys: tuple[Proxy, ...]
) -> ImportInputs:
    name, imported = ServiceName(key.namespace, key.name), world.imports[key]
    ports = tuple(allocation.ports.get(ImportedPort(*name, port.port)) for port in imported.view.ports)
    # Only whether pods are ready counts, and what the data path has written itself does not.
    slices = tuple(found for found in world.slices_of(name) if not found.published)
    export = world.exports.get(key)
    own = own_paths(key, imported.view.ports, export, _holders(key, export, allocation))
    return ImportInputs(
        key, imported, world.policies.get(key), world.services.get(name), slices, ports, envoys, own
    )


def _holders(key: ServiceKey, export: MemberExport | None, allocation: Allocation) -> tuple[ServiceKey, ...]:
    return tuple(allocation.paths.get(claim, key) for claim in claims_of(export)) if export else ()


def _export_inputs(world: World, key: ServiceKey, allocation: Allocation) -> ExportInputs:
    name, export = ServiceName(key.namespace, key.name), world.exports[key]
    slices = tuple(found for found in world.slices_of(name) if not found.published)
    holders = _holders(key, export, allocation)
    return ExportInputs(key, export, world.services.get(name), slices, holders)


def _imported(asked: ImportInputs, settings: Settings) -> Imported:
    key, service = asked.key, asked.service
    if service is None:
        text = "metadata.name: The Service of this name does not exist, so that its name does not resolve."
        return Imported(problems=(Problem(IMPORT, key, ProblemReason.NO_SERVICE, text),))
    if service.import_type == HEADLESS:
        text = "metadata.name: The Service is headless: clients would reach the proxy on the wrong port."
        return Imported(problems=(Problem(IMPORT, key, ProblemReason.HEADLESS, text),))
    resources: list[Resource] = []
    problems: list[Problem] = []
    ports: list[SlicePort] = []
    is_local_ready = _is_local_ready(service, asked.slices)
    is_shared = is_local_ready and has_local_part(asked.policy)
    listed = zip(asked.ports, asked.imported.view.ports, asked.own_paths, strict=True)
    for listener_port, port, own_path in {entry[0]: entry for entry in listed}.values():
        wrong = _why_not(service, port, listener_port)
        if wrong is not None or listener_port is None:
            if wrong is not None:
                problems.append(Problem(IMPORT, key, wrong[0], f"spec.ports[port={port.port}]: {wrong[1]}"))
            continue
        behind: Gateways = gateways(key, port, asked.policy, settings)
        problems += behind.problems
        used = with_own_gateway(behind.shares, own_path, settings) if is_shared else behind.shares
        resources += egress(
            ImportedPort(key.namespace, key.name, port.port),
            port,
            used,
            affinity=asked.imported.view.session_affinity,
            listener_port=listener_port,
            settings=settings,
        )
        name = next(own.name for own in service.ports if own.port == port.port and own.protocol == _TCP)
        if behind.shares:
            ports.append(SlicePort(name, listener_port))
    is_used = uses_imports(asked.policy, local_ready=is_local_ready)
    content = wanted_slice(ports, asked.proxies if is_used and ports else ())
    return Imported(tuple(resources), content, tuple(problems))


def _why_not(
    service: Service, port: ImportPort, listener_port: int | None
) -> tuple[ProblemReason, str] | None:
    """Return why a port is not served: the reason and a sentence."""
    if port.protocol != _TCP:
        return ProblemReason.NOT_TCP, f"The protocol {port.protocol} is not supported. Use TCP."
    if not any(own.port == port.port and own.protocol == _TCP for own in service.ports):
        return ProblemReason.NO_SUCH_PORT, "The Service of this name has no such TCP port here."
    if listener_port is None:
        return ProblemReason.NO_PORT_LEFT, _NO_PORT_LEFT
    return None


def _is_local_ready(service: Service, slices: tuple[Slice, ...]) -> bool:
    return any(ready_addresses(slices, port) for port in service.ports)


def _problems(world: World) -> Iterator[Problem]:
    for key, policy in world.policies.items():
        yield from policy_problems(key, policy)


def _by_kind(resources: Iterable[Resource]) -> dict[Kind, dict[str, Json]]:
    found: dict[Kind, dict[str, Json]] = {kind: {} for kind in Kind}
    for resource in sorted(resources, key=lambda resource: (resource.kind, resource.name)):
        found[resource.kind][resource.name] = resource.body
    return found
