"""What each cluster offers of one service: the templates where they are bound, after the overrides of users.

Exports are read as each member sees them. A member's copy is in its Work, but there are as many Works as
objects times clusters, and a Work can stay behind without a sign (silent override failure). So the overrides
are applied here, by Karmada's own rules (``propagation.overriding``), and an override that Karmada cannot
apply is a fault. Without overrides all clusters share one offer, which is the usual case.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from towpath.errors import InvalidObject
from towpath.karmada import decode
from towpath.karmada.decode import Binding, StoredExport, StoredService
from towpath.model.keys import ServiceKey
from towpath.model.world import Offer
from towpath.propagation.overriding import concerning, overridden
from towpath.propagation.policies import OverridePolicy, Target

_Manifest = dict[str, Any]


def offers_of(
    key: ServiceKey,
    export: StoredExport,
    bound: Binding,
    service: StoredService | None,
    serving: Collection[str],
    overrides: Collection[OverridePolicy],
    targets: Mapping[str, Target],
) -> tuple[dict[str, Offer], tuple[str, ...]]:
    """Return the offers by name of the cluster that has the export, and the faults.

    ``serving`` are the clusters that have the Service, ``overrides`` the user's policies that may concern
    it, and ``targets`` the members as policies see them.
    """
    absent = Offer(export.export, None)
    there = Offer(export.export, service.service, service.going) if service else absent
    offers = {cluster: there if cluster in serving else absent for cluster in bound.clusters}
    faults: tuple[str, ...] = ()
    if overrides:
        copies = _Copies(key, export, service, overrides)
        for cluster, offer in offers.items():
            offers[cluster] = copies.offer(targets.get(cluster, Target(cluster)), offer)
        faults = tuple(sorted(copies.faults))
    for cluster, why in bound.reported.items():
        if cluster in offers:
            offers[cluster] = replace(offers[cluster], refused=why)
    return offers, faults


class _Copies:
    """The copies of one export and its Service in the members that have them."""

    def __init__(
        self,
        key: ServiceKey,
        export: StoredExport,
        service: StoredService | None,
        overrides: Collection[OverridePolicy],
    ) -> None:
        named = (key.namespace, key.name)
        export_type = (key.dialect.api_version, "ServiceExport")
        self._export = _manifest(export.template, *export_type)
        self._of_export = [*concerning(overrides, *export_type, *named)]
        self._service = _manifest(service.template, "v1", "Service") if service else None
        self._of_service = [*concerning(overrides, "v1", "Service", *named)]
        self._made: dict[bytes, Offer] = {}  # mostly many members get the same
        self.faults: set[str] = set()

    def offer(self, target: Target, plain: Offer) -> Offer:
        """Return what a member offers. ``plain`` is what it would without overrides."""
        export = self._copy(self._export, target, self._of_export)
        service = None
        if plain.service is not None and self._service is not None:
            service = self._copy(self._service, target, self._of_service)
        text = msgspec.json.encode((export, service))
        if text not in self._made:
            self._made[text] = self._read(export, service, target, plain)
        return self._made[text]

    def _copy(self, template: _Manifest, target: Target, overrides: Sequence[OverridePolicy]) -> _Manifest:
        if not overrides:
            return template
        copy = overridden(template, target, overrides)
        if copy.fault:
            self.faults.add(copy.fault)
        return copy.manifest

    def _read(self, export: _Manifest, service: _Manifest | None, target: Target, plain: Offer) -> Offer:
        try:
            stored = decode.service_export(msgspec.json.encode(export))
            found = decode.service(msgspec.json.encode(service)) if service else None
        except (InvalidObject, msgspec.DecodeError) as error:
            self.faults.add(
                f"{error} An OverridePolicy causes this in cluster {target.name}, which refuses the object."
            )
            return plain
        if stored is None:
            return plain
        return Offer(stored.export, found.service if found else None, plain.going)


def _manifest(template: bytes, api_version: str, kind: str) -> _Manifest:
    """Return a template; in lists of built-in kinds the items do not say what they are."""
    found: _Manifest = msgspec.json.decode(template)
    return {"apiVersion": api_version, "kind": kind, **found}
