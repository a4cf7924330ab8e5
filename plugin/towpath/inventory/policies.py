"""The user's own policies, as far as they select or change what Towpath reads.

Kept by namespace, since a change in one policy concerns its namespace only; policies without one are asked
for every namespace. Karmada's own rules decide (``propagation``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from towpath.karmada.reflector import Name
from towpath.propagation.policies import OverridePolicy, Policy
from towpath.propagation.selection import Template, best_match

P = TypeVar("P", Policy, OverridePolicy)
EVERYWHERE = ""
"""The namespace of policies that have none."""


class ByNamespace(Generic[P]):
    """Policies of one kind and its cluster-wide twin."""

    def __init__(self) -> None:
        self._policies: dict[str, dict[str, P]] = {}

    def put(self, name: Name, policy: P | None) -> None:
        """Add, replace or (None) remove a policy."""
        if policy is not None:
            self._policies.setdefault(name.namespace, {})[name.name] = policy
            return
        those = self._policies.get(name.namespace, {})
        those.pop(name.name, None)
        if not those:
            self._policies.pop(name.namespace, None)

    def of(self, namespace: str) -> Iterator[P]:
        """Yield the policies that can concern objects of a namespace."""
        yield from self._policies.get(namespace, {}).values()
        if namespace != EVERYWHERE:
            yield from self._policies.get(EVERYWHERE, {}).values()

    def __bool__(self) -> bool:
        return bool(self._policies)


def is_selected(policies: ByNamespace[Policy], template: Template) -> bool:
    """Tell whether a policy of the user selects a template. One that is being deleted does not any more."""
    return any(
        not policy.deleting and best_match(policy.resource_selectors, template) is not None
        for policy in policies.of(template.namespace)
    )
