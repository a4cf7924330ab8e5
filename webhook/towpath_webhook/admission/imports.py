"""Rules for ServiceImports that users write by hand: values that FSM cannot use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from towpath.model.service import CLUSTER_SET_IP, HEADLESS
from towpath_webhook.admission.fields import (
    HIGHEST_PORT,
    MAX_ENDPOINTS,
    MAX_PORTS,
    Problem,
    choice,
    integer,
    items,
    part,
    text,
    too_many,
)

_MAX_ADDRESS_LENGTH = 45
_NOT_AN_ADDRESS = (
    "FSM connects to an IPv4 address and does not resolve names. Use the IPv4 address of the gateway."
)
# Matches nearly all valid addresses, and is faster than ip_address.
_USUAL_ADDRESS = re.compile(r"([1-9]\d?|1\d\d)(\.([1-9]?\d|1\d\d)){3}", re.ASCII)


def problems(service_import: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a ServiceImport."""
    if service_import.get("spec") is None:
        return
    spec = part(service_import, "spec")
    ports = spec.get("ports")
    if not isinstance(ports, list):
        yield Problem(
            "spec.ports", "Required value: The field is missing. List the ports, or use [] for none."
        )
    elif len(ports) > MAX_PORTS:
        yield from too_many("spec.ports", ports, MAX_PORTS)
    else:
        for index, port in enumerate(ports):
            yield from _of_port(f"spec.ports[{index}]", port)
    if len(items(spec.get("ips"))) > 1:
        yield Problem(
            "spec.ips", "Must have at most 1 item: a service has one virtual IP. Remove the others."
        )
    yield from choice("spec.type", spec.get("type"), CLUSTER_SET_IP, HEADLESS)


def _of_port(field: str, port: object) -> Iterator[Problem]:
    if not isinstance(port, dict):
        yield Problem(field, "The value is not an object. Use an object with port and endpoints.")
        return
    yield from integer(f"{field}.port", port.get("port"), 1, HIGHEST_PORT)
    endpoints = items(port.get("endpoints"))
    if len(endpoints) > MAX_ENDPOINTS:
        yield from too_many(f"{field}.endpoints", endpoints, MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        target = part(endpoint, "target")
        ip, number = target.get("ip", ""), target.get("port")
        if not isinstance(ip, str) or not _USUAL_ADDRESS.fullmatch(ip):
            inner = f"{field}.endpoints[{index}].target.ip"
            yield from text(inner, ip, _MAX_ADDRESS_LENGTH, (_is_address, _NOT_AN_ADDRESS))
        if type(number) is not int or not 1 <= number <= HIGHEST_PORT:
            yield from integer(f"{field}.endpoints[{index}].target.port", number, 1, HIGHEST_PORT)


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
