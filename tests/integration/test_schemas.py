"""The schemas of kinds that are not Towpath's: what ``plan`` knows is what a real Karmada checks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Plane
from tests.support.checkout import TOP
from tests.support.schemas import trimmed
from towpath.karmada.client import Client
from towpath.model import manifest
from towpath.plan.schema import Kind, Schema, schemas_of

SCHEMAS = schemas_of(manifest.load(TOP / "deploy" / "schemas"))
POLICIES = ("PropagationPolicy", "ClusterPropagationPolicy", "OverridePolicy", "ClusterOverridePolicy")


def known(group: str, version: str, kind: str) -> Schema:
    spec: Schema = SCHEMAS[Kind(group, version, kind)]["properties"]["spec"]
    return spec


@pytest.mark.parametrize("kind", POLICIES)
def test_policies_have_the_schema_of_karmadas_crds(plane: Plane, kind: str) -> None:
    plural = kind.lower().removesuffix("y") + "ies"
    crd = json.loads(plane.kubectl("get", "crd", f"{plural}.policy.karmada.io", "-o", "json").stdout)
    (version,) = crd["spec"]["versions"]
    stored = trimmed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    assert stored == known("policy.karmada.io", version["name"], kind)


async def test_a_service_has_the_fields_of_the_apiserver(karmada: Client) -> None:
    document = await karmada.json("GET", "/openapi/v3/api/v1")
    parts: dict[str, Any] = document["components"]["schemas"]
    spec = known("", "v1", "Service")
    port = spec["properties"]["ports"]["items"]
    assert parts["io.k8s.api.core.v1.ServiceSpec"]["properties"].keys() == spec["properties"].keys()
    assert parts["io.k8s.api.core.v1.ServicePort"]["properties"].keys() == port["properties"].keys()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "Foo"}, 'spec.type: Unsupported value: "Foo": supported values: '),
        ({"portz": []}, 'strict decoding error: unknown field "spec.portz"'),
        (
            {"ports": [{"port": 80, "protocol": "tcp"}]},
            'spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"',
        ),
    ],
    ids=["value", "field", "value in a list"],
)
def test_the_apiserver_refuses_in_the_words_of_plan(
    plane: Plane, namespace: str, field: dict[str, Any], words: str
) -> None:
    meta = {"name": "web", "namespace": namespace}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"ports": [{"port": 80}], **field},
    }
    done = plane.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(service), check=False)
    assert words in done.stderr
