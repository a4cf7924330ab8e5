"""What a member has of its own beside imports: exports and traffic policies that Karmada does not manage.

ErieCanal reads exports in the members, so that is where they are. What Karmada does not have it cannot carry,
and what it has otherwise it replaces. Both are said before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from towpath.migration.held import MemberState
from towpath.migration.world import World
from towpath.model.keys import Dialect, ServiceKey
from towpath.rules.reasons import OwnReason
from towpath.text import several

EXPORT, POLICY = "ServiceExport", "GlobalTrafficPolicy"


class Own(NamedTuple):
    """An object that Karmada does not manage, and what becomes of it."""

    kind: str
    key: ServiceKey
    reason: OwnReason
    detail: str = ""

    @property
    def text(self) -> str:
        """The message."""
        detail = self.detail.rstrip(". ")
        return f"{detail}: {self.reason.text}" if detail else self.reason.text


def own(world: World, member: MemberState) -> tuple[Own, ...]:
    """Return what a member has of its own and Karmada does not have likewise, exports first."""
    exports = ((key, _export(world, member, key)) for key in sorted(member.own_exports))
    policies = ((key, _policy(world, member, key)) for key in sorted(member.own_policies))
    return (
        *(Own(EXPORT, key, *found) for key, found in exports if found),
        *(Own(POLICY, key, *found) for key, found in policies if found),
    )


def _export(world: World, member: MemberState, key: ServiceKey) -> tuple[OwnReason, str] | None:
    """Return what becomes of an export, the most fundamental reason first."""
    service = world.services.get(key)
    if service is None:
        group = _other_group(key, world.services)
        imported = f"imported by {several(_importers(world, member, key)) or 'no member'}"
        return (OwnReason.EXPORT_GROUP, group) if group else (OwnReason.EXPORT_ONLY, imported)
    if member.cluster in service.drained:
        return None
    if member.cluster in service.excluded:
        return OwnReason.EXPORT_EXCLUDED, service.excluded[member.cluster]
    if member.cluster not in service.exporters:
        return OwnReason.EXPORT_ELSEWHERE, ""
    return None if service.digest == member.own_exports[key] else (OwnReason.EXPORT_DIFFERS, "")


def _policy(world: World, member: MemberState, key: ServiceKey) -> tuple[OwnReason, str] | None:
    """Return what becomes of a traffic policy, the most fundamental reason first."""
    known = world.policies.get(key)
    if known is None:
        group = _other_group(key, world.policies)
        return (OwnReason.POLICY_GROUP, group) if group else (OwnReason.POLICY_ONLY, "")
    if member.cluster not in known.clusters:
        return OwnReason.POLICY_ELSEWHERE, ""
    return None if known.policy == member.own_policies[key] else (OwnReason.POLICY_DIFFERS, "")


def _other_group(key: ServiceKey, known: Iterable[ServiceKey]) -> str:
    """Return the other API group in which Karmada has the object; empty if it has none."""
    others = (dialect for dialect in Dialect if key._replace(dialect=dialect) in known)
    return next((dialect.value for dialect in others), "")


def _importers(world: World, member: MemberState, key: ServiceKey) -> Iterator[str]:
    """Yield the members whose import has an endpoint of this one."""
    own_keys = {cluster_key for cluster_key, name in world.keys.items() if name == member.cluster}
    for other in world.members:
        held = other.imports.get(key)
        if held and any(endpoint.cluster_key in own_keys for endpoint in held.endpoints):
            yield other.cluster
