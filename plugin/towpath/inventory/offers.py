"""What each cluster offers of one service: the templates where they are bound, after the overrides of users.

Exports are read as each member sees them. A member's copy is in its Work, but there are as many Works as
objects times clusters, and a Work can stay behind without a sign (silent override failure). So the overrides
are applied here, by Karmada's own rules (``propagation.overriding``), and an override that Karmada cannot
apply is a fault. Without overrides all clusters share one offer, which is the usual case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from towpath.errors import InvalidObject
from towpath.karmada import decode
from towpath.karmada.decode import Binding, StoredExport, StoredService
from towpath.model.keys import ServiceKey
from towpath.model.world import Absence, Offer
from towpath.propagation.overriding import concerning, overridden
from towpath.propagation.policies import OverridePolicy, Target

_Manifest = dict[str, Any]
_SUSPENDED = "The PropagationPolicy suspends dispatching."
_LASTING = (Absence.PENDING, Absence.SUSPENDED, Absence.FAILED)
"""From what passes by itself to what does not."""


def offers_of(
    key: ServiceKey,
    export: StoredExport,
    bound: Binding,
    service: StoredService | None,
    serving: Binding | None,
    overrides: Collection[OverridePolicy],
    targets: Mapping[str, Target],
    exporting: Collection[str] = (),
) -> tuple[dict[str, Offer], tuple[str, ...]]:
    """Return the offers by name of the cluster to which the export is bound, and the faults.

    ``bound`` is the binding of the export and ``serving`` that of the Service, ``overrides`` are the policies
    of users that may concern them, and ``targets`` the members as policies see them. A cluster that is
    ``exporting`` had both objects, so a later failure or suspension keeps it, with a fault.
    """
    absent = Offer(export.export, None)
    there = Offer(export.export, service.service, service.going) if service else absent
    served = serving.clusters if serving else frozenset()
    offers = {cluster: there if cluster in served else absent for cluster in bound.clusters}
    faults: set[str] = set()
    if overrides:
        copies = _Copies(key, export, service, overrides)
        for cluster, offer in offers.items():
            offers[cluster] = copies.offer(targets.get(cluster, Target(cluster)), offer)
        faults |= copies.faults
    for cluster, message in bound.copies.reported.items():
        if cluster in offers:
            offers[cluster] = replace(offers[cluster], refused=message)
    faults.update(_mark_absent(offers, (bound, serving), exporting))
    return offers, tuple(sorted(faults))


def _mark_absent(
    offers: dict[str, Offer], bindings: Iterable[Binding | None], exporting: Collection[str]
) -> Iterator[str]:
    """Mark the offers of clusters that do not have both objects; yield a fault for each that keeps them."""
    found: dict[str, tuple[Absence, str]] = {}
    for binding in filter(None, bindings):
        held = (c for c in binding.copies.applied & offers.keys() if binding.is_suspended(c))
        yield from (_kept(cluster, _SUSPENDED) for cluster in held)
        for cluster in (binding.clusters - binding.copies.applied) & offers.keys():
            absence, message = binding.absence(cluster) or (Absence.PENDING, "")
            known, _ = found.get(cluster, (Absence.PENDING, ""))
            if cluster not in found or _LASTING.index(absence) > _LASTING.index(known):
                found[cluster] = (absence, f"{binding.kind}: {message}" if message else "")
    for cluster, (absence, message) in found.items():
        if cluster not in exporting:
            offers[cluster] = replace(offers[cluster], absence=absence, obstacle=message)
        elif absence is not Absence.PENDING:
            yield _kept(cluster, message or _SUSPENDED)


def _kept(cluster: str, why: str) -> str:
    return f"Cluster {cluster} keeps an older version and exports it. {why.rstrip('. ')}."


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
