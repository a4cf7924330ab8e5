"""The ports of a Service as the apiserver validates them, in its words (pkg/apis/core/validation)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from towpath.model.service import EXTERNAL_NAME
from towpath.plan.objects import Manifest, part
from towpath.plan.schema import Problem

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NOT_A_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_MAX_LABEL, _MAX_TARGET = 63, 15
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TARGET_CHARACTERS = re.compile(r"[-a-z0-9]+")


def port_problems(service: Manifest) -> Iterator[Problem]:
    """Yield what the apiserver refuses of the ports of a Service, but for the range of their numbers."""
    spec = part(service, "spec")
    ports = [port for port in spec.get("ports") or () if isinstance(port, Mapping)]
    if not ports and spec.get("type") != EXTERNAL_NAME and spec.get("clusterIP") != "None":
        yield Problem("spec.ports", "Required value")
    names: Counter[str] = Counter()
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        yield from _of_name(f"{field}.name", port.get("name"), names, required=len(ports) > 1)
        protocol = port.get("protocol", "TCP")
        if protocol not in _PROTOCOLS:
            supported = ", ".join(map(json.dumps, _PROTOCOLS))
            text = f"Unsupported value: {json.dumps(protocol)}: supported values: {supported}"
            yield Problem(f"{field}.protocol", text)
        if isinstance(target := port.get("targetPort"), str):
            for text in _of_target(target):
                yield Problem(f"{field}.targetPort", f"Invalid value: {json.dumps(target)}: {text}")
    yield from _repeated(ports)


def _of_name(field: str, name: object, names: Counter[str], *, required: bool) -> Iterator[Problem]:
    if not isinstance(name, str) or not name:
        if required:
            yield Problem(field, "Required value")
        return
    if len(name) > _MAX_LABEL:
        yield _invalid(field, name, f"must be no more than {_MAX_LABEL} characters")
    if not _LABEL.fullmatch(name):
        yield _invalid(field, name, _NOT_A_LABEL)
    if names[name]:
        yield Problem(field, f"Duplicate value: {json.dumps(name)}")
    names[name] += 1


def _of_target(name: str) -> Iterator[str]:
    """Yield what is wrong with the name of a container's port (IANA_SVC_NAME)."""
    if len(name) > _MAX_TARGET:
        yield f"must be no more than {_MAX_TARGET} characters"
    if not _TARGET_CHARACTERS.fullmatch(name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name.startswith("-") or name.endswith("-"):
        yield "must not begin or end with a hyphen"


def _repeated(ports: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    seen: set[tuple[object, object]] = set()
    for index, port in enumerate(ports):
        protocol, number = str(port.get("protocol", "TCP")), str(port.get("port"))
        if (protocol, number) in seen:
            shown = json.dumps({"protocol": protocol, "port": port.get("port")}, separators=(",", ":"))
            yield Problem(f"spec.ports[{index}]", f"Duplicate value: {shown}")
        seen.add((protocol, number))


def _invalid(field: str, value: str, text: str) -> Problem:
    return Problem(field, f"Invalid value: {json.dumps(value)}: {text}")
