"""Putting views together: which ports, in which order, with whose endpoints (DESIGN, rules 4 and 5).

Ports of all exporters are united once, for all views alike. An entry is known by its number; its name,
protocol and appProtocol come from the first exporter that offers it, in the order given. A later
exporter whose port clashes, because the number has another name or protocol there or the name another
number, is left out of that port everywhere: FSM could not tell the two apart, and two clusters must not
see different services under one name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from towpath.model.cluster import Member
from towpath.model.export import Export
from towpath.model.service import Service, ServicePort
from towpath.model.view import Endpoint, ImportPort, Target, View


class Exporter(NamedTuple):
    """What one cluster puts into the views of the others: made once, however many import it."""

    member: Member
    export: Export
    offered: tuple[tuple[ServicePort, Endpoint], ...]


class United(NamedTuple):
    """The ports of a service in their order, each with the endpoint of every exporter, by its name.

    ``account`` is the oldest exporter's service account, the same in every view.
    """

    ports: tuple[tuple[ServicePort, Mapping[str, Endpoint]], ...]
    account: str | None


def exporter(member: Member, export: Export, service: Service) -> Exporter:
    """Return the ports that a cluster exports, in the order of its rules.

    Of two rules on one port the last counts, in the place of the first (as ErieCanal does it).
    """
    ports = {port.port: port for port in service.ports}
    paths = {rule.port_number: rule.path for rule in export.rules}
    offered = [(ports[number], _endpoint(member, path)) for number, path in paths.items() if number in ports]
    return Exporter(member, export, tuple(offered))


def normal_path(path: str) -> str:
    """Return the path as FSM needs it: a leading ``/``, none at the end, never empty.

    FSM puts it in front of the request's path, and takes an empty one as "speak mTLS to the gateway"
    (outbound-http-load-balancing.js:147), so the root is ``/`` itself.
    """
    return "/" + path.strip("/")


def unite(exporters: Sequence[Exporter]) -> United:
    """Return the ports that these exporters offer together, the oldest exporter first."""
    known: dict[int, ServicePort] = {}
    names: dict[str, int] = {}
    endpoints: dict[int, dict[str, Endpoint]] = {}
    for one in exporters:
        for port, endpoint in one.offered:
            if _clashes(port, known, names):
                continue
            known.setdefault(port.port, port)
            names.setdefault(port.name, port.port)
            endpoints.setdefault(port.port, {})[one.member.name] = endpoint
    account = exporters[0].export.service_account_name if exporters else ""
    return United(tuple((port, endpoints[number]) for number, port in known.items()), account or None)


def view_of(united: United, exporters: Collection[str]) -> View | None:
    """Return what a cluster imports that may use these exporters; None if no port is left."""
    ports = []
    for port, offered in united.ports:
        endpoints = [endpoint for name, endpoint in offered.items() if name in exporters]
        if endpoints:
            ports.append(_import_port(port, endpoints))
    return View(ports=tuple(ports), service_account_name=united.account) if ports else None


def _clashes(port: ServicePort, known_ports: dict[int, ServicePort], names: dict[str, int]) -> bool:
    known = known_ports.get(port.port)
    if known is not None:
        return (known.name, known.protocol) != (port.name, port.protocol)
    return port.name in names


def _endpoint(member: Member, path: str) -> Endpoint:
    target = Target(
        host=member.gateway_host, ip=member.gateway_host, port=member.gateway_port, path=normal_path(path)
    )
    return Endpoint(cluster_key=member.key, target=target)


def _import_port(port: ServicePort, endpoints: Iterable[Endpoint]) -> ImportPort:
    return ImportPort(
        port=port.port,
        protocol=port.protocol,
        name=port.name or None,
        app_protocol=port.app_protocol or None,
        endpoints=tuple(sorted(endpoints, key=lambda endpoint: endpoint.cluster_key)),
    )
