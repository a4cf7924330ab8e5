"""What a member gets of a template, after the user's own overrides."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.propagation.test_placement import by_expression, json
from towpath.errors import InvalidObject
from towpath.propagation.overriding import MAX_OPERATIONS, Copy, concerning, overridden
from towpath.propagation.policies import OverridePolicy, Target, read_override

A = Target("a", {"env": "prod"}, region="eu")
B = Target("b")
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {"type": "ClusterIP", "ports": [{"port": 80}, {"port": 443}]},
}
HERE = {"apiVersion": "v1", "kind": "Service"}


class Untouched(list[int]):
    """A list that counts how often it is copied."""

    copies = 0

    def __deepcopy__(self, memo: object) -> Untouched:
        Untouched.copies += 1
        return self


def op(path: str, value: Any = None, operator: str = "replace") -> dict[str, Any]:
    return {"path": path, "operator": operator, "value": value}


def rule(*plaintext: dict[str, Any], target: Any = None, **overriders: Any) -> dict[str, Any]:
    return {"targetCluster": target, "overriders": {"plaintext": list(plaintext), **overriders}}


def override(
    *rules: dict[str, Any], name: str = "o", namespace: str = "shop", selectors: Any = (), **spec: Any
) -> OverridePolicy:
    return read_override(
        {
            "kind": "OverridePolicy" if namespace else "ClusterOverridePolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"resourceSelectors": list(selectors), "overrideRules": list(rules), **spec},
        }
    )


def became(*policies: OverridePolicy, cluster: Target = A) -> dict[str, Any]:
    """Return the member's copy, which has no notes."""
    copy = overridden(SERVICE, cluster, policies)
    manifest, notes = copy.manifest, copy.notes
    assert notes == ()
    return manifest


def kind_of(*policies: OverridePolicy, cluster: Target = A) -> object:
    return became(*policies, cluster=cluster)["spec"]["type"]


def typed(value: str, **more: Any) -> OverridePolicy:
    return override(rule(op("/spec/type", value), target=more.pop("target", None)), **more)


def test_without_overrides_a_member_gets_the_template() -> None:
    assert became() == SERVICE
    assert became(override()) == SERVICE


def test_the_template_and_the_policies_stay_as_they_are() -> None:
    before, policy = (
        deepcopy(SERVICE),
        override(rule(op("/spec/ports", [{"port": 1}]), op("/spec/ports/0/port", 2))),
    )

    first = became(policy)
    first["spec"]["ports"].append("more")
    first["metadata"]["labels"]["more"] = ""

    assert before == SERVICE
    assert became(policy)["spec"]["ports"] == [{"port": 2}]


@pytest.mark.parametrize(
    ("target", "cluster", "reached"),
    [
        (None, A, True),
        ({}, A, True),
        ({"clusterNames": []}, B, True),
        ({"clusterNames": ["a"]}, A, True),
        ({"clusterNames": ["a"]}, B, False),
        ({"exclude": ["a"]}, A, False),
        ({"exclude": ["a"]}, B, True),
        ({"labelSelector": by_expression("env", "Exists")}, A, True),
        ({"labelSelector": by_expression("env", "Exists")}, B, False),
        ({"fieldSelector": by_expression("region", "In", "eu")}, A, True),
        ({"fieldSelector": by_expression("region", "In", "eu")}, B, False),
    ],
)
def test_a_rule_is_for_the_members_that_it_names(target: Any, cluster: Target, reached: bool) -> None:
    policy = override(rule(op("/spec/type", "x"), target=target))
    old = override(targetCluster=target, overriders=rule(op("/spec/type", "x"))["overriders"])

    assert (
        kind_of(policy, cluster=cluster) == kind_of(old, cluster=cluster) == ("x" if reached else "ClusterIP")
    )


NAMED = [{**HERE, "name": "web"}]
LABELLED = [{**HERE, "labelSelector": {"matchLabels": {"app": "web"}}}]


@pytest.mark.parametrize(
    ("selectors", "namespace", "reached"),
    [
        ([], "shop", True),
        ([], "", True),
        ([], "other", False),
        (NAMED, "shop", True),
        (NAMED, "other", False),
        ([HERE], "", True),
        ([{**HERE, "namespace": "other"}], "", False),
        ([{**HERE, "name": "api"}], "shop", False),
        ([{**HERE, "name": "api"}, *LABELLED], "shop", True),
        ([{**HERE, "kind": "ServiceExport"}], "shop", False),
    ],
)
def test_a_policy_is_for_the_templates_that_it_selects(selectors: Any, namespace: str, reached: bool) -> None:
    assert kind_of(typed("x", selectors=selectors, namespace=namespace)) == ("x" if reached else "ClusterIP")


@pytest.mark.parametrize(
    ("loser", "winner"),
    [
        (typed("-", name="a"), typed("x", name="b")),
        (typed("-", name="z"), typed("x", name="a", selectors=LABELLED)),
        (typed("-", name="z", selectors=[HERE]), typed("x", name="a", selectors=LABELLED)),
        (typed("-", name="z", selectors=LABELLED), typed("x", name="a", selectors=NAMED)),
        (typed("-", name="a"), typed("x", name="z", selectors=[HERE])),
        (typed("-", name="z", selectors=NAMED, namespace=""), typed("x", name="a")),
        (typed("-", name="a", namespace=""), typed("x", name="b", namespace="")),
    ],
)
def test_the_order_in_which_overrides_apply(loser: OverridePolicy, winner: OverridePolicy) -> None:
    assert kind_of(loser, winner) == kind_of(winner, loser) == "x"


def test_all_rules_that_match_apply_in_order() -> None:
    rules = [rule(op("/spec/type", "1")), rule(op("/spec/type", "2"), target={"clusterNames": ["b"]})]
    rules.append(rule(op("/spec/x", "3", "add")))

    assert became(override(*rules))["spec"] == {**SERVICE["spec"], "type": "1", "x": "3"}
    assert became(override(*rules), cluster=B)["spec"] == {**SERVICE["spec"], "type": "2", "x": "3"}


def test_rules_hide_the_old_fields_beside_them() -> None:
    policy = override(rule(op("/spec/type", "x")), overriders={"plaintext": [op("/spec/type", "old")]})

    assert kind_of(policy) == "x"


def test_labels_set_by_a_cluster_policy_select_for_others_only() -> None:
    labels = override(
        rule(labelsOverrider=[{"operator": "add", "value": {"new": "yes"}}]), namespace="", name="a"
    )
    selectors = [{**HERE, "labelSelector": {"matchLabels": {"new": "yes"}}}]

    assert kind_of(labels, typed("x", selectors=selectors)) == "x"
    assert kind_of(labels, typed("x", selectors=selectors, namespace="", name="b")) == "ClusterIP"


@pytest.mark.parametrize(
    ("operator", "value", "labels"),
    [
        ("add", {"new": "yes"}, {"app": "web", "new": "yes"}),
        ("add", {"app": "api"}, {"app": "api"}),
        ("add", {}, {"app": "web"}),
        ("replace", {"app": "api", "none": "x"}, {"app": "api"}),
        ("remove", {"app": "", "none": ""}, {}),
        ("remove", {"none": ""}, {"app": "web"}),
        ("add", {"a/b": "c"}, {"app": "web", "a/b": "c"}),
    ],
)
def test_labels(operator: str, value: dict[str, str], labels: dict[str, str]) -> None:
    policy = override(rule(labelsOverrider=[{"operator": operator, "value": value}]))

    assert became(policy)["metadata"]["labels"] == labels


@pytest.mark.parametrize(
    ("operator", "metadata"),
    [
        ("add", {**SERVICE["metadata"], "annotations": {"a/b": "c"}}),
        ("replace", SERVICE["metadata"]),
        ("remove", SERVICE["metadata"]),
    ],
)
def test_annotations_where_there_are_none(operator: str, metadata: dict[str, Any]) -> None:
    policy = override(rule(annotationsOverrider=[{"operator": operator, "value": {"a/b": "c"}}]))

    assert became(policy)["metadata"] == metadata


@pytest.mark.parametrize(
    ("operator", "labels"), [("add", {"app": "x"}), ("replace", {"app": 1}), ("remove", {"app": 1})]
)
def test_labels_that_are_no_labels(operator: str, labels: dict[str, Any]) -> None:
    broken = rule(op("/metadata/labels/app", 1))
    policy = override(broken, rule(labelsOverrider=[{"operator": operator, "value": {"app": "x"}}]))

    assert became(policy)["metadata"]["labels"] == labels


@pytest.mark.parametrize("metadata", [[], "text", None])
def test_labels_where_metadata_is_no_object(metadata: Any) -> None:
    added = rule(labelsOverrider=[{"operator": "add", "value": {"app": "x"}}])
    policies = [override(rule(op("/metadata", metadata)), added, namespace=""), typed("x")]

    assert overridden(SERVICE, A, policies) == Copy({**SERVICE, "metadata": metadata})


def test_plaintext_comes_after_labels_and_annotations() -> None:
    added = {"operator": "add", "value": {"k": "first"}}
    patch = [op("/metadata/labels/k", "last"), op("/metadata/annotations/k", "last")]
    metadata = became(override(rule(*patch, labelsOverrider=[added], annotationsOverrider=[added])))[
        "metadata"
    ]

    assert metadata["labels"]["k"] == metadata["annotations"]["k"] == "last"


PORTS = SERVICE["spec"]["ports"]


@pytest.mark.parametrize(
    ("patch", "spec"),
    [
        ([op("/spec/ports", [])], {"type": "ClusterIP", "ports": []}),
        ([op("/spec/type", operator="remove")], {"ports": PORTS}),
        ([op("/spec/type", "x", "add")], {"type": "x", "ports": PORTS}),
        ([{"path": "/spec/type", "operator": "add"}], {"type": None, "ports": PORTS}),
        ([op("/spec/ports/0", operator="remove")], {"type": "ClusterIP", "ports": [{"port": 443}]}),
        ([op("/spec/ports/0", 1, "add")], {"type": "ClusterIP", "ports": [1, *PORTS]}),
        ([op("/spec/ports/2", 1, "add")], {"type": "ClusterIP", "ports": [*PORTS, 1]}),
        ([op("/spec/ports/-", 1, "add")], {"type": "ClusterIP", "ports": [*PORTS, 1]}),
        ([op("/spec/ports/-1/port", 1)], {"type": "ClusterIP", "ports": [{"port": 80}, {"port": 1}]}),
        ([op("/spec/ports/-1", operator="remove")], {"type": "ClusterIP", "ports": [{"port": 80}]}),
        ([op("/spec/ports/-1", 1, "add")], {"type": "ClusterIP", "ports": [*PORTS, 1]}),
        ([op("/spec/ports/01", 1)], {"type": "ClusterIP", "ports": [{"port": 80}, 1]}),
        ([op("ignored/spec", {})], {}),
        ([op("/spec/a~1b", 1, "add"), op("/spec/a~1b", 2)], {**SERVICE["spec"], "a/b": 2}),
        ([op("/spec/a", {}, "add"), op("/spec/a/b", 1, "add")], {**SERVICE["spec"], "a": {"b": 1}}),
        ([op("", {**SERVICE, "spec": {}})], {}),
    ],
)
def test_plaintext_is_a_json_patch(patch: list[dict[str, Any]], spec: dict[str, Any]) -> None:
    assert became(override(rule(*patch)))["spec"] == spec


@pytest.mark.parametrize(
    "patch",
    [
        op("/spec/none"),
        op("/spec/none", operator="remove"),
        op("/spec/none/deeper", 1, "add"),
        op("/spec/type/deeper", 1, "add"),
        op("/spec/type/0", 1),
        op("/spec/ports/2"),
        op("/spec/ports/-3", operator="remove"),
        op("/spec/ports/-4", 1, "add"),
        op("/spec/ports/3", 1, "add"),
        op("/spec/ports/-"),
        op("/spec/ports/x", 1, "add"),
        op("/spec/ports/" + "9" * 5000, operator="remove"),
        op("spec", 1, "add"),
        op("", operator="remove"),
        op("", []),
        op("/kind", operator="remove"),
        op("/kind", {}),
    ],
)
def test_a_patch_that_fails_leaves_the_member_as_it_was(patch: dict[str, Any]) -> None:
    policy = override(rule(), rule(op("/spec/type", "x"), patch))

    copy = overridden(SERVICE, A, [typed("before", namespace=""), policy])
    manifest, note = copy.manifest, copy.fault

    assert manifest == SERVICE
    assert note.startswith("OverridePolicy shop/o: spec.overrideRules[1].overriders.plaintext")
    assert note.endswith("Karmada does not update the object in cluster a, and reports it in events only.")


def test_a_patch_with_a_value_of_any_depth_is_a_fault() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    copy = overridden(SERVICE, A, [override(rule(op("/spec/x", deep, "add")))])

    assert copy.manifest == SERVICE
    assert "plaintext[0]: Cannot add '/spec/x'" in copy.fault


def test_a_patch_fails_for_the_members_that_it_is_for() -> None:
    policy = override(rule(op("/spec/none"), target={"clusterNames": ["a"]}), rule(op("/spec/type", "x")))

    assert kind_of(policy, cluster=B) == "x"
    assert overridden(SERVICE, A, [policy]).manifest == SERVICE


def test_the_note_on_an_old_policy_names_its_own_fields() -> None:
    policy = override(namespace="", overriders={"plaintext": [op("/spec/type", "x"), op("/spec/none")]})

    note = overridden(SERVICE, A, [policy]).fault

    assert note.startswith(
        "ClusterOverridePolicy o: spec.overriders.plaintext[1]: Cannot replace '/spec/none' in the template. "
    )


FIELD = {"fieldPath": "/spec/type", "yaml": [{"subPath": "/a", "operator": "add", "value": 1}]}
TAG = {"component": "Tag", "operator": "replace", "value": "v2"}


@pytest.mark.parametrize(
    ("overriders", "expected"),
    [
        ({"imageOverrider": [TAG]}, ""),
        (
            {"imageOverrider": [{**TAG, "predicate": {"path": "/spec/type"}}]},
            "imageOverrider[0] is not evaluated",
        ),
        (
            {"imageOverrider": [TAG, {**TAG, "predicate": {"path": "/spec/image"}}]},
            "imageOverrider[1].predicate.path: The template has no string at '/spec/image'",
        ),
        ({"commandOverrider": [{"containerName": "c", "operator": "add", "value": ["x"]}]}, ""),
        ({"argsOverrider": [{"containerName": "c", "operator": "add", "value": ["x"]}]}, ""),
        ({"fieldOverrider": [FIELD]}, "fieldOverrider[0] is not evaluated"),
        (
            {"fieldOverrider": [{**FIELD, "fieldPath": "/data/x"}]},
            "fieldPath: The template has no string at '/data/x'",
        ),
        (
            {"fieldOverrider": [{**FIELD, "fieldPath": "/spec/ports"}]},
            "The template has no string at '/spec/ports'",
        ),
        (
            {"fieldOverrider": [{**FIELD, "fieldPath": "no slash"}]},
            "The template has no string at 'no slash'",
        ),
    ],
)
def test_overriders_that_are_not_worked_out(overriders: dict[str, Any], expected: str) -> None:
    copy = overridden(SERVICE, A, [override(rule(**overriders))])
    manifest, notes = copy.manifest, copy.notes

    assert manifest == SERVICE
    assert len(notes) == bool(expected)
    assert all(
        f"OverridePolicy shop/o: spec.overrideRules[0].overriders.{expected}" in n or expected in n
        for n in notes
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"overrideRules": {}}, "OverridePolicy shop/o: spec.overrideRules: "),
        (
            {"overrideRules": [{"overriders": {"plaintext": [{"path": "/a", "operator": "move"}]}}]},
            "spec.overrideRules[0].overriders.plaintext[0].operator: ",
        ),
        (
            {"overriders": {"labelsOverrider": [{"operator": "add", "value": {"a": 1}}]}},
            "spec.overriders.labelsOverrider[0].value.a: ",
        ),
        (
            {"overrideRules": [{"targetCluster": {"fieldSelector": by_expression("name", "In", "a")}}]},
            "spec.overrideRules[0].targetCluster.fieldSelector.matchExpressions[0].key: ",
        ),
        ({"resourceSelectors": [{**HERE, "namespace": "x"}]}, "spec.resourceSelectors[0].namespace: "),
    ],
)
def test_errors_name_object_and_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidObject) as raised:
        override(**spec) if "overrideRules" not in spec else read(spec)

    assert message in str(raised.value)


def read(spec: Any) -> OverridePolicy:
    metadata = {"name": "o", "namespace": "shop"}
    return read_override({"kind": "OverridePolicy", "metadata": metadata, "spec": spec})


def test_the_work_for_a_policy_is_bounded() -> None:
    wide = {**SERVICE, "spec": {**SERVICE["spec"], "externalIPs": Untouched(range(1000))}}
    for number, fault in ((MAX_OPERATIONS, ""), (MAX_OPERATIONS + 1, "More than")):
        policies = [
            override(rule(*[op("/spec/type", "NodePort")] * half), name=f"o{half}")
            for half in (3, number - 3)
        ]
        copy = overridden(wide, A, policies)
        assert fault in copy.fault
        assert (copy.manifest["spec"]["type"] == "NodePort") is not bool(copy.fault)
    assert Untouched.copies <= 3, "each operation copies the object"


@given(json)
def test_anything_else_is_an_invalid_object(obj: object) -> None:
    with pytest.raises(InvalidObject):
        read_override(obj)


@given(json, json, json, json)
def test_an_override_of_anything_is_read_or_invalid(
    spec: object, target: object, overriders: object, selectors: object
) -> None:
    for broken in (
        spec,
        {"overrideRules": [{"targetCluster": target, "overriders": overriders}]},
        {"targetCluster": target, "overriders": overriders, "resourceSelectors": selectors},
    ):
        try:
            overridden(SERVICE, A, [read(broken)])
        except InvalidObject as error:
            assert str(error).startswith("OverridePolicy shop/o: spec")  # noqa: PT017


tokens = st.sampled_from(
    ["spec", "ports", "type", "metadata", "labels", "0", "1", "-1", "-", "", "~", "kind", "x"]
)
patches = st.builds(
    op,
    st.lists(tokens, max_size=4).map(lambda found: "".join(f"/{token}" for token in found))
    | st.text(max_size=5),
    json,
    st.sampled_from(["add", "remove", "replace"]),
)


@given(st.lists(patches, max_size=4))
def test_a_patch_applies_as_a_whole_or_not_at_all(patch: list[dict[str, Any]]) -> None:
    copy = overridden(SERVICE, A, [override(rule(*patch))])
    manifest, notes = copy.manifest, copy.notes

    assert not notes or manifest == SERVICE
    assert manifest["kind"]


def test_only_policies_that_may_select_an_object_concern_it() -> None:
    def selecting(**selector: str) -> list[dict[str, str]]:
        return [{"apiVersion": "v1", "kind": "Service", **selector}]

    concerns = [
        override(name="named", selectors=selecting(name="web")),
        override(name="kind", selectors=selecting()),
        override(name="all"),
        override(name="wide", namespace="", selectors=selecting(namespace="shop")),
    ]
    others = [
        override(name="another", selectors=selecting(name="db")),
        override(name="elsewhere", namespace="den"),
        override(name="wide-elsewhere", namespace="", selectors=selecting(namespace="den")),
        override(name="kind", selectors=[{"apiVersion": "v1", "kind": "Secret"}]),
    ]

    assert [*concerning([*others, *concerns], "v1", "Service", "shop", "web")] == concerns
