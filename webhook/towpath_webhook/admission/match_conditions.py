"""Which requests are worth a call, in CEL: an apiserver evaluates it itself, and costs nobody anything.

What Karmada writes into objects of others is metadata (claims, permanent ids, finalizers), and that is never
sent, so that no outage of ours can stop it. Nor is anything of the namespaces of Kubernetes and Karmada, of
the plugin, the garbage collector or the namespace controller. Every expression holds up with objects of any
shape: an error in one would refuse the request where ``failurePolicy`` is ``Fail``.
"""

from __future__ import annotations

from typing import NamedTuple

from towpath.model.cluster import DRAIN_ANNOTATION
from towpath.model.export import CONFLICT_RESOLUTION, WHEN_UNREACHABLE

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which ``kubectl apply`` keeps the manifest that it was given."""
MANAGED_BY, VIEW = "app.kubernetes.io/managed-by", "towpath.io/view"
"""Label and annotation of what is derived (render.py)."""
TOWPATH = "towpath"
"""That label's value, and the group of the plugin's user."""
CONTROLLERS = (
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
)
"""Users that take away what has lost its owner or its namespace."""
OWNERS = ("ServiceExport", "GlobalTrafficPolicy")
"""Kinds that own what is derived."""
_RESERVED = ("karmada-system", "karmada-cluster")
"""Namespaces of Karmada itself; Towpath lives in the first. Those of Kubernetes begin with ``kube-``."""
_CARRIED = ("Service", *OWNERS)


class Condition(NamedTuple):
    """One matchCondition."""

    name: str
    expression: str


def _any(*expressions: str) -> str:
    return " || ".join(f"({one})" for one in expressions)


def _all(*expressions: str) -> str:
    return " && ".join(f"({one})" for one in expressions)


def _differs(field: str) -> str:
    new, old = f"object.{field}", f"oldObject.{field}"
    return f"has({new}) != has({old}) || has({new}) && {new} != {old}"


def _entry(obj: str, field: str, key: str) -> str:
    """Return the value of a label or an annotation, empty if there is none."""
    entries = f"{obj}.metadata.{field}"
    return f"(has({entries}) && '{key}' in {entries} ? {entries}['{key}'] : '')"


def _entry_differs(field: str, key: str) -> str:
    return f"{_entry('object', field, key)} != {_entry('oldObject', field, key)}"


def _lacks(items: str, field: str) -> str:
    """Say that an item of a list lacks a field."""
    return f"has({items}) && type({items}) == list && {items}.exists(one, !has(one.{field}))"


_CREATED, _DELETED = "request.operation == 'CREATE'", "request.operation == 'DELETE'"
_IS_DERIVED = _all(
    f"{_entry('oldObject', 'labels', MANAGED_BY)} == '{TOWPATH}'",
    "has(oldObject.metadata.ownerReferences)",
    f"oldObject.metadata.ownerReferences.exists(one, one.kind in {list(OWNERS)})",
)
_SPEC_CHANGES = _any(_CREATED, _DELETED, _differs("spec"))

ELSEWHERE = Condition(
    "not-in-a-reserved-namespace",
    "!has(request.namespace) || "
    f"!request.namespace.startsWith('kube-') && !(request.namespace in {list(_RESERVED)})",
)
BY_OTHERS = Condition(
    "not-by-controllers",
    f"!(request.userInfo.username in {list(CONTROLLERS)}) && "
    f"!(has(request.userInfo.groups) && '{TOWPATH}' in request.userInfo.groups)",
)
SPEC = Condition("spec-changes", _SPEC_CHANGES)
MEANING = Condition(
    "meaning-changes",
    _any(
        _SPEC_CHANGES,
        *(
            _entry_differs("annotations", key)
            for key in (WHEN_UNREACHABLE, DRAIN_ANNOTATION, CONFLICT_RESOLUTION)
        ),
    ),
)
DERIVED = Condition("derived", _IS_DERIVED)
NOT_DERIVED = Condition("not-derived", _any(_CREATED, f"!({_IS_DERIVED})"))
OURS = Condition(
    "ours-changes",
    _any(
        _SPEC_CHANGES,
        _differs("metadata.ownerReferences"),
        _entry_differs("labels", MANAGED_BY),
        _entry_differs("annotations", VIEW),
    ),
)
CARRIES = Condition(
    "carries-what-is-exported",
    "has(oldObject.spec) && has(oldObject.spec.resourceSelectors) && "
    f"oldObject.spec.resourceSelectors.exists(one, one.kind in {list(_CARRIED)})",
)
# In kubectl's copy of the manifest the field is text: the rule looks closer than this expression needs to.
HOLDS_KUBECONFIG = Condition(
    "holds-kubeconfig",
    _any(
        "has(object.spec) && has(object.spec.kubeconfig) && object.spec.kubeconfig != ''",
        f"{_entry('object', 'annotations', APPLIED)}.contains('\"kubeconfig\"')",
    ),
)
LACKS_DEFAULT = Condition(
    "lacks-a-default",
    _any(
        "request.kind.kind == 'GlobalTrafficPolicy' && (!has(object.spec) || !has(object.spec.lbType))",
        _all(
            "request.kind.kind == 'ServiceExport' && has(object.spec)",
            _lacks("object.spec.rules", "pathType"),
        ),
        _all(
            "request.kind.kind == 'ServiceImport' && has(object.spec)",
            _any("!has(object.spec.type)", _lacks("object.spec.ports", "protocol")),
        ),
    ),
)
