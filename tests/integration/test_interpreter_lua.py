"""Lua inside of Karmada and the webhook give the same answers: a table, put to both.

Karmada's own interpreter runs the Lua, through ``karmadactl interpret``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from tests.fuzz.bodies import interpreted
from tests.support.reviews import EXPORT, answer
from towpath.local.build import ensure_binaries
from towpath.model import manifest
from towpath.model.digest import export_digest
from towpath.model.view import View
from towpath.setup.assets import deployed
from towpath_webhook.admission.hooks import DIALECTS, INTERPRET

LUA = {
    customization["spec"]["target"]["apiVersion"]: customization
    for customization in manifest.load(deployed("karmada") / "interpreter-lua.yaml")
}
REFLECTION = {
    (customization["spec"]["target"]["kind"], customization["spec"]["target"]["apiVersion"]): customization
    for customization in manifest.load(deployed("karmada") / "interpreter.yaml")
}
VALID, INVALID = {"type": "Valid", "status": "True"}, {"type": "Valid", "status": "False"}
CONFLICT, AGREED = {"type": "Conflict", "status": "True"}, {"type": "Conflict", "status": "False"}
HEALTH: list[tuple[Any, bool]] = [
    (None, True),
    ({}, True),
    ({"conditions": []}, True),
    ({"conditions": [VALID, AGREED]}, True),
    ({"conditions": [{"type": "Valid", "status": "Unknown"}, {"type": "Ready", "status": "False"}]}, True),
    ({"conditions": [INVALID]}, False),
    ({"conditions": [VALID, CONFLICT]}, False),
    ({"conditions": "odd"}, True),
    ("odd", True),
]


def export(dialect: str, status: Any) -> dict[str, Any]:
    whole = {**EXPORT, "apiVersion": f"{dialect}/v1alpha1"}
    return whole if status is None else {**whole, "status": status}


def lua(tmp_path: Path, obj: dict[str, Any], operation: str, **files: Any) -> Any:
    """Return what Karmada makes of the Lua for an object's kind."""
    args = [f"--operation={operation}"]
    reflects = operation == "InterpretStatus"
    script = REFLECTION[obj["kind"], obj["apiVersion"]] if reflects else LUA[obj["apiVersion"]]
    for name, content in {"filename": script, **files}.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        args.append(f"--{name}={path}")
    karmadactl = ensure_binaries().folder / "karmadactl"
    done = subprocess.run([karmadactl, "interpret", *args], check=True, capture_output=True, text=True)
    return yaml.safe_load(done.stdout)


def webhook(obj: dict[str, Any], operation: str, reported: Any) -> dict[str, Any]:
    answered = asyncio.run(answer(INTERPRET, interpreted(obj, operation, "u-1", reported)))
    response: dict[str, Any] = json.loads(answered)["response"]
    return response


def test_there_is_lua_for_each_dialect_and_it_is_the_same() -> None:
    assert set(LUA) == {f"{dialect}/v1alpha1" for dialect in DIALECTS}
    first, second = (customization["spec"]["customizations"] for customization in LUA.values())
    assert first == second


@pytest.mark.parametrize(("status", "healthy"), HEALTH)
def test_health(tmp_path: Path, status: Any, healthy: bool) -> None:
    obj = export(DIALECTS[0], status)
    assert webhook(obj, "InterpretHealth", None)["healthy"] is healthy
    assert lua(tmp_path, obj, "InterpretHealth", **{"observed-file": obj}) is healthy


@pytest.mark.parametrize("reported", [[], [{"clusterName": "a", "status": {"conditions": [INVALID]}}]])
def test_without_the_plugin_a_status_stays_as_it_is(tmp_path: Path, reported: list[Any]) -> None:
    obj = export(DIALECTS[1], {"conditions": [VALID], "offeredTo": ["a"]})
    response = webhook(obj, "AggregateStatus", reported)
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    assert jsonpatch.apply_patch(obj, patch) == obj
    files = {"desired-file": obj, "status-file": reported[0] if reported else {"clusterName": "a"}}
    assert lua(tmp_path, obj, "AggregateStatus", **files) == obj


TARGET = {"host": "gw.example.test", "ip": "10.0.2.4", "port": 80, "path": "/httpbin"}
ENDPOINT = {"clusterKey": "default/default/default/cluster-1", "target": TARGET}
PORT = {"port": 8080, "protocol": "TCP", "endpoints": [ENDPOINT]}
SEVERAL = [{**PORT, "name": "http", "appProtocol": "grpc"}, {**PORT, "port": 9000}]
VIEWS: list[dict[str, Any]] = [
    {"type": "ClusterSetIP", "ports": [PORT]},
    {"type": "Headless", "ports": [PORT]},
    {"type": "ClusterSetIP", "ports": SEVERAL, "serviceAccountName": "*"},
    {"type": "ClusterSetIP", "ports": SEVERAL[::-1]},
    {"type": "ClusterSetIP", "ports": [{**PORT, "endpoints": [ENDPOINT] * 300}]},
    {
        "type": "ClusterSetIP",
        "ports": [PORT],
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
    },
]
RULE = {"portNumber": 80, "path": "/web", "pathType": "Prefix"}
EXPORTS: list[dict[str, Any]] = [
    {"rules": [RULE]},
    {"rules": [RULE, {**RULE, "path": "/käse", "pathType": "Exact"}], "serviceAccountName": "web"},
    {"rules": [RULE], "targetClusters": ["default/default/default/a", "default/default/default/b"]},
    {"rules": [RULE], "pathRewrite": {"from": "^/web/?", "to": "/"}, "loadBalancer": "HashingLoadBalancer"},
    {},
]


def reflected(tmp_path: Path, kind: str, spec: dict[str, Any], **more: Any) -> Any:
    """Return what Karmada reflects of a copy."""
    annotations = {"towpath.io/view": "of another"}
    meta = {"name": "web", "namespace": "shop", "annotations": annotations}
    obj = {"apiVersion": f"{DIALECTS[0]}/v1alpha1", "kind": kind, "metadata": meta, "spec": spec, **more}
    return lua(tmp_path, obj, "InterpretStatus", **{"observed-file": obj})


def test_reflection_is_the_same_for_each_dialect() -> None:
    assert {version for _, version in REFLECTION} == {f"{dialect}/v1alpha1" for dialect in DIALECTS}
    for kind in ("ServiceImport", "ServiceExport"):
        first, second = (
            customization["spec"]["customizations"]
            for (of, _), customization in REFLECTION.items()
            if of == kind
        )
        assert first == second


@pytest.mark.parametrize("spec", VIEWS)
def test_a_member_reports_the_digest_of_what_it_imports(tmp_path: Path, spec: dict[str, Any]) -> None:
    """The content counts, and not the annotation. Fields that a member's CRD adds do not count."""
    digest = View.parse(spec, "spec").digest
    assert reflected(tmp_path, "ServiceImport", {**spec, "ips": []}) == {"view": digest}


@pytest.mark.parametrize("spec", EXPORTS)
def test_a_member_reports_the_digest_of_what_it_exports(tmp_path: Path, spec: dict[str, Any]) -> None:
    refused = {**INVALID, "reason": "Refused", "message": "no such port"}
    status = {"conditions": [AGREED, {**refused, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    found = reflected(tmp_path, "ServiceExport", spec, status=status)
    assert found == {"digest": export_digest(spec), "conditions": [refused]}
    assert reflected(tmp_path, "ServiceExport", spec) == {"digest": export_digest(spec)}


STAMP = "2026-01-01T00:00:00Z"
REFUSED = {**INVALID, "reason": "Bad", "message": "no"}
UNREADY = {"type": "Serving", "status": "False", "reason": "NoReadyPod", "lastTransitionTime": STAMP}


@pytest.mark.parametrize(
    ("conditions", "reported"),
    [
        ([{**UNREADY, "message": "no pod"}], [UNREADY]),
        ([UNREADY, {**UNREADY, "reason": "Again"}], [UNREADY]),
        ([{**UNREADY, "lastTransitionTime": 5}], [{**UNREADY, "lastTransitionTime": ""}]),
        ([{**UNREADY, "status": "True"}], None),
        ([UNREADY, REFUSED], [UNREADY, REFUSED]),
    ],
)
def test_a_member_reports_that_no_pod_is_ready(
    tmp_path: Path, conditions: list[Any], reported: list[Any] | None
) -> None:
    """Once, and without its text. The digest is that of the content alone."""
    found = reflected(tmp_path, "ServiceExport", {"rules": [RULE]}, status={"conditions": conditions})
    wanted: dict[str, Any] = {"digest": export_digest({"rules": [RULE]})}
    assert found == (wanted if reported is None else {**wanted, "conditions": reported})


def test_a_member_reports_gateways_that_do_not_answer(tmp_path: Path) -> None:
    """Of many the first ones. The digest of the view stays the same."""
    silent = [{"clusterKey": f"default/default/default/c{number}", "since": STAMP} for number in range(40)]
    found = reflected(tmp_path, "ServiceImport", VIEWS[0], status={"unanswered": silent})
    assert found == {"view": View.parse(VIEWS[0], "spec").digest, "unanswered": silent[:16]}
    odd = [5, {"clusterKey": "x" * 10_000, "since": 7}]
    found = reflected(tmp_path, "ServiceImport", VIEWS[0], status={"unanswered": odd})
    assert found["unanswered"] == [{"clusterKey": "", "since": ""}, {"clusterKey": "x" * 256, "since": ""}]
    found = reflected(tmp_path, "ServiceImport", VIEWS[0], status={"unanswered": []})
    assert found == {"view": View.parse(VIEWS[0], "spec").digest}


@pytest.mark.parametrize("message", [5, {"a": 1}, ["a"], True, "x" * 100_000])
def test_a_member_reports_no_more_than_a_short_text(tmp_path: Path, message: Any) -> None:
    """The binding is that of all members: none makes it unreadable, or too large to be stored."""
    refused = {**INVALID, "reason": message, "message": message}
    found = reflected(tmp_path, "ServiceExport", {"rules": [RULE]}, status={"conditions": [refused]})
    text = message[:1024] if isinstance(message, str) else ""
    assert found["conditions"] == [{**INVALID, "reason": text, "message": text}]
