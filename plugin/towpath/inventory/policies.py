"""The policies of users that may select or override what Towpath reads.

They are kept by namespace, because a change in one concerns its namespace only; cluster-scoped policies
concern every namespace. Karmada's own rules decide (``propagation``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from towpath.karmada.reflector import Name
from towpath.propagation.policies import OverridePolicy, Policy
from towpath.propagation.selection import Template, best_match

P = TypeVar("P", Policy, OverridePolicy)
ALL_NAMESPACES = ""
"""The key of cluster-scoped policies."""


class PoliciesByNamespace(Generic[P]):
    """Policies of one kind and of its cluster-scoped counterpart."""

    def __init__(self) -> None:
        self._policies: dict[str, dict[str, P]] = {}

    def put(self, name: Name, policy: P | None) -> None:
        """Add, replace or (None) remove a policy."""
        if policy is not None:
            self._policies.setdefault(name.namespace, {})[name.name] = policy
            return
        remaining = self._policies.get(name.namespace, {})
        remaining.pop(name.name, None)
        if not remaining:
            self._policies.pop(name.namespace, None)

    def of(self, namespace: str) -> Iterator[P]:
        """Yield the policies that can concern objects of a namespace."""
        yield from self._policies.get(namespace, {}).values()
        if namespace != ALL_NAMESPACES:
            yield from self._policies.get(ALL_NAMESPACES, {}).values()

    def __bool__(self) -> bool:
        return bool(self._policies)


def is_selected(policies: PoliciesByNamespace[Policy], template: Template) -> bool:
    """Tell whether a policy of a user selects a template. A policy that is being deleted selects nothing."""
    return any(
        not policy.deleting and best_match(policy.resource_selectors, template) is not None
        for policy in policies.of(template.namespace)
    )
