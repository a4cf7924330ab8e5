"""Which policy claims a template, and where it sends it: Karmada's rules, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.errors import InvalidObject
from towpath.propagation.placement import Placed, matches, place
from towpath.propagation.policies import Policy, Target, read_policy
from towpath.propagation.selection import Match, Template, claiming, selects, template_of
from towpath.propagation.selectors import ClusterAffinity, ResourceSelector

WEB = Template("v1", "Service", "shop", "web", {"app": "web", "tier": "front"})
FLEET = (
    Target("a", {"env": "prod"}, "aws", "eu", ("eu-1", "eu-2")),
    Target("b", {"env": "test"}, "aws", "us", ("us-1",)),
    Target("c", {"size": "big"}, "gcp", "eu", ("eu-3",)),
)
HERE: dict[str, Any] = {"apiVersion": "v1", "kind": "Service"}


def spread(name: str = "p", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """Return a policy for all Services; without a namespace a ClusterPropagationPolicy."""
    return {
        "kind": "PropagationPolicy" if namespace else "ClusterPropagationPolicy",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {"resourceSelectors": [HERE], **spec},
    }


def policy(name: str = "p", namespace: str = "shop", **spec: Any) -> Policy:
    return read_policy(spread(name, namespace, **spec))


def placed(fleet: tuple[Target, ...] = FLEET, **placement: Any) -> Placed:
    return place(policy(placement=placement), fleet)


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def by_expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [expression(key, operator, *values)]}


@pytest.mark.parametrize(
    ("selector", "match"),
    [
        ({}, Match.ALL),
        ({"namespace": "shop"}, Match.ALL),
        ({"namespace": "other"}, None),
        ({"apiVersion": "v2"}, None),
        ({"kind": "ServiceExport"}, None),
        ({"name": "web"}, Match.NAME),
        ({"name": "api"}, None),
        ({"name": "web", "labelSelector": {"matchLabels": {"app": "api"}}}, Match.NAME),
        ({"name": "api", "labelSelector": {"matchLabels": {"app": "web"}}}, None),
        ({"labelSelector": {}}, Match.LABELS),
        ({"labelSelector": {"matchLabels": {"app": "web"}}}, Match.LABELS),
        ({"labelSelector": {"matchLabels": {"app": "web", "tier": "back"}}}, None),
        ({"labelSelector": by_expression("app", "In", "api", "web")}, Match.LABELS),
        ({"labelSelector": by_expression("app", "In", "api")}, None),
        ({"labelSelector": by_expression("none", "In", "api")}, None),
        ({"labelSelector": by_expression("app", "NotIn", "api")}, Match.LABELS),
        ({"labelSelector": by_expression("app", "NotIn", "web")}, None),
        ({"labelSelector": by_expression("none", "NotIn", "web")}, Match.LABELS),
        ({"labelSelector": by_expression("app", "Exists")}, Match.LABELS),
        ({"labelSelector": by_expression("none", "Exists")}, None),
        ({"labelSelector": by_expression("app", "DoesNotExist")}, None),
        ({"labelSelector": by_expression("none", "DoesNotExist")}, Match.LABELS),
        # What Kubernetes cannot read matches nothing.
        ({"labelSelector": by_expression("app", "NotIn")}, None),
        ({"labelSelector": by_expression("app", "Exists", "web")}, None),
        ({"labelSelector": by_expression("app", "NotIn", "not a value")}, None),
        ({"labelSelector": by_expression("no key!", "DoesNotExist")}, None),
        ({"labelSelector": by_expression("example.com/none", "DoesNotExist")}, Match.LABELS),
    ],
)
def test_how_a_selector_matches(selector: Mapping[str, Any], match: Match | None) -> None:
    assert selects(ResourceSelector.parse({**HERE, **selector}, "it"), WEB) == match


NAMED = {**HERE, "name": "web"}
LABELLED = {**HERE, "labelSelector": {"matchLabels": {"app": "web"}}}


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (spread("z", resourceSelectors=[NAMED]), spread("a", resourceSelectors=[LABELLED])),
        (spread("z", resourceSelectors=[LABELLED]), spread("a")),
        (spread("z", resourceSelectors=[HERE, NAMED]), spread("a", resourceSelectors=[LABELLED])),
        (spread("a"), spread("b")),
        (spread("z", priority=1), spread("a", resourceSelectors=[NAMED])),
        (spread("z"), spread("a", resourceSelectors=[NAMED], priority=-1)),
        (spread("z"), spread("a", "", resourceSelectors=[NAMED], priority=9)),
        (spread("z", "", priority=1), spread("a", "")),
        (spread("z", ""), spread("a", "other")),
        (spread("z", ""), spread("a", resourceSelectors=[{**HERE, "name": "api"}])),
        (spread("z", ""), spread("a", "", resourceSelectors=[{**NAMED, "namespace": "other"}])),
        (spread("z", "", resourceSelectors=[{**NAMED, "namespace": "shop"}]), spread("a", "")),
    ],
)
def test_the_policy_that_claims_a_template(winner: dict[str, Any], loser: dict[str, Any]) -> None:
    for order in ((winner, loser), (loser, winner)):
        chosen = claiming([read_policy(obj) for obj in order], WEB)
        assert chosen is not None
        assert chosen.name == winner["metadata"]["name"]


def test_a_template_that_no_policy_selects_is_unclaimed() -> None:
    assert claiming([], WEB) is None
    assert claiming([policy(resourceSelectors=[])], WEB) is None
    assert claiming([policy(namespace="other")], WEB) is None


def test_a_policy_on_its_way_out_claims_nothing() -> None:
    going = spread()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert claiming([read_policy(going)], WEB) is None


def test_cluster_scoped_objects_are_selected_by_cluster_policies() -> None:
    template = Template("v1", "Service", "", "web")

    assert claiming([policy()], template) is None
    assert claiming([policy(namespace="")], template) is not None


@pytest.mark.parametrize(
    ("affinity", "names"),
    [
        ({}, "abc"),
        ({"clusterNames": []}, "abc"),
        ({"clusterNames": ["a", "c"]}, "ac"),
        ({"clusterNames": None, "exclude": None}, "abc"),
        ({"exclude": ["a"]}, "bc"),
        ({"clusterNames": ["a", "b"], "exclude": ["a"]}, "b"),
        ({"clusterNames": ["a"], "exclude": ["a"]}, ""),
        ({"labelSelector": {}}, "abc"),
        ({"labelSelector": {"matchLabels": {"env": "prod"}}}, "a"),
        ({"labelSelector": by_expression("env", "NotIn", "prod")}, "bc"),
        ({"labelSelector": by_expression("env", "Exists")}, "ab"),
        ({"labelSelector": by_expression("env", "NotIn")}, ""),
        ({"labelSelector": by_expression("env", "Exists"), "exclude": ["a"]}, "b"),
        ({"labelSelector": by_expression("env", "Exists"), "clusterNames": ["a", "c"]}, "a"),
        ({"fieldSelector": {}}, "abc"),
        ({"fieldSelector": by_expression("provider", "In", "aws")}, "ab"),
        ({"fieldSelector": by_expression("provider", "NotIn", "aws")}, "c"),
        ({"fieldSelector": by_expression("region", "In", "eu", "ap")}, "ac"),
        ({"fieldSelector": by_expression("region", "NotIn")}, ""),
        ({"fieldSelector": by_expression("zone", "In", "eu-2", "us-1")}, "ab"),
        ({"fieldSelector": by_expression("zone", "NotIn", "eu-2")}, "bc"),
        ({"fieldSelector": by_expression("zone", "NotIn")}, "abc"),
        ({"fieldSelector": by_expression("zone", "In")}, ""),
        ({"fieldSelector": by_expression("region", "In", "eu"), "clusterNames": ["b", "c"]}, "c"),
        (
            {
                "fieldSelector": {
                    "matchExpressions": [
                        expression("provider", "In", "aws"),
                        expression("zone", "In", "us-1"),
                    ]
                }
            },
            "b",
        ),
        (
            {
                "labelSelector": by_expression("env", "Exists"),
                "fieldSelector": by_expression("region", "In", "eu"),
            },
            "a",
        ),
    ],
)
def test_which_members_an_affinity_selects(affinity: Mapping[str, Any], names: str) -> None:
    assert placed(clusterAffinity=affinity) == (frozenset(names), ())


@pytest.mark.parametrize(
    ("key", "operator", "there"),
    [
        ("provider", "In", False),
        ("region", "NotIn", True),
        ("zone", "In", False),
        ("zone", "NotIn", True),
    ],
)
def test_a_member_that_says_not_where_it_is(key: str, operator: str, there: bool) -> None:
    affinity = ClusterAffinity.parse({"fieldSelector": by_expression(key, operator, "eu")}, "it")

    assert matches(affinity, Target("a")) is there


def test_without_a_placement_all_members_get_it() -> None:
    assert place(policy(), FLEET) == (frozenset("abc"), ())
    assert place(policy(placement=None), FLEET) == (frozenset("abc"), ())
    assert placed(clusterAffinities=[]) == (frozenset("abc"), ())


def terms(**named: Any) -> list[dict[str, Any]]:
    return [{"affinityName": name, **affinity} for name, affinity in named.items()]


@pytest.mark.parametrize(
    ("affinities", "names", "text"),
    [
        (terms(one={"clusterNames": ["a"]}, two={"clusterNames": ["b"]}), "a", "'one' is used"),
        (terms(one={"labelSelector": by_expression("x", "Exists")}, two={}), "abc", "'two' is used"),
        (terms(one={"clusterNames": ["a"]}), "a", ""),
        (terms(one={"exclude": ["a", "b", "c"]}, two={"exclude": ["a", "b", "c"]}), "", ""),
    ],
)
def test_of_several_affinities_the_first_that_matches_counts(
    affinities: list[dict[str, Any]], names: str, text: str
) -> None:
    clusters, notes = placed(clusterAffinities=affinities)

    assert clusters == frozenset(names)
    assert [text in note for note in notes] == [True] * bool(text)


BARE = (Target("a"), Target("b", {"env": "prod"}, region="eu"))
TAINTED = (Target("a", tainted=True), Target("b"))


@pytest.mark.parametrize(
    ("spec", "fleet", "text"),
    [
        (
            {"placement": {"clusterAffinity": {"clusterNames": ["a", "x"]}}},
            FLEET,
            "clusterNames: Karmada has no member cluster x yet.",
        ),
        ({"placement": {"clusterAffinity": {"exclude": ["x"]}}}, FLEET, ""),
        (
            {"placement": {"clusterAffinities": terms(one={"clusterNames": ["x"]})}},
            FLEET,
            "no member cluster x yet",
        ),
        ({"placement": {"clusterAffinities": terms(one={}, two={"clusterNames": ["x"]})}}, FLEET, "'one'"),
        ({"placement": {"spreadConstraints": [{"maxGroups": 1}]}}, FLEET, "only some of a, b, c."),
        ({"placement": {"spreadConstraints": []}}, FLEET, ""),
        ({"placement": {"workloadAffinity": {"affinity": {}}}}, FLEET, "workloadAffinity"),
        ({"placement": {"replicaScheduling": {"replicaSchedulingType": "Divided"}}}, FLEET, ""),
        ({"suspension": {"dispatching": True}}, FLEET, "a, b, c keep what they have"),
        ({"suspension": {"dispatching": False}}, FLEET, ""),
        ({"suspension": {"dispatchingOnClusters": {"clusterNames": ["b", "x"]}}}, FLEET, "b keep"),
        ({"suspension": {"dispatchingOnClusters": {"clusterNames": ["x"]}}}, FLEET, ""),
        ({}, TAINTED, "reach a while tainted"),
        ({"placement": {"clusterTolerations": [{"operator": "Exists"}]}}, TAINTED, ""),
        ({"placement": {"clusterAffinity": {"exclude": ["a"]}}}, TAINTED, ""),
        ({"schedulerName": "mine"}, FLEET, "Scheduler 'mine'"),
        ({"schedulerName": "default-scheduler"}, FLEET, ""),
        (
            {"placement": {"clusterAffinity": {"labelSelector": by_expression("env", "In", "prod")}}},
            BARE,
            "the labels of a are not known",
        ),
        ({"placement": {"clusterAffinity": {"labelSelector": {}}}}, BARE, ""),
        (
            {
                "placement": {
                    "clusterAffinity": {
                        "clusterNames": ["b"],
                        "labelSelector": by_expression("env", "Exists"),
                    }
                }
            },
            BARE,
            "",
        ),
        (
            {"placement": {"clusterAffinity": {"fieldSelector": by_expression("region", "In", "eu")}}},
            BARE,
            "which are not known for a",
        ),
    ],
)
def test_fields_that_only_karmada_can_evaluate_are_reported(
    spec: dict[str, Any], fleet: tuple[Target, ...], text: str
) -> None:
    notes = place(policy(**spec), fleet).notes

    assert len(notes) == bool(text), notes
    assert all(note.startswith("PropagationPolicy shop/p: ") and text in note for note in notes)


def test_suspended_and_tainted_members_stay_selected() -> None:
    assert place(policy(suspension={"dispatching": True}), TAINTED).clusters == frozenset("ab")


names = st.lists(st.sampled_from("abcx"), max_size=3, unique=True)
requirements = st.builds(
    expression, st.sampled_from(["env", "size", "app"]), st.sampled_from(["Exists", "DoesNotExist"])
) | st.builds(expression, st.just("env"), st.sampled_from(["In", "NotIn"]), st.sampled_from(["prod", "test"]))
fields = st.builds(
    expression,
    st.sampled_from(["provider", "region", "zone"]),
    st.sampled_from(["In", "NotIn"]),
    st.sampled_from(["aws", "eu", "eu-1"]),
)
affinities = st.fixed_dictionaries(
    {},
    optional={
        "clusterNames": names,
        "exclude": names,
        "labelSelector": st.fixed_dictionaries({"matchExpressions": st.lists(requirements, max_size=2)}),
        "fieldSelector": st.fixed_dictionaries({"matchExpressions": st.lists(fields, max_size=2)}),
    },
)
placements = st.fixed_dictionaries({"clusterAffinity": affinities}) | st.fixed_dictionaries(
    {"clusterAffinities": st.lists(affinities, max_size=3)}
)
fleets = st.lists(st.sampled_from([*FLEET, *(Target(name, tainted=True) for name in "de")]), unique_by=id)


@given(st.data(), placements, fleets)
def test_the_order_of_the_fleet_does_not_matter(
    data: st.DataObject, placement: dict[str, Any], fleet: list[Target]
) -> None:
    spread_policy = policy(placement=placement)

    assert place(spread_policy, fleet) == place(spread_policy, data.draw(st.permutations(fleet)))


@given(affinities, fleets)
def test_members_are_only_taken_away_by_more_conditions(
    affinity: dict[str, Any], fleet: list[Target]
) -> None:
    whole = placed(tuple(fleet), clusterAffinity=affinity).clusters

    assert whole.isdisjoint(affinity.get("exclude", ()))
    for key in affinity:
        less = {k: v for k, v in affinity.items() if k != key}
        assert whole <= placed(tuple(fleet), clusterAffinity=less).clusters


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            {"kind": "Service", "metadata": {"name": "p"}},
            "not a PropagationPolicy or ClusterPropagationPolicy",
        ),
        ([], "not a PropagationPolicy or"),
        ({"kind": "PropagationPolicy", "metadata": {"name": "p"}, "spec": {}}, "p: metadata.namespace: "),
        (
            {"kind": "ClusterPropagationPolicy", "metadata": {"name": "p"}},
            "ClusterPropagationPolicy p: spec: Required value",
        ),
        (spread(priority="high"), "PropagationPolicy shop/p: spec.priority: "),
        (spread(resourceSelectors=[{"kind": "Service"}]), "spec.resourceSelectors[0].apiVersion: "),
        (
            spread(resourceSelectors=[HERE, {**HERE, "namespace": "x"}]),
            "spec.resourceSelectors[1].namespace: ",
        ),
        (
            spread(placement={"clusterAffinity": {}, "clusterAffinities": terms(one={})}),
            "shop/p: spec.placement: clusterAffinity and clusterAffinities are both set",
        ),
        (
            spread(placement={"clusterAffinity": {"clusterNames": "a"}}),
            "spec.placement.clusterAffinity.clusterNames: ",
        ),
        (
            spread(placement={"clusterAffinity": {"labelSelector": by_expression("a", "Gt", "1")}}),
            "clusterAffinity.labelSelector.matchExpressions[0].operator: ",
        ),
        (
            spread(placement={"clusterAffinity": {"fieldSelector": by_expression("zone", "Exists")}}),
            "clusterAffinity.fieldSelector.matchExpressions[0].operator: ",
        ),
        (
            spread(placement={"clusterAffinities": [{"fieldSelector": by_expression("name", "In", "a")}]}),
            "spec.placement.clusterAffinities[0].fieldSelector.matchExpressions[0].key: ",
        ),
        (spread(suspension={"dispatching": "yes"}), "spec.suspension.dispatching: "),
    ],
)
def test_errors_name_object_and_field(obj: object, message: str) -> None:
    with pytest.raises(InvalidObject) as raised:
        read_policy(obj)

    assert message in str(raised.value)


def test_selectors_inherit_the_namespace_of_their_policy() -> None:
    assert [s.namespace for s in policy().resource_selectors] == ["shop"]
    assert [s.namespace for s in policy(namespace="").resource_selectors] == [""]


def test_a_template_is_read_as_karmada_reads_its_labels() -> None:
    manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    labelled = {**manifest, "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "b"}}}
    broken = {**manifest, "metadata": {"name": "web", "labels": {"a": "b", "c": 1}}}

    assert template_of(manifest) == template_of(broken) == Template("v1", "Service", "", "web")
    assert template_of(labelled) == Template("v1", "Service", "shop", "web", {"a": "b"})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "clusterNames",
                    "labelSelector",
                    "matchExpressions",
                    "matchLabels",
                    "key",
                    "operator",
                    "kind",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(json)
def test_anything_else_is_an_invalid_object(obj: object) -> None:
    with pytest.raises(InvalidObject):
        read_policy(obj)


@given(
    st.dictionaries(
        st.sampled_from(["resourceSelectors", "placement", "suspension", "priority", "kind", "name"]), json
    ),
    json,
    json,
)
def test_a_policy_of_anything_is_read_or_invalid(
    spec: dict[str, Any], affinity: object, other: object
) -> None:
    for broken in (spec, {**spec, "placement": {"clusterAffinity": affinity, "clusterAffinities": other}}):
        try:
            place(read_policy({**spread(), "spec": broken}), FLEET)
        except InvalidObject as error:
            assert str(error).startswith("PropagationPolicy shop/p: spec.")  # noqa: PT017
