"""What about an export, and the imports that are made of it, does not do what it says.

FSM looks up endpoints by the first port of an import and by the gateway's ``ip:port``, so an import has one
port that works and a gateway one cluster (service_import.go:199-241, policy.go:920-940). It puts a rule's
path in front of each request's (outbound-http-load-balancing.js) and reads a port's protocol from its
appProtocol, else from the beginning of its name, else it is http (pkg/providers/fsm/client.go:244-258).
The files are FSM 1.3's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from towpath.model.export import Export
from towpath.model.service import Service, ServicePort
from towpath.rules.ports import Exporter, merge_ports, normal_path
from towpath.rules.reasons import Advice, Caution, InvalidReason

_TCP = "TCP"
_HTTP = "http"
_ROUTED = frozenset({_HTTP, "grpc"})
_SENT_AS_IT_IS = frozenset({"tcp", "tcp-server-first", "https"})
# https is not among them: FSM takes a port named https-web for http.
_READ_FROM_NAME = ("tcp-server-first", _HTTP, "tcp", "grpc")
_RANK: dict[Advice | InvalidReason, int] = {reason: rank for rank, reason in enumerate(Advice)}


def export_warnings(exporters: Sequence[Exporter], known: Collection[str]) -> tuple[Caution, ...]:
    """Return what surprises about the export as these clusters have it, in the order of fields.

    ``known`` are the cluster keys of all members. What only some of the exporters have names them.
    """
    keys = frozenset(known)
    having: dict[Caution, list[str]] = {}
    for alike in _alike(exporters):
        for warning in (*unknown_targets(alike[0].export, keys), *_of_rules(alike[0])):
            having.setdefault(warning, []).extend(one.member.name for one in alike)
    found = [
        warning if len(names) == len(exporters) else _only_in(names, warning)
        for warning, names in having.items()
    ]
    return tuple(sorted((*found, *_several_ports(exporters), *_shared_gateways(exporters)), key=_order))


class Rule(Protocol):
    """A rule of an export, as a model or not."""

    @property
    def port_number(self) -> int:
        """The port of the Service."""

    @property
    def path(self) -> str:
        """Where the gateway has it."""

    @property
    def path_type(self) -> str:
        """How paths are compared."""


def shape_alone(rules: Sequence[Rule]) -> Iterator[Caution]:
    """Yield what surprises about an export's rules whatever its Service is like and whoever has it."""
    last = _last(rules)
    for index, rule in enumerate(rules):
        field = f"spec.rules[{index}]"
        if last[rule.port_number] != index:
            yield Caution(Advice.REPEATED_RULE, f"{field}.portNumber", f"port {rule.port_number}")
        else:
            yield from _of_path(rule, field)


def _alike(exporters: Iterable[Exporter]) -> Iterable[list[Exporter]]:
    """Return the exporters by what they have: mostly one list, because all have the template's objects."""
    groups: dict[tuple[int, int, tuple[int, ...]], list[Exporter]] = {}
    for one in exporters:
        same = (id(one.export), id(one.service), tuple(port.port for port, _ in one.offered))
        groups.setdefault(same, []).append(one)
    return groups.values()


def unknown_targets(export: Export, known: Collection[str]) -> Iterator[Caution]:
    """Yield what ``targetClusters`` lists that is no member's cluster key."""
    for index, key in enumerate(export.target_clusters):
        if key not in known:
            yield Caution(Advice.UNKNOWN_TARGET_CLUSTER, f"spec.targetClusters[{index}]", key)


def _of_rules(exporter: Exporter) -> Iterator[Caution]:
    rules, service = exporter.export.rules, exporter.service
    last = _last(rules)
    existing = {port.port for port in service.ports}
    offered = {port.port: port for port, _ in exporter.offered}
    for index, rule in enumerate(rules):
        number, field = rule.port_number, f"spec.rules[{index}]"
        # Importers see neither of the first two, so nothing else about them matters.
        if last[number] != index:
            yield Caution(Advice.REPEATED_RULE, f"{field}.portNumber", f"port {number}")
        elif number not in existing:
            yield Caution(Advice.RULE_WITHOUT_PORT, f"{field}.portNumber", f"port {number}")
        elif number in offered:
            yield from _of_path(rule, field)
            for reason, check in _PORT_CHECKS:
                if detail := check(offered[number], service):
                    yield Caution(reason, f"{field}.portNumber", f"port {number} {detail}")


def _last(rules: Sequence[Rule]) -> Mapping[int, int]:
    """Return the rule that counts for each port."""
    return {rule.port_number: index for index, rule in enumerate(rules)}


def _of_path(rule: Rule, field: str) -> Iterator[Caution]:
    if rule.path_type == "Exact":
        yield Caution(Advice.EXACT_PATH, f"{field}.pathType", rule.path_type)
    if normal_path(rule.path) == "/":
        yield Caution(Advice.ROOT_PATH, f"{field}.path", f"'{rule.path}'")


# What is special about a port, empty if it is fine.


def _several_protocols(port: ServicePort, service: Service) -> str:
    protocols = [other.protocol for other in service.ports if other.port == port.port]
    return f"is for {' and '.join(protocols)}" if len(protocols) > 1 else ""


def _not_http(port: ServicePort, _: Service) -> str:
    return f"is for {_protocol(port)}" if _protocol(port) in _SENT_AS_IT_IS else ""


def _unrouted_protocol(port: ServicePort, _: Service) -> str:
    return f"is for {_protocol(port)}" if _protocol(port) not in _ROUTED | _SENT_AS_IT_IS else ""


def _not_tcp(port: ServicePort, _: Service) -> str:
    return f"is for {port.protocol}" if port.protocol != _TCP else ""


def _target_port_differs(port: ServicePort, _: Service) -> str:
    """Of a name only the pods know what it stands for."""
    number = port.target_port or port.port
    return f"has targetPort {number}" if isinstance(number, int) and number != port.port else ""


_PORT_CHECKS: tuple[tuple[Advice, Callable[[ServicePort, Service], str]], ...] = (
    (Advice.SEVERAL_PROTOCOLS, _several_protocols),
    (Advice.NOT_HTTP, _not_http),
    (Advice.UNROUTED_PROTOCOL, _unrouted_protocol),
    (Advice.NOT_TCP, _not_tcp),
    (Advice.TARGET_PORT_DIFFERS, _target_port_differs),
)


def _protocol(port: ServicePort) -> str:
    """Return what FSM takes the port for. It compares appProtocol in lower case (repo/util.go)."""
    if port.app_protocol:
        return port.app_protocol.lower()
    return next((known for known in _READ_FROM_NAME if port.name.startswith(f"{known}-")), _HTTP)


def _several_ports(exporters: Sequence[Exporter]) -> Iterator[Caution]:
    numbers = sorted(united.port.port for united in merge_ports(exporters).ports)
    if len(numbers) > 1:
        yield Caution(Advice.SEVERAL_PORTS, "spec.rules", f"ports {', '.join(map(str, numbers))}")


def _shared_gateways(exporters: Iterable[Exporter]) -> Iterator[Caution]:
    behind: dict[str, list[str]] = {}
    for member in (one.member for one in exporters if one.member.gateway_ip):
        behind.setdefault(f"{member.gateway_ip}:{member.gateway_port}", []).append(member.name)
    for address, names in behind.items():
        if len(names) > 1:
            yield Caution(Advice.SHARED_GATEWAY, "", f"{', '.join(sorted(names))} at {address}")


def _only_in(names: Iterable[str], warning: Caution) -> Caution:
    return warning._replace(detail=f"{warning.detail} in {', '.join(sorted(names))}")


def by_field(field: str) -> list[tuple[int, str]]:
    """Return by what fields are sorted: ``[10]`` comes after ``[9]``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", field)]


def _order(warning: Caution) -> tuple[list[tuple[int, str]], int, str]:
    """Sort by field, then as in the registry."""
    return by_field(warning.field), _RANK[warning.reason], warning.detail
