"""All that a derivation starts from: members, and what each of them offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from towpath.model.claim import ClaimRecord
from towpath.model.cluster import Member
from towpath.model.export import Export
from towpath.model.keys import ServiceKey
from towpath.model.service import Service
from towpath.model.traffic import TrafficPolicy

NOBODY: frozenset[str] = frozenset()


class Absence(Enum):
    """Why a cluster that Karmada has bound an object to does not have it."""

    SUSPENDED = auto()
    FAILED = auto()
    PENDING = auto()
    UNREPORTED = auto()


@dataclass(frozen=True)
class Offer:
    """One service as one member sees it, after the user's own overrides.

    ``service`` is None where Karmada did not bind the Service, and ``going`` is set while it is being
    deleted. ``created`` is the age of the member's own ServiceExport, empty where it has that of the
    template. ``digest`` is what the member reports once it holds this export, empty if that is not known.
    ``refused`` is the message of the member's own controller with ``Valid=False``, None without
    one. ``absence``: the cluster is bound and does not have the objects; ``obstacle`` is Karmada's message.
    """

    export: Export
    service: Service | None
    going: bool = False
    created: str = ""
    refused: str | None = None
    absence: Absence | None = None
    obstacle: str = ""
    digest: str = ""


@dataclass(frozen=True)
class ExportedService:
    """One ServiceExport: who owns what is derived, and the offers by name of the member bound to it.

    Ages are RFC 3339 in UTC, so they sort as text. ``annotations`` are those of the export that begin
    with ``towpath.io/``. ``serving`` are the clusters that the Service itself is bound to, and
    ``selected`` tells whether a policy of the user selects the export ("follow rule" in docs/rules.md).

    ``taken_by`` is the API version of a ServiceExport whose binding has the name of this one's
    (docs/karmada-behaviour.md, "shared binding names").
    ``frozen``: the Service has lost its policy, so its changes reach no member ("frozen templates").
    ``namespaced`` are the clusters that have its namespace, None for all of them.
    ``faults`` are sentences about overrides that Karmada cannot apply ("silent override failure"), and
    ``kept`` why clusters that export the service keep an older version. ``has_service``: a Service of the
    name exists in Karmada. ``service_selected``: a policy selects it. ``stale`` are the clusters that report
    another version of the export than Karmada has applied there, as it says, with since when (seconds since
    1970).
    ``claimed`` are the claims that the status records, None if it was reported without any ("claim rule").
    ``untouched``: neither changed nor reported since its creation, so it has claimed its paths since then.
    ``shown`` are clusters with the paths that the derived ServiceImport gives them, as ``rules.paths``
    compares paths, while the status records nothing.
    ``path_root`` is the path at or below which all its paths must be, empty for any path.
    """

    key: ServiceKey
    uid: str
    offers: Mapping[str, Offer] = field(default_factory=dict)
    created: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    serving: frozenset[str] = NOBODY
    selected: bool = True
    taken_by: str = ""
    frozen: bool = False
    faults: tuple[str, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    namespaced: frozenset[str] | None = None
    has_service: bool = True
    service_selected: bool = True
    stale: Mapping[str, float] = field(default_factory=dict)
    claimed: tuple[ClaimRecord, ...] | None = None
    untouched: bool = False
    shown: frozenset[tuple[str, str]] = frozenset()
    path_root: str = ""

    @property
    def age(self) -> tuple[str, ServiceKey]:
        """By this the oldest of several exports comes first."""
        return (self.created, self.key)


@dataclass(frozen=True)
class AppliedPolicy:
    """One GlobalTrafficPolicy, the clusters it is bound to, and whether a policy of the user selects it."""

    key: ServiceKey
    uid: str
    policy: TrafficPolicy
    clusters: frozenset[str] = NOBODY
    selected: bool = True


@dataclass(frozen=True)
class World:
    """The inventory, every export and every traffic policy. The same world gives the same objects.

    ``now`` is the time in seconds since 1970: what has to wait for a grace to end waits by it.
    """

    members: Mapping[str, Member]
    services: Mapping[ServiceKey, ExportedService]
    policies: Mapping[ServiceKey, AppliedPolicy] = field(default_factory=dict)
    now: float = 0.0
