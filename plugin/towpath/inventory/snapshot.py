"""A snapshot: everything that concerns one service at one moment, taken once for each pass of the controller.

What a pass decides follows from its snapshot and from nothing else, so a decision is tested with a table of
snapshots. What changes while the pass acts touches the service again, and the next pass sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from towpath.derivation.brought import BroughtService
from towpath.derivation.derive import Derived
from towpath.derivation.render import NOT_IN_USE, InUse
from towpath.derivation.routes import LiveRoute
from towpath.derivation.stages import Current
from towpath.karmada import decode
from towpath.karmada.client import Resource
from towpath.karmada.decode import Binding, Copies, StoredExport, StoredTraffic
from towpath.karmada.wire import Name
from towpath.model.claim import ClaimRecord
from towpath.model.cluster import Fleet
from towpath.model.keys import ServiceKey
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.propagation.claims import Claim
from towpath.propagation.policies import OverridePolicy, Target
from towpath.rules.gateway_route import RouteKind

Object = Mapping[str, Any]


@dataclass(frozen=True)
class ImportState:
    """How the derived ServiceImport of one service stands in Karmada.

    ``binding`` holds what each member reports, and where Karmada fails to write. ``taken_by`` is the API
    version of a ServiceImport that has the binding of this name (shared binding names), and ``claim`` the
    policy that has claimed the template, if it is not the derived one. ``reflecting``: members report digests
    at all. ``catching_up`` are the members that are Ready again and that Karmada does not know yet, each with
    since when (seconds since 1970). ``overrides`` are the user's override policies that can reach the
    template, and ``targets`` the members as policies select them.
    """

    binding: Binding
    taken_by: str = ""
    claim: Claim | None = None
    lost: frozenset[str] = frozenset()
    catching_up: Mapping[str, float] = field(default_factory=dict)
    reflecting: bool = True
    overrides: tuple[OverridePolicy, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=dict)


class RouteState(NamedTuple):
    """The routes of one kind: what is there, what Karmada reports of it, and whether a name is a user's."""

    live: LiveRoute
    binding: Binding
    is_taken: bool = False


class Reports(NamedTuple):
    """What Karmada reports of one service: of its import, of its routes, and of the pods of its exporters.

    ``unready`` are the clusters without a ready pod, each with since when.
    """

    imports: ImportState
    routes: Mapping[RouteKind, RouteState]
    unready: Mapping[str, str]


NO_COPIES = Copies()


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

    ``exported`` are the copies of the ServiceExport, and ``claims`` is what its status should record;
    ``may_record_later``: a new import may be written before that.
    ``others`` are the uids of the other API group's export and traffic policy of this name: the names of
    derived policies are the same in both.

    ``brought`` is the Service, None where this export does not decide about it: it does not exist, or an
    export of the other dialect does. ``service_policy`` is the live policy that changes it. ``routes`` are on
    the gateways that members have of their own.

    ``terminating``: the namespace is being deleted. ``idle``: nothing else waits to be reconciled.
    ``changed_at`` is when the change began that no pass has taken up yet. ``existing`` is the number of
    derived ServiceImports of all services, ``lists`` how often everything has been listed. ``missing_inputs``
    and ``no_exports`` say which lists were empty that should not be.
    """

    key: ServiceKey
    now: float
    fleet: Fleet
    imports: ImportState
    current: Current = field(default_factory=Current)
    in_use: InUse = NOT_IN_USE
    export: StoredExport | None = None
    exported: Copies = NO_COPIES
    deleting: StoredExport | None = None
    service: ExportedService | None = None
    derived: Derived | None = None
    claims: tuple[ClaimRecord, ...] = ()
    may_record_later: bool = False
    others: frozenset[str] = frozenset()
    export_policy: Object | None = None
    traffic: StoredTraffic | None = None
    policy: AppliedPolicy | None = None
    brought: BroughtService | None = None
    service_policy: Object | None = None
    routes: Mapping[RouteKind, RouteState] = field(default_factory=dict)
    traffic_policy: Object | None = None
    templates: tuple[Template, ...] = ()
    terminating: bool = False
    idle: bool = True
    changed_at: float | None = None
    existing: int = 0
    lists: int = 0
    missing_inputs: tuple[str, ...] = ()
    no_exports: bool = False

    @property
    def reports(self) -> Reports:
        """What Karmada reports of the service."""
        return Reports(self.imports, self.routes, self.exported.unready)
