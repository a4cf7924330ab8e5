"""Putting views together: which ports, in which order, with whose endpoints ("port rule", "view rule").

Ports of all exporters are united once, for all views alike, in the order given: by name first, then by
protocol and number (KEP-1645). The oldest exporter's word counts: a later one whose port clashes is left
out of that port everywhere and keeps its others, because two clusters must not see different services
under one name. What clashes is a number that has another name or protocol already, a name that has
another number, and a port without a name beside others, of which no Service could be made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from towpath.model.cluster import Member
from towpath.model.export import Export
from towpath.model.service import NO_AFFINITY, Service, ServicePort
from towpath.model.view import Endpoint, ImportPort, Target, View
from towpath.rules.paths import normal_path

_TCP = "TCP"


class Exporter(NamedTuple):
    """What one cluster puts into the views of the others: made once, however many import it."""

    member: Member
    export: Export
    service: Service
    offered: tuple[tuple[ServicePort, Endpoint], ...]


class Clash(NamedTuple):
    """A port that was left out, and the older exporter's port that it clashes with."""

    cluster: str
    port: ServicePort
    older: ServicePort


class UnitedPort(NamedTuple):
    """One port and who offers it: member names and endpoints, sorted by cluster key."""

    port: ServicePort
    offers: tuple[tuple[str, Endpoint], ...]


class United(NamedTuple):
    """The ports of a service in their order, and as ``common`` what every view has, still without ports."""

    ports: tuple[UnitedPort, ...] = ()
    clashes: tuple[Clash, ...] = ()
    common: View = View(ports=())


def exporter(member: Member, export: Export, service: Service) -> Exporter:
    """Return the ports that a cluster exports, in the order of its rules.

    Of two rules on one port the last counts, in the place of the first (as ErieCanal does it). Of two
    ports with one number FSM knows the first only; here it is the one that speaks TCP, like a gateway.
    """
    ports: dict[int, ServicePort] = {}
    for port in service.ports:
        if port.port not in ports or (port.protocol == _TCP != ports[port.port].protocol):
            ports[port.port] = port
    paths = {rule.port_number: rule.path for rule in export.rules}
    gateway = (member.key, member.gateway_host, member.gateway_ip, member.gateway_port)
    offered = [
        (ports[number], _endpoint(*gateway, path)) for number, path in paths.items() if number in ports
    ]
    return Exporter(member, export, service, tuple(offered))


def of_one_type(ordered: Sequence[Exporter]) -> list[Exporter]:
    """Return those that have the type of the oldest, which comes first."""
    return [
        exporter for exporter in ordered if exporter.service.import_type == ordered[0].service.import_type
    ]


def can_replace(others: Sequence[Exporter], exporter: Exporter) -> bool:
    """Tell whether without one exporter the others, oldest first, would still give all that it gives.

    Every port of it, to every cluster that it is meant for. Another cluster that is itself left out, by its
    type or a clash, gives nothing.
    """
    left = of_one_type(others)
    by_name = {other.member.name: other for other in left}
    offers = {port.port: names for port, names in merge_ports(left).ports}
    return all(
        any(_is_wider(by_name[name].export, exporter.export) for name, _ in offers.get(port.port, ()))
        for port, _ in exporter.offered
    )


def _is_wider(other: Export, export: Export) -> bool:
    """Tell whether another export is meant for all clusters that one is meant for."""
    if not other.target_clusters:
        return True
    return bool(export.target_clusters) and set(export.target_clusters) <= set(other.target_clusters)


def merge_ports(exporters: Sequence[Exporter]) -> United:
    """Return the ports that these exporters offer together, the oldest exporter first."""
    known: dict[int, ServicePort] = {}
    names: dict[str, ServicePort] = {}
    offers: dict[int, list[tuple[str, Endpoint]]] = {}
    clashes = []
    for exporter in exporters:
        for port, endpoint in exporter.offered:
            older = _clashing(port, known, names)
            if older is not None:
                clashes.append(Clash(exporter.member.name, port, older))
                continue
            known.setdefault(port.port, port)
            names.setdefault(port.name, port)
            offers.setdefault(port.port, []).append((exporter.member.name, endpoint))
    ports = tuple(
        UnitedPort(port, tuple(sorted(offers[number], key=_by_key))) for number, port in known.items()
    )
    return United(ports, tuple(clashes), _common(exporters[0])) if exporters else United()


def view_of(united: United, exporters: Collection[str]) -> View | None:
    """Return what a cluster imports that may use these exporters; None if no port is left."""
    ports = []
    for port, offers in united.ports:
        endpoints = [endpoint for name, endpoint in offers if name in exporters]
        if endpoints:
            ports.append(_import_port(port, endpoints))
    if not ports:
        return None
    common = united.common
    return View(
        type=common.type,
        ports=tuple(ports),
        service_account_name=common.service_account_name,
        session_affinity=common.session_affinity,
        session_affinity_config=common.session_affinity_config,
    )


def _clashing(
    port: ServicePort, known: Mapping[int, ServicePort], names: Mapping[str, ServicePort]
) -> ServicePort | None:
    """Return the port that is in the way of this one."""
    same = known.get(port.port)
    if same is not None:
        return None if (same.name, same.protocol) == (port.name, port.protocol) else same
    if port.name and "" not in names:
        return names.get(port.name)
    return next(iter(known.values()), None)


def _by_key(offer: tuple[str, Endpoint]) -> str:
    return offer[1].cluster_key


def _common(oldest: Exporter) -> View:
    """Return what an import has from the oldest exporter as a whole."""
    service, sticky = oldest.service, oldest.service.session_affinity != NO_AFFINITY
    return View(
        type=service.import_type,
        ports=(),
        service_account_name=oldest.export.service_account_name or None,
        session_affinity=service.session_affinity if sticky else None,
        session_affinity_config=service.session_affinity_config if sticky else None,
    )


@lru_cache(maxsize=4096)
def _endpoint(key: str, host: str, ip: str, port: int, path: str) -> Endpoint:
    """Return an endpoint, the same one again: a service is derived several times around each change."""
    return Endpoint(cluster_key=key, target=Target(host=host, ip=ip, port=port, path=normal_path(path)))


def _import_port(port: ServicePort, endpoints: Iterable[Endpoint]) -> ImportPort:
    return ImportPort(
        port=port.port,
        protocol=port.protocol,
        name=port.name or None,
        app_protocol=port.app_protocol or None,
        endpoints=tuple(endpoints),
    )
