"""Which warnings hold in a fleet with several data paths: FSM, or towpath-net where the label says so.

What FSM cannot do with an import is said only while a member with FSM imports it, and what towpath-net
cannot do in the same way. A member that has neither is one with FSM: nothing else is known of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from towpath.model.cluster import Member
from towpath.model.service import HEADLESS, ServicePort
from towpath.rules.ports import Exporter
from towpath.rules.reasons import Advice, Caution, InvalidReason
from towpath.rules.transport import Transport, transport_of

_OF_FSM_IMPORTERS = frozenset(
    {
        Advice.SEVERAL_PORTS,
        Advice.SEVERAL_PROTOCOLS,
        Advice.NOT_HTTP,
        Advice.UNROUTED_PROTOCOL,
        Advice.ROOT_PATH,
    }
)


def concerns(reason: Advice | InvalidReason, importers: Collection[Member]) -> bool:
    """Tell whether a warning about an export holds for these importing clusters."""
    has_fsm = not importers or any(not member.data_path for member in importers)
    return has_fsm or reason not in _OF_FSM_IMPORTERS


def of_data_paths(exporters: Sequence[Exporter], importers: Collection[Member]) -> Iterator[Caution]:
    """Yield what towpath-net cannot do with an export."""
    if any(member.data_path for member in importers):
        yield from _without_tunnel(exporters)
    headless = [e for e in exporters if e.member.data_path and e.service.import_type == HEADLESS]
    if len(exporters) > 1 and headless:
        names = ", ".join(sorted(exporter.member.name for exporter in headless))
        yield Caution(Advice.HEADLESS_EXPORTER, "", names)


def _without_tunnel(exporters: Sequence[Exporter]) -> Iterator[Caution]:
    behind: dict[int, list[str]] = {}
    for exporter in exporters:
        for port, _ in exporter.offered:
            if not exporter.member.data_path and is_stream(port):
                behind.setdefault(port.port, []).append(exporter.member.name)
    for number, names in sorted(behind.items()):
        yield Caution(Advice.NO_TUNNEL, "spec.rules", f"port {number} in {', '.join(sorted(names))}")


def all_tunnel(exporters: Collection[Exporter], importers: Collection[Member]) -> bool:
    """Tell whether towpath-net is at both ends of every call."""
    members = (*importers, *(exporter.member for exporter in exporters))
    return bool(importers) and all(member.data_path for member in members)


def is_stream(port: ServicePort) -> bool:
    """Tell whether towpath-net carries a port through a tunnel."""
    return transport_of(port.app_protocol, port.name) is Transport.STREAM
