"""The ports of a Service: what the apiserver refuses, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.errors import InvalidObject
from towpath.plan.read import Reading, read_live, read_on
from towpath.plan.schema import Kind, Schema
from towpath.plan.service_ports import port_problems

SCHEMAS: dict[Kind, Schema] = {Kind("flomesh.io", "v1alpha1", "ServiceExport"): {"type": "object"}}
LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": list(ports), **spec}}


def problems(*ports: dict[str, Any], **spec: Any) -> list[str]:
    return [str(problem) for problem in port_problems(service(*ports, **spec))]


HTTP, HTTPS = {"name": "http", "port": 80}, {"name": "https", "port": 443}


@pytest.mark.parametrize(
    "ports",
    [
        [{"port": 80}],
        [HTTP, HTTPS],
        [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}],
        [{**HTTP, "targetPort": "http-alt"}],
        [{**HTTP, "targetPort": 8080}],
    ],
)
def test_what_the_apiserver_takes(ports: list[dict[str, Any]]) -> None:
    assert problems(*ports) == []


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ([{"port": 80}, HTTPS], ["spec.ports[0].name: Required value"]),
        ([HTTP, {**HTTPS, "name": "http"}], ['spec.ports[1].name: Duplicate value: "http"']),
        ([{"name": "HTTP", "port": 80}], [f'spec.ports[0].name: Invalid value: "HTTP": {LABEL}']),
        ([{"name": "a_b", "port": 80}], [f'spec.ports[0].name: Invalid value: "a_b": {LABEL}']),
        (
            [{"name": "a" * 64, "port": 80}],
            [f'spec.ports[0].name: Invalid value: "{"a" * 64}": must be no more'],
        ),
        (
            [HTTP, {**HTTPS, "port": 80}],
            ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'],
        ),
        (
            [{**HTTP, "protocol": "HTTP"}],
            ['spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (
            [{**HTTP, "targetPort": "-8--0"}],
            [
                'spec.ports[0].targetPort: Invalid value: "-8--0": must contain at least one letter (a-z)',
                'spec.ports[0].targetPort: Invalid value: "-8--0": must not contain consecutive hyphens',
                'spec.ports[0].targetPort: Invalid value: "-8--0": must not begin or end with a hyphen',
            ],
        ),
        (
            [{**HTTP, "targetPort": "long_port_names_"}],
            [
                'spec.ports[0].targetPort: Invalid value: "long_port_names_": must be no more than 15',
                'spec.ports[0].targetPort: Invalid value: "long_port_names_": must contain only alpha',
            ],
        ),
        (
            [{**HTTP, "targetPort": "HTTP"}],
            [
                'spec.ports[0].targetPort: Invalid value: "HTTP": must contain only alpha-numeric characters',
                'spec.ports[0].targetPort: Invalid value: "HTTP": must contain at least one letter (a-z)',
            ],
        ),
        ([], ["spec.ports: Required value"]),
    ],
)
def test_what_the_apiserver_refuses(ports: list[dict[str, Any]], found: list[str]) -> None:
    seen = problems(*ports)
    assert len(seen) == len(found)
    assert all(text.startswith(start) for text, start in zip(seen, found, strict=True)), seen


def test_a_service_without_ports_may_be_headless_or_external() -> None:
    assert problems(clusterIP="None") == problems(type="ExternalName") == []


def test_only_what_is_given_is_refused() -> None:
    """What Karmada holds was accepted, whatever it is."""
    wrong = service({"port": 80}, {"port": 81})

    assert read_live([wrong]).notes == []
    with pytest.raises(InvalidObject, match=r"^Service shop/web: spec.ports\[0\].name: Required value; spec"):
        read_on(Reading(), [wrong], schemas=SCHEMAS)
