"""Findings of the webhook on a single object: the CRDs' own table of mistakes, and surprising specs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.crd_cases import ACCEPTED, REFUSED, flow
from tests.support.reviews import EXPORT, RULE, answered, document, patched, question
from towpath.rules.reasons import Advice
from towpath_webhook.admission import hooks
from towpath_webhook.admission.rules import STORED_SUFFIX

PATHS = {
    "Cluster": hooks.VALIDATE_CLUSTERS,
    "ServiceExport": hooks.VALIDATE_EXPORTS,
    "ServiceImport": hooks.VALIDATE_IMPORTS,
    "GlobalTrafficPolicy": hooks.VALIDATE_TRAFFIC,
}
GROUPS = ["flomesh.io", "multicluster.flomesh.io"]


def asked(obj: dict[str, Any], old: dict[str, Any] | None = None, **more: object) -> dict[str, Any]:
    return answered(PATHS[obj["kind"]], question(obj, old, **more))


def causes(response: dict[str, Any]) -> list[tuple[str, str]]:
    """Return field and text of each problem."""
    return [(cause["field"], cause["message"]) for cause in response["status"]["details"]["causes"]]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("kind", "spec", "field", "fix"), REFUSED, ids=flow)
def test_specs_that_the_crds_refuse_are_refused(
    group: str, kind: str, spec: Any, field: str, fix: str
) -> None:
    response = asked(document(kind, spec, group=group))
    fields = causes(response)
    assert field in [place for place, _ in fields]
    problem = next(text for place, text in fields if place == field)
    assert fix in problem
    assert response["status"]["code"] == 422
    assert f"{field}: {problem}" in response["status"]["message"]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("kind", "spec"), ACCEPTED, ids=flow)
def test_specs_that_the_crds_accept_are_accepted(group: str, kind: str, spec: Any) -> None:
    obj = document(kind, spec, group=group)
    if kind == "Cluster":  # as the mutating webhook leaves it
        obj = patched(obj, answered(hooks.MUTATE_CLUSTERS, question(obj)))
    assert asked(obj)["allowed"]


def test_an_export_must_bear_the_name_of_a_service() -> None:
    for name in ("a.b", "1web", "web-0.shop", "w" * 64):
        ((field, text),) = causes(asked(document("ServiceExport", {"rules": [RULE]}, name=name)))
        assert field == "metadata.name"
        assert "The name must be that of the Service to export" in text


def test_everything_is_reported_at_once() -> None:
    spec = {
        "rules": [{"portNumber": 0, "path": "web"}, "odd", {**RULE, "path": "/a//b"}],
        "pathRewrite": {"from": "x"},
        "targetClusters": ["cluster-1", 7],
        "serviceAccountName": "ns/web",
    }
    response = asked(document("ServiceExport", spec, name="a.b"))
    assert [field for field, _ in causes(response)] == [
        "metadata.name",
        "spec.rules[0].portNumber",
        "spec.rules[0].path",
        "spec.rules[0].pathType",
        "spec.rules[1]",
        "spec.rules[2].path",
        "spec.pathRewrite",
        "spec.serviceAccountName",
        "spec.targetClusters[0]",
        "spec.targetClusters[1]",
    ]
    assert all(f"{field}: {text}" in response["status"]["message"] for field, text in causes(response))


def traffic(**spec: object) -> dict[str, Any]:
    return document("GlobalTrafficPolicy", spec)


KEY = "default/default/default/cluster-1"
WARNED: list[Any] = [
    (EXPORT, []),
    (
        document("ServiceExport", {"rules": [{**RULE, "pathType": "Exact"}]}),
        [f"spec.rules[0].pathType (Exact): {Advice.EXACT_PATH.text}"],
    ),
    (document("ServiceExport", {"rules": [{**RULE, "path": "/"}]}), []),
    (
        document("ServiceExport", {"rules": [RULE, {**RULE, "path": "/b"}]}),
        [f"spec.rules[0].portNumber (port 80): {Advice.REPEATED_RULE.text}"],
    ),
    (
        document("ServiceExport", {"rules": [RULE]}, annotations={"towpath.io/when-unreachable": "Never"}),
        ["metadata.annotations[towpath.io/when-unreachable]: Invalid value 'Never': must be Keep,"],
    ),
    (traffic(lbType="ActiveActive", targets=[{"clusterKey": KEY, "weight": 1}]), []),
    (
        traffic(lbType="ActiveActive", targets=[{"clusterKey": KEY, "weight": 0}]),
        [f"spec.targets[0].weight ({KEY}): {Advice.WEIGHT_ZERO.text}"],
    ),
    (
        traffic(lbType="ActiveActive", targets=[{"clusterKey": KEY}, {"clusterKey": KEY}]),
        [f"spec.targets[0].clusterKey ({KEY}): {Advice.REPEATED_KEY.text}"],
    ),
    (
        traffic(lbType="FailOver", targets=[{"clusterKey": KEY, "weight": 7}]),
        [f"spec.targets[0].weight ({KEY}): {Advice.WEIGHT_IGNORED.text}"],
    ),
    (traffic(targets=[{"clusterKey": KEY}]), [f"spec.targets[0] ({KEY}): {Advice.LOCALITY_TARGET.text}"]),
]


@pytest.mark.parametrize(("obj", "beginnings"), WARNED)
def test_a_surprising_spec_is_reported(obj: dict[str, Any], beginnings: list[str]) -> None:
    response = asked(obj)
    warnings = response.get("warnings", [])
    assert response["allowed"]
    assert len(warnings) == len(beginnings)
    for warning, beginning in zip(warnings, beginnings, strict=True):
        assert warning.startswith(beginning)
        assert len(warning.encode()) <= 256, "longer ones the apiserver may cut off"


def test_an_earlier_error_does_not_block_another_change() -> None:
    bad = {**RULE, "path": "web"}
    old = document("ServiceExport", {"rules": [bad]})
    response = asked(document("ServiceExport", {"rules": [bad], "sessionSticky": True}), old)
    assert response["allowed"]
    assert response["warnings"] == [
        f"spec.rules[0].path: The path does not start with '/'. Use '/web'. {STORED_SUFFIX}"
    ]
    worse = asked(document("ServiceExport", {"rules": [bad], "targetClusters": ["x"]}), old)
    ((field, text),) = causes(worse)
    assert field == "spec.targetClusters[0]"
    assert text.startswith("Invalid value 'x': must have four parts, but has 1. ")
    assert len(worse["warnings"]) == 1


def test_an_object_that_goes_is_left_alone() -> None:
    going = document("ServiceExport", {}, deletionTimestamp="2026-01-01T00:00:00Z")
    assert asked(going, EXPORT) == {"uid": "u-1", "allowed": True}
    assert answered(hooks.MUTATE_DEFAULTS, question(going, EXPORT)) == {"uid": "u-1", "allowed": True}


DEFAULTED: list[Any] = [
    (
        document("ServiceExport", {"rules": [{"portNumber": 1, "path": "/"}, RULE]}),
        "spec.rules.0.pathType",
        "Prefix",
    ),
    (document("GlobalTrafficPolicy"), "spec", {"lbType": "Locality"}),
    (document("GlobalTrafficPolicy", {}), "spec.lbType", "Locality"),
    (document("ServiceImport", {"ports": []}), "spec.type", "ClusterSetIP"),
    (
        document(
            "ServiceImport", {"type": "Headless", "ports": [{"port": 1, "protocol": "UDP"}, {"port": 2}]}
        ),
        "spec.ports.1.protocol",
        "TCP",
    ),
]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("obj", "where", "value"), DEFAULTED)
def test_a_missing_field_with_one_possible_value_is_filled_in(
    group: str, obj: dict[str, Any], where: str, value: object
) -> None:
    obj = {**obj, "apiVersion": f"{group}/v1alpha1"}
    response = answered(hooks.MUTATE_DEFAULTS, question(obj))
    found: Any = patched(obj, response)
    for name in where.split("."):
        found = found[int(name) if name.isdigit() else name]
    assert found == value
    assert "patch" not in answered(hooks.MUTATE_DEFAULTS, question(patched(obj, response)))


@pytest.mark.parametrize(
    "obj",
    [
        EXPORT,
        document("ServiceExport"),
        document("ServiceExport", {"rules": "odd"}),
        document("ServiceExport", {"rules": ["odd"]}),
        document("ServiceImport"),
        document("GlobalTrafficPolicy", "odd"),
        document("Cluster", {}),
    ],
)
def test_existing_and_malformed_fields_are_not_changed(obj: dict[str, Any]) -> None:
    assert answered(hooks.MUTATE_DEFAULTS, question(obj)) == {"uid": "u-1", "allowed": True}


def test_a_kubeconfig_is_refused_without_repeating_it() -> None:
    response = asked(document("Cluster", {"kubeconfig": "secret"}))
    ((field, text),) = causes(response)
    assert field == "spec.kubeconfig"
    assert "Remove the field" in text
    assert not re.search("secret", str(response))
