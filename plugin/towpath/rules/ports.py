"""Putting a view together: which ports, in which order, with whose endpoints (DESIGN, rules 4 and 5).

Ports of all exporters are united. An entry is known by its number; its name, protocol and appProtocol
come from the first exporter that offers it, in the order given. A later exporter whose port clashes,
because the number has another name or protocol there or the name another number, is left out of that
port only: FSM could not tell the two apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def view_of(exporters: Sequence[Exporter]) -> View | None:
    """Return what a cluster imports from these exporters, the oldest first; None if no port is left."""
    united: dict[int, ServicePort] = {}
    names: dict[str, int] = {}
    endpoints: dict[int, list[Endpoint]] = {}
    for one in exporters:
        for port, endpoint in one.offered:
            if _clashes(port, united, names):
                continue
            united.setdefault(port.port, port)
            names.setdefault(port.name, port.port)
            endpoints.setdefault(port.port, []).append(endpoint)
    if not united:
        return None
    return View(
        ports=tuple(_import_port(port, endpoints[number]) for number, port in united.items()),
        service_account_name=exporters[0].export.service_account_name or None,
    )


def _clashes(port: ServicePort, united: dict[int, ServicePort], names: dict[str, int]) -> bool:
    known = united.get(port.port)
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
