"""What a migration is planned from: what Karmada has, and what the members hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from towpath.migration.held import Endpoint, MemberState
from towpath.model.keys import ServiceKey
from towpath.model.world import AppliedPolicy


@dataclass(frozen=True)
class KnownService:
    """A service as Karmada has it: what its objects give each member at present, and why not others.

    ``excluded`` are the clusters that do not export, and ``not_importing`` those without an import, each with
    the message. ``drained`` were taken out by a user. ``released`` is left to the other control plane, and
    ``overwritten`` may be taken over. ``preserves``: members keep their imports when Karmada does not carry
    them any more. ``digest`` is that of the export.
    """

    carried: Mapping[str, frozenset[Endpoint]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    exporters: frozenset[str] = frozenset()
    excluded: Mapping[str, str] = field(default_factory=dict)
    drained: frozenset[str] = frozenset()
    not_importing: Mapping[str, str] = field(default_factory=dict)
    released: frozenset[str] = frozenset()
    overwritten: frozenset[str] = frozenset()
    preserves: bool = False
    digest: str = ""


class World(NamedTuple):
    """Everything that a plan follows from. ``keys`` are the members of Karmada by cluster key.

    ``policies`` are the traffic policies of Karmada.
    """

    keys: Mapping[str, str]
    services: Mapping[ServiceKey, KnownService]
    members: Sequence[MemberState]
    policies: Mapping[ServiceKey, AppliedPolicy] = {}
