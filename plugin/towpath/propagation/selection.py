"""Which policy claims a template.

``pkg/util/selector.go`` decides whether a selector matches and how precisely, ``pkg/detector/compare.go``
which of several policies wins. Claims are sticky: a template that a policy has already claimed keeps it
whatever this says (``pkg/detector/policy.go``), which only the live template's annotations tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from towpath.propagation.policies import Policy
from towpath.propagation.selectors import LabelSelector, Requirement, ResourceSelector

# What Kubernetes takes for a label's key and value (apimachinery, pkg/util/validation).
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"({_NAME})?")


class Match(IntEnum):
    """How precisely a selector names a template: Karmada's implicit priority."""

    ALL = 1
    LABELS = 2
    NAME = 3


@dataclass(frozen=True)
class Template:
    """An object to be propagated, as selectors see it. ``namespace`` is empty if it is in none."""

    api_version: str
    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


def template_of(manifest: Mapping[str, Any]) -> Template:
    """Return what selectors see of a manifest."""
    metadata = manifest.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return Template(
        str(manifest.get("apiVersion", "")),
        str(manifest.get("kind", "")),
        str(metadata.get("namespace") or ""),
        str(metadata.get("name") or ""),
        text_map(metadata.get("labels")) or {},
    )


def text_map(value: object) -> dict[str, str] | None:
    """Return labels or annotations, None if it is anything else (unstructured.NestedStringMap)."""
    if not isinstance(value, Mapping):
        return None
    return dict(value) if all(isinstance(text, str) for item in value.items() for text in item) else None


def selects(selector: ResourceSelector, template: Template) -> Match | None:
    """Return how precisely a selector matches, None if it does not (selector.go, ResourceSelectorPriority).

    With a name the labels are not asked. The apiVersion must be the same text.
    """
    if (selector.api_version, selector.kind) != (template.api_version, template.kind):
        return None
    if selector.namespace not in {"", template.namespace}:
        return None
    if selector.name:
        return Match.NAME if selector.name == template.name else None
    if selector.label_selector is None:
        return Match.ALL
    return Match.LABELS if labels_match(selector.label_selector, template.labels) else None


def best_match(selectors: Sequence[ResourceSelector], template: Template) -> Match | None:
    """Return the most precise match of several selectors, None if there is none."""
    return max((match for s in selectors if (match := selects(s, template))), default=None)


def claiming(policies: Sequence[Policy], template: Template) -> Policy | None:
    """Return the policy that Karmada gives a template that nobody claimed yet, None if there is none.

    Any PropagationPolicy of its namespace comes before every ClusterPropagationPolicy (policy.go). Among
    equals the higher priority wins, then the more precise selector, then the name that sorts first.
    """
    alive = [policy for policy in policies if not policy.deleting]
    of_namespace = [p for p in alive if p.namespace and p.namespace == template.namespace]
    return _first(of_namespace, template) or _first([p for p in alive if not p.namespace], template)


def _first(policies: Sequence[Policy], template: Template) -> Policy | None:
    ranked = [(-p.priority, -match, p.name, p) for p in policies if (match := _claims(p, template))]
    return min(ranked, key=lambda rank: rank[:3])[3] if ranked else None


def _claims(policy: Policy, template: Template) -> Match | None:
    return best_match(policy.resource_selectors, template)


def labels_match(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Tell whether labels satisfy a selector; an empty one is satisfied by all (LabelSelectorAsSelector)."""
    same = [
        Requirement(key=key, operator="In", values=(value,)) for key, value in selector.match_labels.items()
    ]
    return all_met([*same, *selector.match_expressions], labels)


def all_met(requirements: Sequence[Requirement], labels: Mapping[str, str]) -> bool:
    """Tell whether labels meet all requirements.

    None are met if Kubernetes cannot read one of them: Karmada takes the error for "no match".
    """
    return all(_readable(r) for r in requirements) and all(_met(r, labels) for r in requirements)


def _readable(requirement: Requirement) -> bool:
    """Tell whether it is a requirement on labels at all (apimachinery, labels.NewRequirement)."""
    return (
        bool(requirement.values) == (requirement.operator in {"In", "NotIn"})
        and _KEY.fullmatch(requirement.key) is not None
        and all(_VALUE.fullmatch(value) for value in requirement.values)
    )


def _met(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    held = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return held in requirement.values
        case "NotIn":
            return held not in requirement.values
        case "Exists":
            return held is not None
        case "DoesNotExist":
            return held is None
