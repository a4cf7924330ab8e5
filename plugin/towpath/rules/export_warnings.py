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

from towpath.model.cluster import Member
from towpath.model.export import EXACT, Export
from towpath.model.service import Service, ServicePort
from towpath.rules.data_paths import all_tunnel, concerns, is_stream, of_data_paths
from towpath.rules.paths import normal_path
from towpath.rules.ports import Exporter, merge_ports
from towpath.rules.reasons import Advice, Caution, InvalidReason
from towpath.rules.scope import with_meant

_TCP = "TCP"
_HTTP = "http"
_ROUTED = frozenset({_HTTP, "grpc"})
_SENT_AS_IT_IS = frozenset({"tcp", "tcp-server-first", "https"})
# https is not among them: FSM takes a port named https-web for http.
_READ_FROM_NAME = ("tcp-server-first", _HTTP, "tcp", "grpc")
_OTHER_PROTOCOLS: Mapping[str, tuple[int, ...]] = {
    "amqp": (5671, 5672),
    "cassandra": (9042,),
    "dns": (53,),
    "ftp": (20, 21),
    "https": (443, 6443, 8443),
    "imap": (143, 993),
    "kafka": (9092,),
    "kerberos": (88,),
    "ldap": (389, 636),
    "memcached": (11211,),
    "mongodb": (27017,),
    "mqtt": (1883, 8883),
    "mssql": (1433,),
    "mysql": (3306, 33060),
    "nats": (4222,),
    "oracle": (1521,),
    "pop3": (110, 995),
    "postgres": (5432,),
    "rdp": (3389,),
    "redis": (6379, 26379),
    "rsync": (873,),
    "smtp": (25, 465, 587),
    "ssh": (22,),
    "telnet": (23,),
    "zookeeper": (2181,),
}
"""Protocols that no HTTP gateway routes, with the numbers that are known for them."""
_OTHER_NAMES = {
    **{name: name for name in _OTHER_PROTOCOLS},
    "imaps": "imap",
    "ldaps": "ldap",
    "mariadb": "mysql",
    "memcache": "memcached",
    "mongo": "mongodb",
    "pgsql": "postgres",
    "postgresql": "postgres",
    "sftp": "ssh",
    "smtps": "smtp",
    "tls": "https",
}
_BY_NUMBER = {number: name for name, numbers in _OTHER_PROTOCOLS.items() for number in numbers}
_HTTP_NAMES = re.compile(r"(http|http2|h2c|grpc|web|ws)(-.*)?")
_RANK: dict[Advice | InvalidReason, int] = {reason: rank for rank, reason in enumerate(Advice)}


def export_warnings(
    exporters: Sequence[Exporter], known: Collection[str], importers: Collection[Member] = ()
) -> tuple[Caution, ...]:
    """Return what surprises about the export as these clusters have it, in the order of fields.

    ``known`` are the cluster keys of all members. What only some of the exporters have names them. Without
    ``importers`` FSM is assumed to import ("rules.data_paths").
    """
    keys, tunnelled = frozenset(known), all_tunnel(exporters, importers)
    having: dict[Caution, list[str]] = {}
    for alike in _alike(exporters):
        for warning in (*unknown_targets(alike[0].export, keys), *_of_rules(alike[0], tunnelled)):
            having.setdefault(warning, []).extend(exporter.member.name for exporter in alike)
    found: list[Caution] = [
        warning if len(names) == len(exporters) else _only_in(names, warning)
        for warning, names in having.items()
    ]
    found += (*_several_ports(exporters), *_shared_gateways(exporters))
    found = [warning for warning in found if concerns(warning.reason, importers)]
    return tuple(sorted((*found, *of_data_paths(exporters, importers)), key=_order))


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
    groups: dict[tuple[int, int, bool, tuple[int, ...]], list[Exporter]] = {}
    for exporter in exporters:
        numbers = tuple(port.port for port, _ in exporter.offered)
        same = (id(exporter.export), id(exporter.service), exporter.member.data_path, numbers)
        groups.setdefault(same, []).append(exporter)
    return groups.values()


def unknown_targets(export: Export, known: Collection[str]) -> Iterator[Caution]:
    """Yield what ``targetClusters`` lists that is no member's cluster key."""
    for index, key in enumerate(export.target_clusters):
        if key not in known:
            meant = with_meant(key, known)
            yield Caution(Advice.UNKNOWN_TARGET_CLUSTER, f"spec.targetClusters[{index}]", meant)


def _of_rules(exporter: Exporter, tunnelled: bool) -> Iterator[Caution]:
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
            if normal_path(rule.path) == "/":
                yield Caution(Advice.ROOT_PATH, f"{field}.path", f"'{rule.path}'")
            for reason, check in _PORT_CHECKS:
                if reason is Advice.TARGET_PORT_DIFFERS and exporter.member.data_path:
                    continue  # calls go to the pods directly
                if reason is Advice.OTHER_PROTOCOL and tunnelled and is_stream(offered[number]):
                    continue
                if detail := check(offered[number], service):
                    yield Caution(reason, f"{field}.portNumber", f"port {number} {detail}")


def _last(rules: Sequence[Rule]) -> Mapping[int, int]:
    """Return the rule that counts for each port."""
    return {rule.port_number: index for index, rule in enumerate(rules)}


def _of_path(rule: Rule, field: str) -> Iterator[Caution]:
    if rule.path_type == EXACT:
        yield Caution(Advice.EXACT_PATH, f"{field}.pathType", rule.path_type)


# What is special about a port, empty if it is fine.


def _several_protocols(port: ServicePort, service: Service) -> str:
    protocols = [other.protocol for other in service.ports if other.port == port.port]
    return f"is for {' and '.join(protocols)}" if len(protocols) > 1 else ""


def _not_http(port: ServicePort, _: Service) -> str:
    return f"is for {_protocol(port)}" if _protocol(port) in _SENT_AS_IT_IS else ""


def _other_protocol(port: ServicePort, _: Service) -> str:
    """Judge by the name, and by the number where the name says nothing."""
    is_other = port.app_protocol or port.protocol != _TCP or _protocol(port) != _HTTP
    if is_other or _HTTP_NAMES.fullmatch(port.name):
        return ""
    by_name = (_OTHER_NAMES[word] for word in port.name.split("-") if word in _OTHER_NAMES)
    known = next(by_name, _BY_NUMBER.get(port.port, ""))
    return f"is known for {known}" if known else ""


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
    (Advice.OTHER_PROTOCOL, _other_protocol),
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
    for member in (exporter.member for exporter in exporters if exporter.member.gateway_ip):
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
