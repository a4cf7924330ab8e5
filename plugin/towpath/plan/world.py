"""From what was read to a world: what a running Karmada would have decided, where files can tell it.

Where a template is bound says its ResourceBinding, when there is one (from a live Karmada), else the policy
that claims it. What only Karmada's scheduler can know is said in a note and not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from towpath.errors import InvalidObject
from towpath.karmada.decode import StoredExport
from towpath.model.cluster import Member, changed
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import AppliedPolicy, ExportedService, Offer, World
from towpath.plan.overriding import overridden
from towpath.plan.placement import place
from towpath.plan.policies import Policy, Target
from towpath.plan.reading import Id, Manifest, Named, Reading, read, what
from towpath.plan.selection import Template, claiming, template_of
from towpath.rules.gateway import is_dns_name, with_flomesh_cluster

UNKNOWN_UID = "known-when-applied"
_IGNORED = "resourcetemplate.karmada.io/claimed-by"


class Bound(NamedTuple):
    """Where a template goes, and whether a policy of the user sends it there."""

    clusters: frozenset[str] = frozenset()
    selected: bool = False


class Builder:
    """Builds one world; ``notes`` collects what could not be known, in the order in which it came up."""

    def __init__(self, reading: Reading, resolved: Mapping[str, str], now: float) -> None:
        self._reading = reading
        self._now = now
        self._notes: dict[str, None] = {}
        self._offers: dict[bytes, Offer] = {}
        self._members = dict(self._inventory(resolved))
        self._targets = [reading.targets.get(name) or Target(name) for name in self._members]
        self._created = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be known, for people."""
        return tuple(self._notes)

    def world(self) -> World:
        """Return the world."""
        reading = self._reading
        return World(
            self._members,
            {key: self._exported(key, stored) for key, stored in sorted(reading.exports.items())},
            {key: self._applied(key) for key in sorted(reading.traffic)},
            self._now,
        )

    def _inventory(self, resolved: Mapping[str, str]) -> Iterator[tuple[str, Member]]:
        reading = self._reading
        members = reading.members
        if not members:
            members = {name: Member(name=name, imports=frozenset(Dialect)) for name in reading.gateways}
            self._note(
                "no Karmada Cluster is given: the flomesh Clusters stand for the members, taken to serve both"
                " API groups"
                if members
                else "no cluster is given: add Clusters to the files, or --clusters FILE"
            )
        elif reading.silent:
            self._note(
                f"{', '.join(reading.silent)}: status.apiEnablements missing, taken to serve both API groups"
            )
        for name, member in sorted(members.items()):
            gateway = reading.gateways.get(name)
            whole = with_flomesh_cluster(member, gateway) if gateway else member
            yield name, changed(whole, resolved=resolved.get(whole.gateway_host, ""))

    def _exported(self, key: ServiceKey, stored: StoredExport) -> ExportedService:
        reading = self._reading
        name = Named(key.namespace, key.name)
        export_id = Id(key.dialect.value, "ServiceExport", *name)
        service_id = Id("", "Service", *name)
        service = reading.services.get(name)
        serving = self._bound(service_id).clusters if service else frozenset()
        bound = self._bound(export_id)
        offers = {
            cluster: self._offer(cluster, export_id, service_id if cluster in serving else None)
            for cluster in sorted(bound.clusters if bound.selected else serving)
        }
        return ExportedService(
            key,
            stored.uid or UNKNOWN_UID,
            offers,
            stored.created or self._created,
            stored.annotations,
            serving,
            bound.selected,
        )

    def _offer(self, cluster: str, export: Id, service: Id | None) -> Offer:
        """Return one service as a member gets it, after the user's own overrides."""
        copies = [self._copy(cluster, template) for template in (export, service) if template]
        text = msgspec.json.encode(copies)
        if text not in self._offers:  # mostly all members get the same
            self._offers[text] = self._read_offer(copies, cluster)
        return self._offers[text]

    def _read_offer(self, copies: Sequence[Manifest], cluster: str) -> Offer:
        there = read(copies)
        export = next(iter(there.exports.values()), None)
        if export is None:
            raise InvalidObject(f"{what(copies[0])}: overrides for {cluster} make something else of it")
        found = next(iter(there.services.values()), None)
        return Offer(export.export, found.service, found.going) if found else Offer(export.export, None)

    def _copy(self, cluster: str, template: Id) -> Manifest:
        target = next((t for t in self._targets if t.name == cluster), Target(cluster))
        overrides = list(self._reading.overrides.values())
        obj, notes = overridden(self._reading.templates[template], target, overrides)
        for note in notes:
            self._note(note)
        return obj

    def _applied(self, key: ServiceKey) -> AppliedPolicy:
        reading, one = self._reading, Id(key.dialect.value, "GlobalTrafficPolicy", key.namespace, key.name)
        bound = self._bound(one)
        uid = str(reading.templates[one]["metadata"].get("uid", UNKNOWN_UID))
        return AppliedPolicy(key, uid, reading.traffic[key], bound.clusters, bound.selected)

    def _bound(self, one: Id) -> Bound:
        """Return where a template goes: by its binding, by the policy that claims it, or by one that did."""
        reading, manifest = self._reading, self._reading.templates[one]
        template = template_of(manifest)
        if template.labels.get(_IGNORED):
            self._note(f"{what(manifest)}: Karmada ignores it because of its label {_IGNORED}")
            return Bound()
        latest = [versions[-1] for versions in reading.policies.values()]
        policy = _holding(manifest, latest, template) or claiming(latest, template)
        binding = reading.bindings.get(_binding_of(one))
        if binding is not None and (binding.kind, binding.uid) == (one.kind, manifest["metadata"].get("uid")):
            changed_by_files = policy is not None and _id_of(policy) in reading.given
            if not changed_by_files:
                return Bound(binding.clusters, policy is not None)
        if policy is None:
            former = [p for versions in reading.policies.values() for p in reversed(versions[:-1])]
            policy = claiming(former, template)
            if policy is not None:
                self._note(_frozen(policy, manifest))
        if policy is None:
            return Bound()
        placed = place(policy, self._targets)
        for note in placed.notes:
            self._note(note)
        return Bound(placed.clusters, selected=True)

    def _note(self, text: str) -> None:
        self._notes.setdefault(text)


def hosts(reading: Reading) -> frozenset[str]:
    """Return the gateways' names that have to be looked up."""
    said = {gateway.gateway_host for gateway in reading.gateways.values()}
    said |= {member.gateway_host for member in reading.members.values()}
    return frozenset(host for host in said if is_dns_name(host))


def _binding_of(one: Id) -> Id:
    return Id("work.karmada.io", "ResourceBinding", one.namespace, f"{one.name}-{one.kind.lower()}")


def _id_of(policy: Policy) -> Id:
    return Id("policy.karmada.io", policy.kind, policy.namespace, policy.name)


def _holding(manifest: Manifest, policies: Iterable[Policy], template: Template) -> Policy | None:
    """Return the policy that has claimed a template: it keeps it, whatever others there are (facts T8)."""
    annotations = manifest["metadata"].get("annotations") or {}
    for policy in policies:
        prefix = f"{policy.kind.lower()}.karmada.io"
        held = (annotations.get(f"{prefix}/namespace", ""), annotations.get(f"{prefix}/name"))
        if held == (policy.namespace, policy.name) and claiming([policy], template):
            return policy
    return None


def _frozen(policy: Policy, manifest: Manifest) -> str:
    return (
        f"{policy.what} was applied again and selects {what(manifest)} no longer: Karmada leaves that where"
        " it is, but changes of it reach no member any more. Give each policy a name of its own."
    )
