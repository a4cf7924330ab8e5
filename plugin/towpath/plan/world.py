"""From what was read to a world: what a running Karmada would have decided, where files can tell it.

Where a template is bound says its ResourceBinding, when there is one (from a live Karmada), else the policy
that claims it. What only Karmada's scheduler can know is said in a note and not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from towpath.errors import InvalidObject
from towpath.karmada.decode import StoredExport, binding_name, exporting, shown
from towpath.model.cluster import Member, changed
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.times import rfc3339
from towpath.model.world import Absence, AppliedPolicy, ExportedService, Offer, World
from towpath.plan.objects import Id, Manifest, Named, title
from towpath.plan.read import Reading, read
from towpath.propagation.claims import claim_of
from towpath.propagation.namespaces import is_skipped
from towpath.propagation.overriding import overridden
from towpath.propagation.placement import place, suspended
from towpath.propagation.policies import Policy, Target
from towpath.propagation.selection import Template, claiming, template_of
from towpath.rules.contention import settled
from towpath.rules.gateway import is_dns_name, with_flomesh_cluster
from towpath.text import several

UNKNOWN_UID = "known-when-applied"
_MEMBER = ("cluster.karmada.io", "Cluster")
_IGNORED = "resourcetemplate.karmada.io/claimed-by"


class Bound(NamedTuple):
    """Where a template goes, and whether a policy of the user sends it there.

    ``refused`` is what clusters that have it find wrong with it, ``absent`` why clusters do not have it.
    """

    clusters: frozenset[str] = frozenset()
    selected: bool = False
    refused: Mapping[str, str] = {}
    absent: Mapping[str, tuple[Absence, str]] = {}


class Builder:
    """Builds one world; ``notes`` collects what could not be known, in the order in which it came up."""

    def __init__(self, reading: Reading, resolved: Mapping[str, str], now: float) -> None:
        self._reading = reading
        self._now = now
        self._notes: dict[tuple[str, str], list[str]] = {(note, ""): [] for note in reading.notes}
        self._offers: dict[bytes, tuple[Offer, str]] = {}
        self._members = dict(self._inventory(resolved))
        self._targets = {name: reading.targets.get(name) or Target(name) for name in self._members}
        self._created = rfc3339(now)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be known, for people."""
        return tuple(
            f"{before} in cluster{'s' * (len(clusters) > 1)} {several(clusters)},{after}"
            if clusters
            else before
            for (before, after), clusters in self._notes.items()
        )

    @property
    def targets(self) -> Mapping[str, Target]:
        """The members as policies select them."""
        return self._targets

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
            named = {name for gateways in reading.gateways.values() for name in gateways}
            members = {name: Member(name=name, imports=frozenset(Dialect)) for name in named}
            self._note(
                "No Karmada Cluster is given. The flomesh Clusters are used as members of both API groups."
                if members
                else "No cluster is given. Add Clusters to the files, or use --clusters FILE."
            )
        elif reading.silent:
            self._note(
                f"{several(reading.silent)}: status.apiEnablements: Missing. Both API groups count as served."
            )
        for name, member in sorted(members.items()):
            gateway = reading.gateway(name)
            whole = with_flomesh_cluster(member, gateway) if gateway else member
            yield name, changed(whole, resolved=resolved.get(whole.gateway_host, ""))
        for dialect, gateways in reading.gateways.items():
            if strangers := gateways.keys() - members.keys():
                self._note(
                    f"Cluster {several(strangers)} ({dialect}): Karmada has no member cluster with this name."
                )

    def _exported(self, key: ServiceKey, stored: StoredExport) -> ExportedService:
        reading = self._reading
        name = Named(key.namespace, key.name)
        export_id = Id(key.dialect.value, "ServiceExport", *name)
        service_id = Id("", "Service", *name)
        service = reading.services.get(name)
        if service is None:
            self._note(f"Service {key.namespace}/{key.name}: Not found, so no cluster can export it.")
        served = self._bound(service_id) if service else Bound()
        bound = self._bound(export_id)
        offers = {
            cluster: self._offer(cluster, export_id, service_id if cluster in served.clusters else None)
            for cluster in sorted(bound.clusters if bound.selected else served.clusters)
        }
        derived = reading.imports.get(key)
        had = exporting(derived)
        absent = {c: a for side in (bound, served) for c, a in side.absent.items() if c not in had}
        for cluster in offers.keys() & absent.keys():
            absence, obstacle = absent[cluster]
            offers[cluster] = replace(offers[cluster], absence=absence, obstacle=obstacle)
        if key not in reading.edited:
            for cluster in offers.keys() & bound.refused.keys():
                offers[cluster] = replace(offers[cluster], refused=bound.refused[cluster])
        exported = ExportedService(
            key,
            stored.uid or UNKNOWN_UID,
            offers,
            stored.created or self._created,
            stored.annotations,
            served.clusters,
            bound.selected,
            namespaced=self._namespaced(key.namespace),
            has_service=service is not None,
            service_selected=served.selected,
            claimed=stored.claims,
            untouched=stored.untouched and key not in reading.edited,
            shown=shown(derived, stored),
            path_root=reading.path_scope.root(key.namespace),
        )
        return settled(exported)

    def _namespaced(self, namespace: str) -> frozenset[str] | None:
        """Return the members that have a namespace, None for all: Karmada creates it in each by default."""
        id_ = Id("", "Namespace", "", namespace)
        template = self._reading.templates.get(id_)
        if template is None or not is_skipped(template_of(template).labels):
            return None
        return self._bound(id_).clusters

    def _offer(self, cluster: str, export: Id, service: Id | None) -> Offer:
        """Return one service as a member gets it, after the user's own overrides."""
        there = [template for template in (export, service) if template]
        copies = [self._copy(cluster, template) for template in there]
        text = msgspec.json.encode(copies)
        if text not in self._offers:  # mostly all members get the same
            try:
                self._offers[text] = _offer_of(copies), ""
            except InvalidObject as error:
                self._offers[text] = _offer_of([self._reading.templates[id_] for id_ in there]), str(error)
        offer, wrong = self._offers[text]
        if wrong:
            self._note(
                f"{wrong} An OverridePolicy causes this in cluster {cluster}, which refuses the object.",
                cluster,
            )
        return offer

    def _copy(self, cluster: str, template: Id) -> Manifest:
        target = self._targets.get(cluster) or Target(cluster)
        overrides = list(self._reading.overrides.values())
        copy = overridden(self._reading.templates[template], target, overrides)
        for note in copy.notes:
            self._note(note, cluster)
        return copy.manifest

    def _applied(self, key: ServiceKey) -> AppliedPolicy:
        reading, id_ = self._reading, Id(key.dialect.value, "GlobalTrafficPolicy", key.namespace, key.name)
        bound = self._bound(id_)
        uid = str(reading.templates[id_]["metadata"].get("uid", UNKNOWN_UID))
        return AppliedPolicy(key, uid, reading.traffic[key].policy, bound.clusters, bound.selected)

    def _bound(self, id_: Id) -> Bound:
        """Return where a template goes: by its binding, by the policy that claims it, or by one that did."""
        reading, manifest = self._reading, self._reading.templates[id_]
        template = template_of(manifest)
        if template.labels.get(_IGNORED):
            self._note(f"{title(manifest)}: Karmada ignores the object because of its label {_IGNORED}.")
            return Bound()
        latest = [versions[-1] for versions in reading.policies.values()]
        policy = _holding(manifest, latest, template) or claiming(latest, template)
        former = None if policy else self._former(template)
        if former:
            self._note(_frozen(former, manifest))
        binding = reading.bindings.get(_binding_of(id_))
        held = binding is not None and (binding.kind, binding.uid) == (
            id_.kind,
            manifest["metadata"].get("uid"),
        )
        if binding is not None and held and not self._moves(policy):
            absent = {name: found for name in binding.clusters if (found := binding.absence(name))}
            return Bound(binding.clusters, policy is not None, binding.copies.refused, absent)
        deciding = policy or former
        if deciding is None:
            if id_.kind == "Service":
                self._note(
                    f"{title(manifest)}: No policy selects the object, so Karmada does not propagate it."
                )
            return Bound()
        placed = place(deciding, list(self._targets.values()))
        for note in placed.notes:
            self._note(note)
        absent = dict.fromkeys(suspended(deciding, placed.clusters), (Absence.SUSPENDED, ""))
        return Bound(placed.clusters, selected=True, absent=absent)

    def _former(self, template: Template) -> Policy | None:
        """Return a policy that would have claimed a template in an earlier version of it."""
        versions = self._reading.policies.values()
        return claiming([policy for history in versions for policy in reversed(history[:-1])], template)

    def _moves(self, policy: Policy | None) -> bool:
        """Tell whether what was given changes what a policy decides, whatever a binding says of before."""
        if policy is None:
            return False
        versions = self._reading.policies[_id_of(policy)]
        given = self._reading.given
        edited = _id_of(policy) in given and versions[-2:-1] != versions[-1:]
        return edited or any((id_.group, id_.kind) == _MEMBER for id_ in given)

    def _note(self, text: str, cluster: str = "") -> None:
        """Remember a note, once. What it says of a cluster is said of several together."""
        before, found, after = text.partition(f" in cluster {cluster},")
        if not cluster or not found:
            before, after = text, ""
        clusters = self._notes.setdefault((before, after), [])
        if found and cluster and cluster not in clusters:
            clusters.append(cluster)


def hosts(reading: Reading) -> frozenset[str]:
    """Return the gateways' names that have to be looked up."""
    named = {gateway.gateway_host for gateways in reading.gateways.values() for gateway in gateways.values()}
    named |= {member.gateway_host for member in reading.members.values()}
    return frozenset(host for host in named if is_dns_name(host))


def _offer_of(objects: Sequence[Manifest]) -> Offer:
    """Read an export and its Service as a member has them. Raises InvalidObject."""
    there = read(objects)
    export = next(iter(there.exports.values()), None)
    if export is None:
        raise InvalidObject(f"{title(objects[0])}: Not a ServiceExport any more.")
    found = next(iter(there.services.values()), None)
    return Offer(export.export, found.service, found.going) if found else Offer(export.export, None)


def _binding_of(id_: Id) -> Id:
    return Id("work.karmada.io", "ResourceBinding", id_.namespace, binding_name(id_.name, id_.kind))


def _id_of(policy: Policy) -> Id:
    return Id("policy.karmada.io", policy.kind, policy.namespace, policy.name)


def _holding(manifest: Manifest, policies: Iterable[Policy], template: Template) -> Policy | None:
    """Return the policy that has claimed a template, and keeps it ("sticky claims")."""
    held = claim_of(manifest["metadata"].get("annotations") or {})
    for policy in policies:
        if held == (policy.kind, policy.namespace, policy.name) and claiming([policy], template):
            return policy
    return None


def _frozen(policy: Policy, manifest: Manifest) -> str:
    return (
        f"{policy.title}: The policy was applied again and no longer selects {title(manifest)}. Karmada"
        " leaves the object where it is, and its changes reach no member. Give each policy a name of its own."
    )
