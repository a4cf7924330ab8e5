"""Users' policies that select or change objects Towpath reads, and the objects that Towpath writes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import msgspec

from towpath.karmada.nesting import decoded, shallow
from towpath.model.ownership import PREFIXES
from towpath.propagation.policies import OverridePolicy, Policy, read_override, read_policy

_FOLLOWING = ("ServiceExport", "GlobalTrafficPolicy")
_OVERRIDDEN = ("ServiceExport", "Service", "ServiceImport")


class _SelectedKind(msgspec.Struct, gc=False):
    kind: str = ""


class _SelectingSpec(msgspec.Struct, rename="camel", gc=False):
    resource_selectors: list[_SelectedKind] | None = None


class _Meta(msgspec.Struct, gc=False):
    name: str = ""


class _Selecting(msgspec.Struct, gc=False):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: _SelectingSpec = msgspec.field(default_factory=_SelectingSpec)


_selecting, _anything = msgspec.json.Decoder(_Selecting), msgspec.json.Decoder()


def policy(raw: bytes) -> Policy | None:
    """Decode a (Cluster)PropagationPolicy; None if it does not concern Towpath. Raises InvalidObject."""
    if not _concerns(raw, _FOLLOWING):
        return None
    return read_policy(msgspec.json.decode(raw))


def override(raw: bytes) -> OverridePolicy | None:
    """Decode a (Cluster)OverridePolicy; None if it does not concern Towpath. Raises InvalidObject."""
    if not _concerns(raw, _OVERRIDDEN):
        return None
    return read_override(shallow(decoded(_anything, raw)))


def whole(raw: bytes) -> dict[str, Any]:
    """Decode a whole object, for those that Towpath writes."""
    return cast("dict[str, Any]", msgspec.json.decode(raw))


def _concerns(raw: bytes, kinds: Collection[str]) -> bool:
    """Tell whether a policy can select one of these kinds, or has the name of a derived policy.

    Without selectors it selects everything.
    """
    obj = decoded(_selecting, raw)
    selectors = obj.spec.resource_selectors
    return (
        not selectors
        or obj.metadata.name.startswith(PREFIXES)
        or any(selector.kind in kinds for selector in selectors)
    )
