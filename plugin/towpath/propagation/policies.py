"""Karmada's policies, as far as they decide where a template goes and what a member gets of it.

Read from manifests that nobody checked yet, so what Karmada's webhooks refuse is refused here too
(pkg/util/validation/validation.go), naming object and field. Null means "not set", as for the apiserver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, StrictBool, StrictInt

from towpath.errors import InvalidObject
from towpath.propagation.selectors import AffinityTerm, ClusterAffinity, Part, ResourceSelector

DEFAULT_SCHEDULER = "default-scheduler"
_CLAIMING = {"PropagationPolicy": True, "ClusterPropagationPolicy": False}
_OVERRIDING = {"OverridePolicy": True, "ClusterOverridePolicy": False}

Operator = Literal["add", "remove", "replace"]


@dataclass(frozen=True)
class Target:
    """A member as a cluster affinity sees it: what its Karmada ``Cluster`` says.

    ``zones`` is ``spec.zones``, or only ``spec.zone`` if that is empty
    (pkg/apis/cluster/mutation/mutation.go). ``tainted``: it has a taint NoSchedule or NoExecute.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    provider: str = ""
    region: str = ""
    zones: tuple[str, ...] = ()
    tainted: bool = False


class Placement(Part):
    """Where templates go. Of what only the scheduler can apply no more is read than that it is there.

    ``replica_scheduling`` decides nothing for what has no replicas (scheduler/core/common.go).
    """

    cluster_affinity: ClusterAffinity | None = None
    cluster_affinities: tuple[AffinityTerm, ...] = ()
    cluster_tolerations: tuple[Any, ...] = ()
    spread_constraints: tuple[Any, ...] = ()
    replica_scheduling: Any = None
    workload_affinity: Any = None


class SuspendedClusters(Part):
    """Members to which nothing is sent for now."""

    cluster_names: tuple[str, ...] = ()


class Suspension(Part):
    """What is stopped for now: sending to all members, or to some."""

    dispatching: StrictBool = False
    dispatching_on_clusters: SuspendedClusters = SuspendedClusters()


class _Named(Part):
    kind: str
    namespace: str
    name: str
    resource_selectors: tuple[ResourceSelector, ...] = ()

    @property
    def title(self) -> str:
        """How notes and errors call it."""
        return _title(self.kind, self.namespace, self.name)

    def in_its_namespace(self) -> Self:
        """Return it with selectors that inherit its namespace (pkg/webhook/*/mutating.go)."""
        for index, selector in enumerate(self.resource_selectors):
            if self.namespace and selector.namespace not in {"", self.namespace}:
                raise InvalidObject(
                    f"{self.title}: spec.resourceSelectors[{index}].namespace: Invalid value"
                    f" {selector.namespace!r}: must be the namespace of the policy. Correct or remove it."
                )
        scoped = [
            s.model_copy(update={"namespace": s.namespace or self.namespace}) for s in self.resource_selectors
        ]
        return self.model_copy(update={"resource_selectors": tuple(scoped)})


class Policy(_Named):
    """A PropagationPolicy, or a ClusterPropagationPolicy, whose ``namespace`` is empty.

    ``deleting``: on its way out, so it claims nothing any more.
    """

    priority: StrictInt = 0
    placement: Placement = Placement()
    suspension: Suspension = Suspension()
    scheduler_name: str = DEFAULT_SCHEDULER
    deleting: bool = False


class PlaintextOverrider(Part):
    """One JSON patch operation. No value is null, as in Karmada."""

    path: str
    operator: Operator
    value: Any = None


class MapOverrider(Part):
    """Changes labels or annotations."""

    operator: Operator
    value: dict[str, str] = Field(default_factory=dict)


class FieldOverrider(Part):
    """Patches a document inside of a string field. What it does there is not read."""

    field_path: str


class ImagePredicate(Part):
    """Where the image to change is."""

    path: str


class ImageOverrider(Part):
    """Changes an image. What it makes of it is not read."""

    predicate: ImagePredicate | None = None


class Overriders(Part):
    """What a rule changes. Those of commands and arguments touch nothing but workloads and are not read."""

    image_overrider: tuple[ImageOverrider, ...] = ()
    labels_overrider: tuple[MapOverrider, ...] = ()
    annotations_overrider: tuple[MapOverrider, ...] = ()
    field_overrider: tuple[FieldOverrider, ...] = ()
    plaintext: tuple[PlaintextOverrider, ...] = ()


class OverrideRule(Part):
    """Changes for some members, or for all if it names none."""

    target_cluster: ClusterAffinity | None = None
    overriders: Overriders = Overriders()


class OverridePolicy(_Named):
    """An OverridePolicy, or a ClusterOverridePolicy, whose ``namespace`` is empty.

    Without selectors it is for every template.
    """

    override_rules: tuple[OverrideRule, ...] = ()
    target_cluster: ClusterAffinity | None = None
    overriders: Overriders = Overriders()

    @property
    def rules(self) -> Mapping[str, OverrideRule]:
        """Its rules in order, by the field each stands in. Those of Karmada before 1.0 are one rule.

        The old fields count only where there are no rules (overridemanager.go:230-243).
        """
        if self.override_rules:
            return {f"spec.overrideRules[{i}]": rule for i, rule in enumerate(self.override_rules)}
        return {"spec": OverrideRule(target_cluster=self.target_cluster, overriders=self.overriders)}


_P = TypeVar("_P", bound=_Named)


def read_policy(obj: object) -> Policy:
    """Read a (Cluster)PropagationPolicy. Raises InvalidObject naming object and field."""
    policy = _read(Policy, obj, _CLAIMING)
    if policy.placement.cluster_affinity and policy.placement.cluster_affinities:
        raise InvalidObject(
            f"{policy.title}: spec.placement: clusterAffinity and clusterAffinities are both set. Remove one."
        )
    return policy


def read_override(obj: object) -> OverridePolicy:
    """Read a (Cluster)OverridePolicy. Raises InvalidObject naming object and field."""
    return _read(OverridePolicy, obj, _OVERRIDING)


def _read(parsed: type[_P], obj: object, kinds: Mapping[str, bool]) -> _P:
    match obj:
        case {"kind": str(kind), "metadata": {"name": str(name), **metadata}, **rest} if kind in kinds:
            namespace = metadata.get("namespace") if kinds[kind] else ""
        case _:
            raise InvalidObject(f"The object is not a {' or '.join(kinds)} with metadata.name.")
    if not isinstance(namespace, str) or (kinds[kind] and not namespace):
        raise InvalidObject(
            f"{kind} {name}: metadata.namespace: Required value. Set the namespace of the policy."
        )
    title, spec = _title(kind, namespace, name), rest.get("spec")
    if not isinstance(spec, Mapping):
        raise InvalidObject(f"{title}: spec: Required value. Must be an object.")
    identity = {"kind": kind, "namespace": namespace, "name": name}
    deleting = metadata.get("deletionTimestamp") is not None
    return parsed.parse({**spec, **identity, "deleting": deleting}, title).in_its_namespace()


def _title(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
