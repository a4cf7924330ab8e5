"""matchConditions in CEL: the apiserver evaluates them, and calls the webhook only if they hold.

Karmada writes only metadata into objects of users (claims, permanent ids, finalizers). Such requests are
never sent, so an outage of the webhook does not stop Karmada. Requests in the namespaces of Kubernetes and
Karmada, and those of the plugin, the garbage collector and the namespace controller, are not sent either.
Every expression must evaluate for objects of any shape: an error refuses the request if ``failurePolicy`` is
``Fail``."""

from __future__ import annotations

from typing import NamedTuple

from towpath.model.cluster import DRAIN_ANNOTATION
from towpath.model.export import CONFLICT_RESOLUTION, RELEASED, WHEN_UNREACHABLE
from towpath.model.ownership import IMPORT_ANNOTATIONS, LAST_APPLIED, MANAGED_BY_LABEL, TOWPATH

CONTROLLERS = (
    "system:serviceaccount:karmada-system:towpath-plugin",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
)
"""The plugin by its token, and users that delete objects without an owner or namespace."""
PLUGIN_GROUP = TOWPATH
"""The group of the plugin by its client certificate."""
OWNERS = ("ServiceExport", "GlobalTrafficPolicy")
"""Kinds that own derived objects."""
_RESERVED = ("karmada-system", "karmada-cluster")
"""Namespaces of Karmada; Towpath runs in the first. Those of Kubernetes start with ``kube-``."""
_EXPORTED_KINDS = ("Service", *OWNERS)


class Condition(NamedTuple):
    """A matchCondition."""

    name: str
    expression: str


def _any(*expressions: str) -> str:
    return " || ".join(f"({expression})" for expression in expressions)


def _all(*expressions: str) -> str:
    return " && ".join(f"({expression})" for expression in expressions)


def _differs(field: str) -> str:
    new, old = f"object.{field}", f"oldObject.{field}"
    return f"has({new}) != has({old}) || has({new}) && {new} != {old}"


def _entry(obj: str, field: str, key: str) -> str:
    """Return the value of a label or an annotation, empty if it is not set."""
    entries = f"{obj}.metadata.{field}"
    return f"(has({entries}) && '{key}' in {entries} ? {entries}['{key}'] : '')"


def _entry_differs(field: str, key: str) -> str:
    return f"{_entry('object', field, key)} != {_entry('oldObject', field, key)}"


def _lacks(items: str, field: str) -> str:
    """Return whether an item of a list lacks a field."""
    return f"has({items}) && type({items}) == list && {items}.exists(item, !has(item.{field}))"


_CREATED, _DELETED = "request.operation == 'CREATE'", "request.operation == 'DELETE'"
_IS_DERIVED = _all(
    f"{_entry('oldObject', 'labels', MANAGED_BY_LABEL)} == '{TOWPATH}'",
    "has(oldObject.metadata.ownerReferences)",
    f"oldObject.metadata.ownerReferences.exists(item, item.kind in {list(OWNERS)})",
)
_IS_SPEC_CHANGED = _any(_CREATED, _DELETED, _differs("spec"))

NOT_RESERVED_NAMESPACE = Condition(
    "not-in-a-reserved-namespace",
    "!has(request.namespace) || "
    f"!request.namespace.startsWith('kube-') && !(request.namespace in {list(_RESERVED)})",
)
NOT_CONTROLLER = Condition(
    "not-a-controller",
    f"!(request.userInfo.username in {list(CONTROLLERS)}) && "
    f"!(has(request.userInfo.groups) && '{PLUGIN_GROUP}' in request.userInfo.groups)",
)
SPEC_CHANGES = Condition("spec-changes", _IS_SPEC_CHANGED)
MEANING_CHANGES = Condition(
    "meaning-changes",
    _any(
        _IS_SPEC_CHANGED,
        *(
            _entry_differs("annotations", key)
            for key in (WHEN_UNREACHABLE, DRAIN_ANNOTATION, CONFLICT_RESOLUTION, RELEASED)
        ),
    ),
)
DERIVED = Condition("derived", _IS_DERIVED)
NOT_DERIVED = Condition("not-derived", _any(_CREATED, f"!({_IS_DERIVED})"))
DERIVED_PART_CHANGES = Condition(
    "derived-part-changes",
    _any(
        _IS_SPEC_CHANGED,
        _differs("metadata.ownerReferences"),
        _entry_differs("labels", MANAGED_BY_LABEL),
        *(_entry_differs("annotations", name) for name in IMPORT_ANNOTATIONS),
    ),
)
SELECTS_EXPORTED = Condition(
    "selects-what-is-exported",
    "has(oldObject.spec) && has(oldObject.spec.resourceSelectors) && "
    f"oldObject.spec.resourceSelectors.exists(item, item.kind in {list(_EXPORTED_KINDS)})",
)
# kubectl's copy of the manifest is text: the rule parses it, this expression need not.
HAS_KUBECONFIG = Condition(
    "has-kubeconfig",
    _any(
        "has(object.spec) && has(object.spec.kubeconfig) && object.spec.kubeconfig != ''",
        f"{_entry('object', 'annotations', LAST_APPLIED)}.contains('\"kubeconfig\"')",
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
