"""The policies of users that may select or override what Towpath reads.

They are kept by namespace, because a change in one concerns its namespace only; cluster-scoped policies
concern every namespace. Karmada's own rules decide (``propagation``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from towpath.karmada.wire import Name
from towpath.propagation.overriding import concerning
from towpath.propagation.policies import OverridePolicy, Policy
from towpath.propagation.selection import Template, best_match

P = TypeVar("P", Policy, OverridePolicy)
ALL_NAMESPACES = ""
"""The key of cluster-scoped policies."""


class PoliciesByNamespace(Generic[P]):
    """Policies of one kind and of its cluster-scoped counterpart."""

    def __init__(self) -> None:
        self._policies: dict[str, dict[str, P]] = {}

    def put(self, name: Name, policy: P | None) -> bool:
        """Add, replace or (None) remove a policy; tell whether that changes anything."""
        before = self._policies.get(name.namespace, {}).get(name.name)
        if policy is not None:
            self._policies.setdefault(name.namespace, {})[name.name] = policy
        elif before is not None:
            del self._policies[name.namespace][name.name]
            if not self._policies[name.namespace]:
                del self._policies[name.namespace]
        return before != policy

    def of(self, namespace: str) -> Iterator[P]:
        """Yield the policies that can concern objects of a namespace."""
        yield from self._policies.get(namespace, {}).values()
        if namespace != ALL_NAMESPACES:
            yield from self._policies.get(ALL_NAMESPACES, {}).values()

    def __bool__(self) -> bool:
        return bool(self._policies)


class UserPolicies:
    """The propagation policies and the override policies of users."""

    def __init__(self) -> None:
        self.propagation = PoliciesByNamespace[Policy]()
        self.overrides = PoliciesByNamespace[OverridePolicy]()

    def select(self, template: Template) -> bool:
        """Tell whether a policy selects a template. A policy that is being deleted selects nothing."""
        return any(
            not policy.deleting and best_match(policy.resource_selectors, template) is not None
            for policy in self.propagation.of(template.namespace)
        )

    def overriding(self, namespace: str) -> tuple[OverridePolicy, ...]:
        """Return the override policies that can concern objects of a namespace."""
        return (*self.overrides.of(namespace),)

    def reaching(self, api_version: str, kind: str, name: Name) -> tuple[OverridePolicy, ...]:
        """Return the override policies that can reach a template."""
        if not self.overrides:
            return ()
        return (*concerning(self.overrides.of(name.namespace), api_version, kind, *name),)
