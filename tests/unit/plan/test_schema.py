"""What the apiserver refuses: the cases that ``tests/integration/test_crds.py`` puts to a real one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.checkout import TOP
from tests.support.crd_cases import ACCEPTED, REFUSED, flow
from towpath.model import manifest
from towpath.model.keys import Dialect
from towpath.plan.schema import Kind, Schema, missing_version, problems, schema_of, schemas_of

SCHEMAS = schemas_of(manifest.load(TOP / "deploy" / "crds"))
KINDS = ("Cluster", "GlobalTrafficPolicy", "ServiceExport", "ServiceImport")
RULE = {"portNumber": 80, "path": "/web", "pathType": "Prefix"}
KEY = "default/default/default/cluster-1"
SPREADS = '"Locality", "ActiveActive", "FailOver"'
PORT, WEIGHT = "spec.rules[0].portNumber", "spec.targets[0].weight"


def refused(kind: str, spec: object, group: str = "flomesh.io", name: str = "web") -> list[str]:
    obj: dict[str, Any] = {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": {"name": name}}
    if spec is not None:
        obj["spec"] = spec
    schema = schema_of(obj, SCHEMAS)
    assert schema is not None
    return [str(problem) for problem in problems(obj, schema)]


def test_every_kind_of_both_groups_has_a_schema() -> None:
    assert set(SCHEMAS) == {Kind(dialect.value, "v1alpha1", kind) for dialect in Dialect for kind in KINDS}
    assert schema_of({"apiVersion": "v1", "kind": "Service"}, SCHEMAS) is None


@pytest.mark.parametrize("group", Dialect)
@pytest.mark.parametrize(("kind", "spec", "field", "fix"), REFUSED, ids=flow)
def test_what_the_crds_refuse_is_refused_with_field_and_fix(
    group: str, kind: str, spec: object, field: str, fix: str
) -> None:
    found = refused(kind, spec, group)
    assert any(problem.startswith(f"{field}: ") and fix in problem for problem in found), found


@pytest.mark.parametrize("group", Dialect)
@pytest.mark.parametrize(("kind", "spec"), ACCEPTED, ids=flow)
def test_what_the_crds_accept_is_accepted(group: str, kind: str, spec: object) -> None:
    assert refused(kind, spec, group) == []


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        (
            "ServiceExport",
            {"rules": [{**RULE, "portNumber": 70000}]},
            f"{PORT}: Invalid value: 70000: {PORT} in body should be less than or equal to 65535",
        ),
        (
            "ServiceExport",
            {"rules": [{**RULE, "portNumber": "http"}]},
            f'{PORT}: Invalid value: "string": {PORT} in body must be of type integer: "string"',
        ),
        (
            "ServiceExport",
            {"rules": []},
            "spec.rules: Invalid value: 0: spec.rules in body should have at least 1 items",
        ),
        (
            "ServiceExport",
            {"rules": [{"portNumber": 80, "pathType": "Prefix"}]},
            "spec.rules[0].path: Required value",
        ),
        (
            "ServiceExport",
            {"rules": [RULE], "targetCluster": [KEY]},
            'strict decoding error: unknown field "spec.targetCluster"',
        ),
        (
            "GlobalTrafficPolicy",
            {"lbType": "failover"},
            f'spec.lbType: Unsupported value: "failover": supported values: {SPREADS}',
        ),
        (
            "GlobalTrafficPolicy",
            {"lbType": "ActiveActive", "targets": [{"clusterKey": KEY, "weight": 33.3}]},
            f'{WEIGHT}: Invalid value: "number": {WEIGHT} in body must be of type integer: "number"',
        ),
        (
            "GlobalTrafficPolicy",
            {"lbType": "ActiveActive", "targets": [{"clusterKey": KEY, "weight": 2**64}]},
            f"{WEIGHT}: Invalid value: {2**64}: {WEIGHT} in body should be less than or equal to 2147483647",
        ),
    ],
)
def test_the_words_are_those_of_the_apiserver(kind: str, spec: object, words: str) -> None:
    assert words in refused(kind, spec)


def test_all_problems_are_named_and_cel_waits_for_types() -> None:
    spec = {"rules": [{"portNumber": 0, "path": "web", "pathType": "Exact"}, {**RULE, "path": 7}], "more": 1}
    fields = [problem.partition(": ")[0] for problem in refused("ServiceExport", spec)]
    assert fields == ["spec.rules[0].portNumber", "spec.rules[1].path", "strict decoding error"]


def test_defaults_come_before_rules() -> None:
    assert refused("GlobalTrafficPolicy", None) == []
    assert refused("GlobalTrafficPolicy", {"targets": [{"clusterKey": KEY}]}) == []


def test_a_name_that_no_service_can_have_is_refused() -> None:
    assert any(
        "must be that of the Service" in problem
        for problem in refused("ServiceExport", {"rules": [RULE]}, name="1web")
    )


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({"type": "string", "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
        (
            {"type": "string", "minLength": 2},
            "a",
            'Invalid value: "a": x in body should be at least 2 chars long',
        ),
        ({"type": "string", "pattern": "^a$"}, "b", "Invalid value: \"b\": x in body should match '^a$'"),
        ({"type": "array", "maxItems": 1}, [1, 2], "Too many: 2: must have at most 1 items"),
        ({"type": "array", "x-kubernetes-list-type": "set"}, [1, 1], "Duplicate value: 1"),
        ({"type": "boolean"}, "x", 'Invalid value: "string": x in body must be of type boolean: "string"'),
        ({"type": "integer"}, True, 'Invalid value: "boolean": x in body must be of type integer: "boolean"'),
        ({"type": "number"}, 1.5, ""),
        ({"type": "integer"}, 1.0, ""),
        ({"type": "object"}, {"any": 1}, 'strict decoding error: unknown field "x.any"'),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"any": "1"}, ""),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"any": 1}, ""),
        (
            {"type": "string", "x-kubernetes-validations": [{"rule": "self == 'a'"}]},
            "b",
            "failed rule: self == 'a'",
        ),
        (
            {"type": "string", "x-kubernetes-validations": [{"rule": "self.nonsense()"}]},
            "b",
            "self.nonsense()",
        ),
        ({"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}, "b", ""),
    ],
)
def test_each_part_of_a_schema_is_applied(schema: Schema, value: object, words: str) -> None:
    found = [
        str(problem) for problem in problems({"x": value}, {"type": "object", "properties": {"x": schema}})
    ]
    assert len(found) == bool(words)
    assert not words or words in found[0]


OTHERS = schemas_of(manifest.load(TOP / "deploy" / "schemas"))
POLICY = {"resourceSelectors": [{"apiVersion": "v1", "kind": "Service"}]}


def refused_of_others(version: str, kind: str, spec: object, **metadata: object) -> list[str]:
    obj = {"apiVersion": version, "kind": kind, "metadata": {"name": "web", **metadata}, "spec": spec}
    schema = schema_of(obj, OTHERS)
    assert schema is not None
    return [str(problem) for problem in problems(obj, schema)]


@pytest.mark.parametrize(
    ("version", "kind", "spec", "words"),
    [
        ("v1", "Service", {"portz": []}, 'strict decoding error: unknown field "spec.portz"'),
        ("v1", "Service", {"type": "Foo"}, "spec.type: Unsupported value: "),
        (
            "policy.karmada.io/v1alpha1",
            "PropagationPolicy",
            {**POLICY, "placment": {}},
            'strict decoding error: unknown field "spec.placment"',
        ),
        (
            "policy.karmada.io/v1alpha1",
            "ClusterPropagationPolicy",
            {"resourceSelectors": []},
            "spec.resourceSelectors in body should have at least 1 items",
        ),
        (
            "policy.karmada.io/v1alpha1",
            "OverridePolicy",
            {"overrideRules": [{"overriders": {"plaintxt": []}}]},
            'unknown field "spec.overrideRules[0].overriders.plaintxt"',
        ),
    ],
)
def test_policies_and_services_are_checked_too(version: str, kind: str, spec: object, words: str) -> None:
    found = refused_of_others(version, kind, spec)
    assert len(found) == 1
    assert words in found[0]


def test_unknown_metadata_is_refused() -> None:
    found = refused_of_others("v1", "Service", {"ports": [{"port": 80, "targetPort": "web"}]}, lables={})
    assert found == ['strict decoding error: unknown field "metadata.lables"']


def test_a_kind_in_another_version_does_not_exist() -> None:
    export = {"apiVersion": "flomesh.io/v1beta1", "kind": "ServiceExport"}
    words = 'no matches for kind "ServiceExport" in version "flomesh.io/v1beta1"'
    assert missing_version(export, SCHEMAS) == words
    assert missing_version({**export, "apiVersion": "flomesh.io/v1alpha1"}, SCHEMAS) is None
    assert missing_version({**export, "apiVersion": "example.com/v1"}, SCHEMAS) is None
