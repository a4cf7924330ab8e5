"""What must be done so that the objects of one service become what they should be; pure, in stages.

What stands in one stage may be written at the same time, the next stage when all of it is done. At no moment
in between may a cluster see itself, whatever of it Karmada has read by then:

* Where there is no template yet, both policies come before it: Karmada takes a template up the moment it
  appears, and they must be there by then.
* Where there is one, overrides come first, then the template, then clusters that the old template would show
  themselves (``Transition``).
* Where each cluster that either template would show itself has an override before and after the change, and
  the importers stay, overrides and template go at once: every mixture is right, and Karmada processes the
  template for all members once instead of twice.
* Karmada may use an earlier template for a while ("non-atomic reads" in docs/karmada-behaviour.md), and
  several changes can come in that time. So an override that is not needed any more stays until the members
  report that the change has arrived.
* Where nobody imports any more, only the template is deleted: without its policies what is still in the
  members would for a moment be the full list, and without a template the policies do nothing. They go
  with the export. Should they belong to a former export of the name, whose end the garbage collector has
  missed ("former owner"), they go when the template has gone.
* A ServiceImport that is not ours is never touched, and neither is an object that waits for its
  finalizers: of that we hear again when it has gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from towpath.derivation.drift import is_terminating, needs_apply
from towpath.derivation.render import Rendered, overriders
from towpath.model.keys import cluster_name
from towpath.model.ownership import VIEW_ANNOTATION, is_marked

Object = Mapping[str, Any]
Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Current:
    """The objects of one service as they are. ``overrides`` by name; None and absence mean: not there.

    ``bound`` are the clusters of the ResourceBinding of the ServiceImport, or of a former one of its name:
    Karmada's scheduler follows the PropagationPolicy later than Karmada reads a template.
    """

    service_import: Object | None = None
    propagation: Object | None = None
    overrides: Mapping[str, Object] = field(default_factory=dict)
    bound: frozenset[str] = frozenset()


class Write(NamedTuple):
    """One write: what is there, and what is to be there instead. None = nothing."""

    live: Object | None
    wanted: Object | None


def is_foreign(live: Object | None) -> bool:
    """Tell whether an object is somebody else's."""
    return live is not None and not is_marked(live)


def stages(
    live: Current, wanted: Rendered, *, export: str = "", arrived: bool = True
) -> Iterator[Sequence[Write]]:
    """Yield the stages that lead from what is there to what should be; none if nothing is to be done.

    ``export`` is the uid of the export that is there.

    ``arrived``: what is wanted is in the members already, as they report it themselves. Before that nothing
    is taken away that a template of before may need.
    """
    if wanted.refused or is_foreign(live.service_import):
        return
    if wanted.service_import is None:
        left = [] if live.service_import else _left(live, export)
        yield from _stage([Write(live.service_import, None), *left])
        return
    move = Transition(live, wanted, arrived)
    overrides = [Write(live.overrides.get(name), obj) for name, obj in move.overrides.items()]
    propagation = Write(live.propagation, move.propagation)
    last = list(_stage([Write(live.service_import, wanted.service_import)]))
    if live.service_import is None:
        yield from _stage([*overrides, propagation])
        yield from last
    else:
        first = list(_stage(overrides))
        if first and last and move.is_covered:
            yield [*first[0], *last[0]]
        else:
            yield from first
            yield from _stage([propagation])
            yield from last
    yield from _stage([Write(move.propagation, wanted.propagation)])
    if arrived:
        yield from _stage(list(_last(live, move)))


def _left(live: Current, export: str) -> list[Write]:
    """Return what takes away the policies of another export than the one that is there."""
    policies = [obj for obj in (live.propagation, *live.overrides.values()) if obj is not None]
    return [Write(obj, None) for obj in policies if not _belongs(obj, export)]


def _belongs(obj: Object, export: str) -> bool:
    owners = obj["metadata"].get("ownerReferences") or ()
    return not owners or not export or any(owner["uid"] == export for owner in owners)


def _last(live: Current, move: Transition) -> Iterator[Write]:
    """Yield what takes away the overrides that nobody needs any more."""
    final = {obj["metadata"]["name"]: obj for obj in move.wanted.overrides}
    for name in {**live.overrides, **move.overrides}:
        there, written = live.overrides.get(name), move.overrides.get(name)
        if there is not None and (name not in final or is_terminating(there)):
            yield Write(there, final.get(name))
        else:
            yield Write(written, final.get(name))


def _stage(candidates: Sequence[Write]) -> Iterator[Sequence[Write]]:
    needed = [change for change in candidates if needs_apply(*change)]
    if needed:
        yield needed


def carried(live: Current) -> dict[str, Sequence[Object]]:
    """Return the ports that these objects give each cluster that they bring the import to."""
    full = (live.service_import or {}).get("spec", {}).get("ports") or ()
    replaced = {
        cluster: overrider.get("value") or ()
        for policy in live.overrides.values()
        for cluster, rule in rule_by_cluster(policy).items()
        for overrider in rule.get("overriders", {}).get("plaintext") or ()
        if overrider.get("path") == "/spec/ports"
    }
    clusters = clusters_of(live.propagation) if live.service_import is not None else []
    return {cluster: replaced.get(cluster, full) for cluster in clusters}


@dataclass(frozen=True)
class Transition:
    """The policies as they have to be while the template changes.

    * A cluster that stops importing keeps the value that it has now as an override, if it stands in the old
      template or in the new one.
    * A cluster that stops exporting and imports gets its new view as an override as long as Karmada may read
      an old template: it stands in the one that is there, or in one before, then it has an override still.
      So does one that begins to import: nobody knows in which template of before it stands.
    * A cluster that begins to import comes after the template, if the old one shows it itself and no
      override prevents that. If that would leave no cluster at all, which means all of them to Karmada, the
      list stays as it is until then.
    """

    live: Current
    wanted: Rendered
    arrived: bool

    @cached_property
    def overrides(self) -> dict[str, Object]:
        """The OverridePolicies by name: what is wanted, and the rules that are needed for a while."""
        made: dict[str, Object] = {}
        first = {**self._staying, **self._shielding}
        blank = [_blank(self.wanted)] if first and not self.wanted.overrides else []
        for obj in (*self.wanted.overrides, *blank):
            name = obj["metadata"]["name"]
            own, there = rule_by_cluster(obj), rule_by_cluster(self.live.overrides.get(name))
            kept = {c: r for c, r in there.items() if c not in own and self._is_kept(c)}
            made[name] = with_rules(obj, kept if made else {**kept, **first})
        return made

    def _is_kept(self, cluster: str) -> bool:
        """Tell whether a rule that is there, and not wanted, stays as it is."""
        if cluster in self._named:
            return True  # it moves to another policy
        return cluster in self._shown if self.arrived else cluster not in self._shielding

    @cached_property
    def _shielding(self) -> dict[str, Rule]:
        """The new view of importers that a template of before shows themselves, until all has arrived."""
        template = self.wanted.service_import
        if self.arrived or template is None or self.live.service_import is None:
            return {}
        overridden = {name for obj in self.live.overrides.values() for name in rule_by_cluster(obj)}
        once = overridden | _in_template(self.live.service_import)
        importing, listed = (
            frozenset(clusters_of(p)) for p in (self.wanted.propagation, self.live.propagation)
        )
        view = template["metadata"]["annotations"][VIEW_ANNOTATION]
        rule = {"overriders": overriders(template["spec"]["ports"], view)}
        return dict.fromkeys(sorted((importing & once | importing - listed) - self._named), rule)

    @cached_property
    def propagation(self) -> Object | None:
        """The PropagationPolicy: without the clusters that have to wait for the template."""
        final = self.wanted.propagation
        if final is None or self.live.service_import is None:
            return final
        importing, listed = clusters_of(final), clusters_of(self.live.propagation)
        safe = {*self._named, *self._shielding, *listed}
        unsafe = _in_template(self.live.service_import) - safe
        at_once = [name for name in importing if name not in unsafe]
        if at_once == importing:
            return final
        return _listing(final, at_once) if at_once else self.live.propagation

    @cached_property
    def is_covered(self) -> bool:
        """Whether no cluster can see itself in whichever order overrides and template are written."""
        if needs_apply(self.live.propagation, self.wanted.propagation):
            return False
        shown = _in_template(self.live.service_import) | _in_template(self.wanted.service_import)
        covered = [
            _replacing(self.live.overrides.get(policy)) & _replacing(obj)
            for policy, obj in self.overrides.items()
        ]
        return shown.intersection(clusters_of(self.wanted.propagation)) <= frozenset().union(*covered)

    @cached_property
    def _named(self) -> frozenset[str]:
        """The clusters that the wanted overrides name."""
        return frozenset(name for obj in self.wanted.overrides for name in rule_by_cluster(obj))

    @cached_property
    def _shown(self) -> frozenset[str]:
        """The importing clusters of now that stand in the old template or in the new one."""
        both = _in_template(self.live.service_import) | _in_template(self.wanted.service_import)
        listed = frozenset(clusters_of(self.live.propagation)) if self.live.service_import else frozenset()
        return both & (listed | self.live.bound) - self._named

    @cached_property
    def _staying(self) -> dict[str, Rule]:
        """What clusters that stop importing see now, if the new template would show them themselves.

        Where there is no template that is nothing.
        """
        overridden = {name for obj in self.live.overrides.values() for name in rule_by_cluster(obj)}
        rule = {"overriders": {"plaintext": [_ports(self.live.service_import)]}}
        names = self._shown & _in_template(self.wanted.service_import) - overridden
        return dict.fromkeys(sorted(names), rule)


def with_rules(policy: Object, kept: Mapping[str, Rule]) -> Object:
    """Return an OverridePolicy with rules for further clusters; those that get the same share one."""
    if not kept:
        return policy
    groups: list[tuple[Rule, list[str]]] = []
    for name, rule in sorted(kept.items()):
        same = (names for known, names in groups if known.get("overriders") == rule.get("overriders"))
        names = next(same, None)
        if names is None:
            groups.append((rule, names := []))
        names.append(name)
    rules = [{**rule, "targetCluster": {"clusterNames": names}} for rule, names in groups]
    return {**policy, "spec": {**policy["spec"], "overrideRules": [*policy["spec"]["overrideRules"], *rules]}}


def _blank(wanted: Rendered) -> Object:
    """Return the first OverridePolicy of a service, without rules."""
    like = wanted.propagation or {}
    spec = {"resourceSelectors": like["spec"]["resourceSelectors"], "overrideRules": []}
    return {**like, "kind": "OverridePolicy", "spec": spec}


def _ports(template: Object | None) -> dict[str, Any]:
    ports = template["spec"]["ports"] if template else []
    return {"path": "/spec/ports", "operator": "replace", "value": ports}


def rule_by_cluster(policy: Object | None) -> dict[str, Rule]:
    """Return the rule for each cluster. A live policy may be anything that the CRD allows."""
    rules = (policy or {}).get("spec", {}).get("overrideRules") or ()
    return {
        name: rule for rule in rules for name in (rule.get("targetCluster") or {}).get("clusterNames") or ()
    }


def _replacing(policy: Object | None) -> frozenset[str]:
    """Return the clusters that get other ports than the template's."""
    return frozenset(
        name
        for name, rule in rule_by_cluster(policy).items()
        if any(
            overrider.get("path") == "/spec/ports"
            for overrider in rule.get("overriders", {}).get("plaintext") or ()
        )
    )


def clusters_of(policy: Object | None) -> list[str]:
    """Return the clusters that a live PropagationPolicy names."""
    affinity = (policy or {}).get("spec", {}).get("placement", {}).get("clusterAffinity") or {}
    return list(affinity.get("clusterNames") or ())


def _listing(policy: Object, names: Iterable[str]) -> Object:
    spec = policy["spec"]
    affinity = {**spec["placement"]["clusterAffinity"], "clusterNames": list(names)}
    placement = {**spec["placement"], "clusterAffinity": affinity}
    return {**policy, "spec": {**spec, "placement": placement}}


def _in_template(template: Object | None) -> frozenset[str]:
    """Return the names of the clusters whose endpoints a ServiceImport holds."""
    ports = (template or {}).get("spec", {}).get("ports") or ()
    endpoints = (endpoint for port in ports for endpoint in port.get("endpoints") or ())
    return frozenset(cluster_name(endpoint["clusterKey"]) for endpoint in endpoints)
