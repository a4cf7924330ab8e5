"""Users' policies that select or change objects Towpath reads, and the objects that Towpath writes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import msgspec

from towpath.propagation.policies import OverridePolicy, Policy, read_override, read_policy

_FOLLOWING, _OVERRIDDEN = ("ServiceExport", "GlobalTrafficPolicy"), ("ServiceExport", "Service")


class _SelectedKind(msgspec.Struct, gc=False):
    kind: str = ""


class _SelectingSpec(msgspec.Struct, rename="camel", gc=False):
    resource_selectors: list[_SelectedKind] | None = None


class _Selecting(msgspec.Struct, gc=False):
    spec: _SelectingSpec = msgspec.field(default_factory=_SelectingSpec)


def policy(raw: bytes) -> Policy | None:
    """Decode a (Cluster)PropagationPolicy; None if it selects none of our kinds. Raises InvalidObject."""
    if not _concerns(raw, _FOLLOWING):
        return None
    return read_policy(msgspec.json.decode(raw))


def override(raw: bytes) -> OverridePolicy | None:
    """Decode a (Cluster)OverridePolicy; None if it changes none of our kinds. Raises InvalidObject."""
    if not _concerns(raw, _OVERRIDDEN):
        return None
    return read_override(msgspec.json.decode(raw))


def whole(raw: bytes) -> dict[str, Any]:
    """Decode a whole object, for those that Towpath writes."""
    return cast("dict[str, Any]", msgspec.json.decode(raw))


def _concerns(raw: bytes, kinds: Collection[str]) -> bool:
    """Tell whether a policy can select one of these kinds; without selectors it selects everything."""
    selectors = msgspec.json.decode(raw, type=_Selecting).spec.resource_selectors
    return not selectors or any(one.kind in kinds for one in selectors)
