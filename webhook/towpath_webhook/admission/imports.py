"""ServiceImports that somebody writes by hand: what FSM cannot use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from towpath.model.service import CLUSTER_SET_IP, HEADLESS
from towpath_webhook.admission.fields import HIGHEST_PORT, Problem, integer, items, one_of, part, text

_NOT_AN_ADDRESS = (
    "ip must be the IPv4 address of the gateway, FSM connects to it and resolves no name: write the address "
    "that the host stands for"
)


def problems(service_import: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield all that is wrong with a ServiceImport."""
    if service_import.get("spec") is None:
        return
    spec = part(service_import, "spec")
    ports = spec.get("ports")
    if not isinstance(ports, list):
        yield Problem("spec.ports", "Required value: list the ports, [] for none")
    for index, port in enumerate(items(ports)):
        yield from _of_port(f"spec.ports[{index}]", port)
    if len(items(spec.get("ips"))) > 1:
        yield Problem("spec.ips", "must have at most 1 item: a service has one virtual IP")
    yield from one_of("spec.type", spec.get("type"), CLUSTER_SET_IP, HEADLESS)


def _of_port(field: str, port: object) -> Iterator[Problem]:
    if not isinstance(port, dict):
        yield Problem(field, "must be an object with port and endpoints")
        return
    yield from integer(f"{field}.port", port.get("port"), 1, HIGHEST_PORT)
    for index, endpoint in enumerate(items(port.get("endpoints"))):
        target, inner = part(endpoint, "target"), f"{field}.endpoints[{index}].target"
        yield from text(f"{inner}.ip", target.get("ip", ""), (_is_address, _NOT_AN_ADDRESS))
        yield from integer(f"{inner}.port", target.get("port"), 1, HIGHEST_PORT)


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
