"""What each cluster offers of one service: the templates where they are bound, after the overrides of users.

Exports are read as each member sees them. A member's copy is in its Work, but there are as many Works as
objects times clusters, and a Work can stay behind without a sign (silent override failure). So the overrides
are applied here, by Karmada's own rules (``propagation.overriding``), and an override that Karmada cannot
apply is a fault. Without overrides all clusters share one offer, which is the usual case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from towpath.errors import InvalidObject
from towpath.karmada import decode
from towpath.karmada.decode import Binding, StoredExport, StoredService
from towpath.karmada.decode.metadata import NONE
from towpath.model.keys import ServiceKey
from towpath.model.world import Absence, ExportedService, Offer
from towpath.propagation.overriding import concerning, overridden
from towpath.propagation.policies import OverridePolicy, Target

_Manifest = dict[str, Any]
_SUSPENDED = "The PropagationPolicy suspends dispatching."
_LASTING = (Absence.PENDING, Absence.UNREPORTED, Absence.SUSPENDED, Absence.FAILED)
"""From what passes by itself to what does not."""
_UNDERWAY = {Absence.PENDING, Absence.UNREPORTED}


class Offered(NamedTuple):
    """The offers by name of the cluster to which an export is bound, the faults, and why clusters keep an
    older version.

    ``stale`` are the clusters that report another version of the export than Karmada has applied there, as
    it says, or none: on its way, or lost (*lost write*).
    """

    offers: dict[str, Offer]
    faults: tuple[str, ...] = ()
    kept: Mapping[str, str] = NONE
    stale: frozenset[str] = frozenset()


def offers_of(
    key: ServiceKey,
    export: StoredExport,
    bound: Binding,
    service: StoredService | None,
    serving: Binding | None,
    overrides: Collection[OverridePolicy],
    targets: Mapping[str, Target],
    exporting: Collection[str] = (),
) -> Offered:
    """Return what each cluster offers.

    ``bound`` is the binding of the export and ``serving`` that of the Service, ``overrides`` are the policies
    of users that may concern them, and ``targets`` the members as policies see them. A cluster that is
    ``exporting`` had both objects, so a later failure or suspension keeps it.
    """
    absent = Offer(export.export, None, digest=export.digest)
    there = replace(absent, service=service.service, going=service.going) if service else absent
    served = serving.clusters if serving else frozenset()
    offers = {cluster: there if cluster in served else absent for cluster in bound.clusters}
    faults: set[str] = set()
    if overrides:
        copies = _Copies(key, export, service, overrides)
        for cluster, offer in offers.items():
            offers[cluster] = copies.offer(targets.get(cluster, Target(cluster)), offer)
        faults |= copies.faults
    _mark_refused(offers, bound.copies.refused)
    kept = _mark_absent(offers, (bound, serving), exporting)
    return Offered(offers, tuple(sorted(faults)), kept, frozenset(_stale(offers, bound)))


def stale_since(offered: Offered, known: ExportedService | None, now: float) -> dict[str, float]:
    """Return since when each cluster lacks the present version, if ``known`` is what was found before."""
    since = dict.fromkeys(offered.stale, now)
    if known is not None:
        for cluster, before in known.stale.items():
            if cluster in since and known.offers[cluster].digest == offered.offers[cluster].digest:
                since[cluster] = before
    return since


def _stale(offers: Mapping[str, Offer], bound: Binding) -> Iterator[str]:
    copies = bound.copies
    for cluster, offer in offers.items():
        digest = copies.digests.get(cluster, offer.digest)
        late = cluster in copies.unreported or (cluster in copies.applied and digest != offer.digest)
        if late and not bound.is_suspended(cluster):
            yield cluster


def _mark_refused(offers: dict[str, Offer], messages: Mapping[str, str]) -> None:
    """Mark the offers of clusters that refuse the export: mostly one offer, with one message."""
    marked: dict[str, tuple[Offer, Offer]] = {}
    for cluster, message in messages.items():
        if (offer := offers.get(cluster)) is None:
            continue
        if message not in marked or marked[message][0] is not offer:
            marked[message] = (offer, replace(offer, refused=message))
        offers[cluster] = marked[message][1]


def _mark_absent(
    offers: dict[str, Offer], bindings: Iterable[Binding | None], exporting: Collection[str]
) -> dict[str, str]:
    """Mark the offers of clusters that do not have both objects; return why each other one keeps them as
    they were.
    """
    found: dict[str, tuple[Absence, str]] = {}
    kept: dict[str, str] = {}
    for binding in filter(None, bindings):
        held = (c for c in binding.copies.applied & offers.keys() if binding.is_suspended(c))
        kept.update(dict.fromkeys(held, _SUSPENDED))
        for cluster in (binding.clusters - binding.copies.applied) & offers.keys():
            absence, message = binding.absence(cluster) or (Absence.PENDING, "")
            known, _ = found.get(cluster, (Absence.PENDING, ""))
            if cluster not in found or _LASTING.index(absence) > _LASTING.index(known):
                place = binding.kind if message or absence is Absence.UNREPORTED else ""
                found[cluster] = (absence, f"{place}: {message}" if message else place)
    for cluster, (absence, message) in found.items():
        if cluster not in exporting:
            offers[cluster] = replace(offers[cluster], absence=absence, obstacle=message)
        elif absence not in _UNDERWAY:
            kept[cluster] = message or _SUSPENDED
    return kept


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
        return Offer(stored.export, found.service if found else None, plain.going, digest=stored.digest)


def _manifest(template: bytes, api_version: str, kind: str) -> _Manifest:
    """Return a template; in lists of built-in kinds the items do not say what they are."""
    found: _Manifest = msgspec.json.decode(template)
    return {"apiVersion": api_version, "kind": kind, **found}
