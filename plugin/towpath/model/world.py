"""All that a derivation starts from: members, and what each of them offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from towpath.model.cluster import Member
from towpath.model.export import Export
from towpath.model.keys import ServiceKey
from towpath.model.service import Service


@dataclass(frozen=True)
class Offer:
    """One service as one member sees it. ``service`` is None where Karmada did not bind the Service."""

    export: Export
    service: Service | None


@dataclass(frozen=True)
class ExportedService:
    """One ServiceExport: who owns what is derived, and the offers by name of the member bound to it."""

    key: ServiceKey
    uid: str
    offers: Mapping[str, Offer] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """The inventory and every export. The same world gives the same objects, however it came about."""

    members: Mapping[str, Member]
    services: Mapping[ServiceKey, ExportedService]
