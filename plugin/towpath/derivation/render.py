"""Views in, Kubernetes objects out: the ServiceImport and the policies that carry it.

* The **ServiceImport** holds the full list, as a cluster that exports nothing sees it, and is owned by
  the ServiceExport: deleting the export takes everything away, by garbage collection.
* The **PropagationPolicy** names the importing clusters, never none: an empty list means all of them.
* The **OverridePolicy** replaces ``/spec/ports`` with the complete value wherever a view differs from
  the full list, above all in the exporting clusters, which must not see themselves. Never by index:
  Karmada reads template and policy at different times ("non-atomic reads" in docs/karmada-behaviour.md), and
  a complete value is right with both.
  Where an importing cluster has the data path, ``propagateDeps`` lets Karmada bring the Service along: its
  name must resolve there (deploy/datapath/karmada.yaml).
* Where Karmada is to take over what another control plane left in single members, their overrides say so,
  beside the ports: the policy of the whole service does not.
* Annotations say in each cluster whom its import leads to, and which ports, for the columns of kubectl: a
  status would be one more write for what the spec says already.
* Template and override carry ``towpath.io/view``, the digest of the view that they give. A member reports
  the digest of the content that it holds (``model.digest``), which tells whether it has what it should.

At most three objects a service, however many clusters, until an OverridePolicy grows so large that it has
to be cut in several. What is larger than Karmada can carry is refused as a whole, and nothing is written:
a Work keeps a cluster's override in an annotation, where 256 KiB is the end ("override size limit").
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from towpath.derivation.derive import Derived
from towpath.model.condition import Condition
from towpath.model.export import OVERWRITE
from towpath.model.keys import ServiceKey, cluster_name
from towpath.model.ownership import (
    EXPORTERS_ANNOTATION,
    MANAGED_BY,
    PORTS_ANNOTATION,
    VIEW_ANNOTATION,
    import_policy_name,
)
from towpath.model.view import View
from towpath.rules.conditions import name_in_use, too_large
from towpath.rules.handover import NO_HANDOVER, Handover

POLICY_API = "policy.karmada.io/v1alpha1"
PRIORITY = 1000
"""Above what users give their own policies: the import must go where it was derived for."""
LARGEST_VIEW, LARGEST_POLICY = 200 * 1024, 512 * 1024
"""Bytes of JSON that one cluster's override and one OverridePolicy may have."""
MOST_POLICIES = 32
"""OverridePolicies that one service may have."""
_OVERWRITING = {
    "path": "/metadata/annotations/work.karmada.io~1conflict-resolution",
    "operator": "add",
    "value": "overwrite",
}
"""Lets Karmada take over the import in one member. It wins over the policy ("the template's annotation")."""
_AROUND = 512
"""Bytes that an override has besides the view and its columns, rounded up."""
_ENVELOPE = 2048
"""Bytes that a policy has besides its overrides, rounded up."""

# A member that is not ready keeps its imports: whether they still hold is for us to say, not for a taint.
TOLERATIONS = [
    {"key": f"cluster.karmada.io/{state}", "operator": "Exists", "effect": effect}
    for state in ("not-ready", "unreachable")
    for effect in ("NoSchedule", "NoExecute")
]


@dataclass(frozen=True)
class Rendered:
    """The objects of one service, in the order in which they are written. None = must not exist.

    ``refused`` is the condition that says why nothing may be written, None if all is well. ``digests`` are
    those of the views, by the name of the importing cluster.
    """

    overrides: tuple[Mapping[str, Any], ...] = ()
    propagation: Mapping[str, Any] | None = None
    service_import: Mapping[str, Any] | None = None
    refused: Condition | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def objects(self) -> tuple[Mapping[str, Any], ...]:
        """What is to be written, in order."""
        rest = (self.propagation, self.service_import)
        return (*self.overrides, *(obj for obj in rest if obj is not None))


class InUse(NamedTuple):
    """Objects of users that have the names of derived ones: those of the import, and the follow policies."""

    imports: tuple[str, ...] = ()
    export_policy: str = ""
    traffic_policy: str = ""

    def refuse(self, wanted: Rendered) -> Rendered:
        """Return what is written beside these objects: nothing of what has their names."""
        imports = self.imports if wanted.digests else ()
        preventing = (*imports, self.export_policy) if self.export_policy else imports
        if not preventing or wanted.refused:
            return wanted
        return replace(wanted, refused=name_in_use(preventing))


NOT_IN_USE = InUse()


class _Rule(NamedTuple):
    """What one cluster gets in place of the template: digest, rule without its clusters, size in bytes."""

    digest: str
    overwrites: bool
    overriders: dict[str, Any]
    size: int

    @property
    def content(self) -> tuple[str, bool]:
        """What tells rules apart: clusters with the same share one."""
        return self.digest, self.overwrites


def _json(view: View) -> bytes:
    return view.model_dump_json(by_alias=True, exclude_none=True).encode()


def render(
    key: ServiceKey,
    uid: str,
    derived: Derived,
    *,
    handover: Handover = NO_HANDOVER,
    in_use: InUse = NOT_IN_USE,
) -> Rendered:
    """Return the objects that bring every view of a service to its cluster.

    ``uid`` is the ServiceExport's, the owner of all of them. ``handover`` tells which imports of others are
    taken over, and whether members keep theirs. Where objects of users have derived names (``in_use``),
    nothing is written, and the refusal says so.
    """
    return in_use.refuse(_rendered(key, uid, derived, handover))


def _rendered(key: ServiceKey, uid: str, derived: Derived, handover: Handover) -> Rendered:
    full = derived.everything
    if full is None or not derived.views:
        return Rendered()
    whole, clusters = full.digest, _rules(derived.views, full, handover.overwrites_in)
    shards = _shards(clusters)
    refused = _too_large(len(_json(full)), clusters, fits=shards is not None)
    if refused:
        return Rendered(refused=refused)
    return Rendered(
        overrides=tuple(_override(key, uid, n, shard) for n, shard in enumerate(shards or ()) if shard),
        propagation=_propagation(key, uid, derived, handover),
        service_import=_service_import(key, uid, full),
        digests={n: clusters[n].digest if n in clusters else whole for n in derived.views},
    )


def metadata(owner: Mapping[str, str], namespace: str, name: str) -> dict[str, Any]:
    """Return the metadata of a derived object."""
    return {
        "name": name,
        "namespace": namespace,
        "labels": dict(MANAGED_BY),
        "ownerReferences": [dict(owner)],
    }


def owned(key: ServiceKey, uid: str, name: str) -> dict[str, Any]:
    """Return the metadata of an object that is derived from the ServiceExport with this uid."""
    owner = {"apiVersion": key.dialect.api_version, "kind": "ServiceExport", "name": key.name, "uid": uid}
    return metadata(owner, key.namespace, name)


def selector(key: ServiceKey, kind: str) -> list[dict[str, str]]:
    """Return what selects one object by name: the only way that no user's policy can be more exact."""
    return [
        {
            "apiVersion": key.dialect.api_version,
            "kind": kind,
            "name": key.name,
            "namespace": key.namespace,
        }
    ]


def import_of(key: ServiceKey, view: View) -> dict[str, Any]:
    """Return a view as the ServiceImport that its cluster gets, without the metadata of any one place."""
    spec = view.dump()
    annotations = {VIEW_ANNOTATION: view.digest, **_columns(spec["ports"])}
    meta = {"name": key.name, "namespace": key.namespace, "annotations": annotations}
    return {
        "apiVersion": key.dialect.api_version,
        "kind": "ServiceImport",
        "metadata": meta,
        "spec": spec,
    }


def _columns(ports: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return whom these ports lead to, and their numbers, as the columns of kubectl show them."""
    exporters = {cluster_name(endpoint["clusterKey"]) for port in ports for endpoint in port["endpoints"]}
    return {
        EXPORTERS_ANNOTATION: ",".join(sorted(exporters)),
        PORTS_ANNOTATION: ",".join(str(port["port"]) for port in ports),
    }


def _service_import(key: ServiceKey, uid: str, view: View) -> dict[str, Any]:
    made = import_of(key, view)
    return {**made, "metadata": {**owned(key, uid, key.name), **made["metadata"]}}


def _propagation(key: ServiceKey, uid: str, derived: Derived, handover: Handover) -> dict[str, Any]:
    return {
        "apiVersion": POLICY_API,
        "kind": "PropagationPolicy",
        "metadata": owned(key, uid, import_policy_name(key)),
        "spec": {
            "priority": PRIORITY,
            "resourceSelectors": selector(key, "ServiceImport"),
            "placement": {
                "clusterAffinity": {"clusterNames": sorted(derived.views)},
                "clusterTolerations": TOLERATIONS,
            },
            **({"conflictResolution": OVERWRITE} if handover.overwrites else {}),
            **({"preserveResourcesOnDeletion": True} if handover.preserves else {}),
            **({"propagateDeps": True} if derived.brings_service else {}),
        },
    }


def _rules(views: Mapping[str, View], full: View, overwritten: Collection[str]) -> dict[str, _Rule]:
    """Return the rule of each cluster that has one: its view differs, or its import is to be taken over."""
    made: dict[tuple[int, bool], _Rule] = {}
    clusters: dict[str, _Rule] = {}
    for name, view in views.items():
        overwrites = name in overwritten
        if view is full and not overwrites:
            continue
        if (rule := made.get((id(view), overwrites))) is None:
            rule = made[id(view), overwrites] = _rule(view, overwrites)
        if overwrites or rule.digest != full.digest:
            clusters[name] = rule
    return clusters


def _rule(view: View, overwrites: bool) -> _Rule:
    text, own = _json(view), view.digest
    ports = view.dump()["ports"]
    changes = overriders(ports, own)
    if overwrites:
        changes["plaintext"].append(_OVERWRITING)
    annotations = (change["value"] for change in changes["plaintext"] if change["value"] is not ports)
    return _Rule(own, overwrites, changes, len(text) + sum(map(len, annotations)) + _AROUND)


def overriders(ports: Sequence[Mapping[str, Any]], view: str) -> dict[str, Any]:
    """Return what gives a cluster these ports, whatever the template has; ``view`` is their digest."""
    annotations = {VIEW_ANNOTATION: view, **_columns(ports)}
    return {
        "plaintext": [
            {"path": "/spec/ports", "operator": "replace", "value": ports},
            *(
                {
                    "path": f"/metadata/annotations/{name.replace('/', '~1')}",
                    "operator": "add",  # also to a template of before that lacks it
                    "value": value,
                }
                for name, value in annotations.items()
            ),
        ]
    }


def _too_large(full: int, clusters: Mapping[str, _Rule], *, fits: bool) -> Condition | None:
    """Return the condition that refuses what Karmada cannot carry. ``full`` is the full list's size."""
    worst, size = max(((name, rule.size) for name, rule in clusters.items()), key=_size, default=("", 0))
    if size > LARGEST_VIEW:
        problem = f"The import of {worst} has {_kib(size)}, and the limit is {_kib(LARGEST_VIEW)}."
    elif full > LARGEST_POLICY:
        problem = f"The full list of endpoints has {_kib(full)}, and the limit is {_kib(LARGEST_POLICY)}."
    elif not fits:
        problem = f"All overrides together exceed {MOST_POLICIES} policies of {_kib(LARGEST_POLICY)}."
    else:
        return None
    return too_large(problem)


def _size(item: tuple[str, int]) -> int:
    return item[1]


def _kib(size: int) -> str:
    return f"{size / 1024:.0f} KiB"


def _shards(clusters: Mapping[str, _Rule]) -> Sequence[Mapping[str, _Rule]] | None:
    """Spread the clusters over as few policies as hold them, None if they don't fit.

    A cluster's place follows from its name and the number of policies, so that a change in one cluster
    moves no other.
    """
    for number in range(1, MOST_POLICIES + 1):
        shards: list[dict[str, _Rule]] = [{} for _ in range(number)]
        for name in sorted(clusters):
            shards[zlib.crc32(name.encode()) % number][name] = clusters[name]
        if all(_bytes(shard) + _ENVELOPE <= LARGEST_POLICY for shard in shards):
            return shards
    return None


def _bytes(clusters: Mapping[str, _Rule]) -> int:
    return sum({rule.content: rule.size for rule in clusters.values()}.values()) + sum(map(len, clusters))


def _override(key: ServiceKey, uid: str, number: int, clusters: Mapping[str, _Rule]) -> dict[str, Any]:
    """Return one rule for each distinct view: clusters that see the same share it."""
    names: dict[tuple[str, bool], list[str]] = {}
    for name, rule in clusters.items():
        names.setdefault(rule.content, []).append(name)
    changes = {rule.content: rule.overriders for rule in clusters.values()}
    return {
        "apiVersion": POLICY_API,
        "kind": "OverridePolicy",
        "metadata": owned(key, uid, import_policy_name(key, number)),
        "spec": {
            "resourceSelectors": selector(key, "ServiceImport"),
            "overrideRules": [
                {"targetCluster": {"clusterNames": same}, "overriders": changes[content]}
                for content, same in names.items()
            ],
        },
    }
