"""What a derived ServiceImport shows of an export whose status records nothing yet."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.karmada.decode import StoredExport, shown
from towpath.model.claim import ClaimRecord
from towpath.model.export import Export
from towpath.model.ownership import MANAGED_BY

API = "flomesh.io/v1alpha1"
NEW = StoredExport("uid-of-web", "2026-01-01T00:00:00Z", Export(rules=()), {})
RECORD = ClaimRecord("/web", "Prefix", NEW.created, ("a",))


def owner(**changes: str) -> dict[str, str]:
    return {"apiVersion": API, "kind": "ServiceExport", "name": "web", "uid": NEW.uid, **changes}


OWNER = owner()


def derived(labels: dict[str, str] = MANAGED_BY, owners: Any = (OWNER,), **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "labels": labels, "ownerReferences": [*owners]}
    endpoints = [
        {"clusterKey": f"r/z/g/{cluster}", "target": {"host": "", "ip": "10.0.0.1", "port": 80, "path": path}}
        for cluster, path in (("a", "/web"), ("a", "/%77eb"), ("b", "/api"))
    ]
    ports = [{"port": 80, "protocol": "TCP", "endpoints": endpoints}]
    return {
        "apiVersion": API,
        "kind": "ServiceImport",
        "metadata": metadata,
        "spec": {"ports": ports, **spec},
    }


def test_a_derived_import_shows_paths_as_gateways_compare_them() -> None:
    assert shown(derived(), NEW) == {("a", "/web"), ("b", "/api")}


@pytest.mark.parametrize(
    ("template", "export"),
    [
        pytest.param(None, NEW, id="no import"),
        pytest.param(derived(labels={}), NEW, id="an import of a user"),
        pytest.param(derived(owners=()), NEW, id="without an owner"),
        pytest.param(derived(owners=[{**OWNER, "kind": []}]), NEW, id="an owner of no kind"),
        pytest.param(derived(owners=[{**OWNER, "uid": []}]), NEW, id="an owner without a uid"),
        pytest.param(derived(owners=[owner(uid="former")]), NEW, id="of a former export"),
        pytest.param(derived(owners=[owner(), owner(kind="ConfigMap")]), NEW, id="with a further owner"),
        pytest.param(derived(), NEW._replace(claims=(RECORD,)), id="the status records the paths"),
        pytest.param(derived(), NEW._replace(claims=None), id="it was reported without a record"),
        pytest.param(derived(ports="80"), NEW, id="not as the CRD has it"),
    ],
)
def test_anything_else_shows_nothing(template: dict[str, Any] | None, export: StoredExport) -> None:
    assert shown(template, export) == frozenset()
