"""Errors in a traffic policy, and warnings about one whose effect is not what it states."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.checkout import TOP
from tests.support.worlds import export, member, service
from towpath.model import keys as cluster_keys
from towpath.model.keys import Dialect, is_cluster_key, why_not_cluster_key
from towpath.model.service import Service, ServicePort
from towpath.model.traffic import Spread, TrafficPolicy, TrafficTarget
from towpath.rules.ports import Exporter, exporter
from towpath.rules.reasons import Advice, Caution, InvalidReason
from towpath.rules.traffic import impossible, surprises

CRDS = TOP / "deploy" / "crds"
ABOUT_POLICIES = list(Advice)[list(Advice).index(Advice.NOT_EXPORTED) : list(Advice).index(Advice.FREEZES)]
MEMBERS = ("a", "b", "c", "d", "e")


def key(name: str) -> str:
    return f"default/default/default/{name}"


def target(name: str, weight: int | None = None) -> TrafficTarget:
    return TrafficTarget(cluster_key=name if "/" in name else key(name), weight=weight)


def policy(spread: Spread, *targets: str | tuple[str, int]) -> TrafficPolicy:
    return TrafficPolicy(
        lb_type=spread, targets=tuple(target(t) if isinstance(t, str) else target(*t) for t in targets)
    )


def locality(*targets: str | tuple[str, int]) -> TrafficPolicy:
    return policy(Spread.LOCALITY, *targets)


def active(*targets: str | tuple[str, int]) -> TrafficPolicy:
    return policy(Spread.ACTIVE_ACTIVE, *targets)


def fail_over(*targets: str | tuple[str, int]) -> TrafficPolicy:
    return policy(Spread.FAIL_OVER, *targets)


def exporting(name: str, gateway_port: int = 80, serves: Service | None = None) -> Exporter:
    return exporter(member(name, gateway_port=gateway_port), export((8080, "/web")), serves or service(8080))


class Where(NamedTuple):
    """The clusters with the policy, the exporters with gateway ports, the clusters with the Service."""

    consumers: str = "a"
    exporters: Mapping[str, int] = {"b": 80, "c": 80}
    local: str = ""
    serves: Service = service(8080)

    def warnings(self, about: TrafficPolicy) -> tuple[Caution, ...]:
        return surprises(
            about,
            consumers=[member(name) for name in self.consumers],
            exporters=[exporting(name, port, self.serves) for name, port in self.exporters.items()],
            known=[key(name) for name in MEMBERS],
            local=self.local,
        )


class Row(NamedTuple):
    """One rule: an input with its warning, and inputs without one."""

    reason: Advice
    policy: TrafficPolicy
    where: Where
    field: str
    detail: str
    silent: Sequence[tuple[TrafficPolicy, Where]]


HERE = Where()
FALLS_BACK = Where(consumers="b", local="b", exporters={"b": 80, "c": 8080})
TWO_PORTS = Where(exporters={"b": 80, "c": 81})
ROWS = [
    Row(Advice.NOT_EXPORTED, active(), Where(exporters={}), "metadata.name", "", [(active(), HERE)]),
    Row(Advice.NOT_EXPORTED, locality(), Where(exporters={}), "metadata.name", "", [(locality(), HERE)]),
    Row(
        Advice.LOCALITY_TARGET,
        locality("b"),
        HERE,
        "spec.targets[0]",
        key("b"),
        [(locality(), HERE), (active("b"), HERE), (fail_over("b"), HERE)],
    ),
    Row(
        Advice.UNKNOWN_KEY,
        active("b", "b/b/b/b"),
        HERE,
        "spec.targets[1].clusterKey",
        f"b/b/b/b; the key of b is {key('b')}",
        [(active("b", "e"), HERE), (locality("b/b/b/b"), HERE)],
    ),
    Row(
        Advice.NOT_AN_EXPORTER,
        fail_over("b", "e"),
        HERE,
        "spec.targets[1].clusterKey",
        f"{key('e')}; the exporters are {key('b')}, {key('c')}",
        [
            (active("b", "x/x/x/x"), HERE),
            (active("a"), HERE),
            (locality("e"), HERE),
            (active("e"), Where(exporters={})),
        ],
    ),
    Row(
        Advice.REPEATED_KEY,
        active("b", "c", "b"),
        HERE,
        "spec.targets[0].clusterKey",
        key("b"),
        [(active("b", "c"), HERE), (locality("b", "b"), HERE)],
    ),
    Row(
        Advice.OWN_KEY,
        active("b", "c"),
        Where(consumers="c"),
        "spec.targets[1].clusterKey",
        key("c"),
        [(active("b", "c"), HERE), (active("b", "c"), Where(consumers="ac")), (locality("a"), HERE)],
    ),
    Row(Advice.OWN_KEY, fail_over("a"), HERE, "spec.targets[0].clusterKey", key("a"), []),
    Row(
        Advice.WEIGHT_ZERO,
        active("b", ("c", 0)),
        HERE,
        "spec.targets[1].weight",
        key("c"),
        [(active(("b", 1), "c"), HERE), (fail_over(("b", 0)), HERE), (active(("b", 0), ("b", 1)), HERE)],
    ),
    Row(
        Advice.WEIGHT_IGNORED,
        fail_over("b", ("c", 0)),
        HERE,
        "spec.targets[1].weight",
        key("c"),
        [(fail_over("b"), HERE), (active(("b", 5)), HERE)],
    ),
    Row(Advice.WEIGHT_IGNORED, locality(("b", 5)), HERE, "spec.targets[0].weight", key("b"), []),
    Row(
        Advice.UNEQUAL_GATEWAY_PORTS,
        active(("b", 20), "c"),
        TWO_PORTS,
        "spec.targets",
        "gateway ports 80, 81",
        [
            (active(("b", 20), "c"), HERE),
            (active("b", "c"), TWO_PORTS),
            (active(("b", 100), ("c", 0)), TWO_PORTS),
            (active(("b", 20), ("b", 30)), TWO_PORTS),
            (active(("b", 20), ("e", 30)), TWO_PORTS),
            (fail_over(("b", 20), "c"), TWO_PORTS),
            (active(("b", 20), "c"), Where(consumers="bc", exporters={"b": 80, "c": 81})),
        ],
    ),
    *(
        Row(
            Advice.UNEQUAL_GATEWAY_PORTS,
            active(("b", 20), "c"),
            TWO_PORTS._replace(consumers=consumers),
            "spec.targets",
            "gateway ports 80, 81",
            [],
        )
        for consumers in ("", "bac")
    ),
    Row(
        Advice.LOCAL_TAKES_PART,
        active(),
        Where(consumers="cab", local="bcd"),
        "spec.lbType",
        "b, c",
        [(active(), Where(local="bc")), (fail_over("b"), Where(local="a")), (locality(), Where(local="a"))],
    ),
    Row(
        Advice.FAIL_OVER_OLD_FSM,
        fail_over("b"),
        Where(consumers="dca", local="c"),
        "spec.lbType",
        "a, d",
        [(fail_over("b"), Where(local="a")), (fail_over(), HERE), (active("b"), HERE)],
    ),
    Row(Advice.FAIL_OVER_OLD_FSM, fail_over("b"), Where(consumers=""), "spec.lbType", "", []),
    Row(
        Advice.FAIL_OVER_PORT,
        fail_over("c"),
        FALLS_BACK,
        "spec.targets[0].clusterKey",
        f"{key('c')}, port 8080 as in b",
        [
            (active("c"), FALLS_BACK),
            (fail_over("c"), FALLS_BACK._replace(local="")),
            (fail_over("c"), FALLS_BACK._replace(consumers="a", local="a")),
            (fail_over("c"), FALLS_BACK._replace(exporters={"b": 80, "c": 80})),
            (fail_over("e"), FALLS_BACK),
            (fail_over("b"), FALLS_BACK._replace(exporters={"b": 8080})),
            (
                fail_over("c"),
                FALLS_BACK._replace(serves=service(ServicePort(port=8080, target_port=9090))),
            ),
            (
                fail_over("c"),
                FALLS_BACK._replace(serves=service(ServicePort(port=8080, target_port="8080"))),
            ),
        ],
    ),
    Row(
        Advice.FAIL_OVER_PORT,
        fail_over("c"),
        FALLS_BACK._replace(serves=service(80, ServicePort(port=81, target_port=8080))),
        "spec.targets[0].clusterKey",
        f"{key('c')}, port 8080 as in b",
        [],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.reason}, {row.policy.lb_type}")
def test_a_surprise_is_reported_where_it_is_and_nowhere_else(row: Row) -> None:
    warnings = [warning for warning in row.where.warnings(row.policy) if warning.reason is row.reason]

    assert warnings == [Caution(row.reason, row.field, row.detail)]
    for about, where in row.silent:
        assert row.reason not in {warning.reason for warning in where.warnings(about)}, (about, where)


def test_the_table_has_every_surprise_both_ways() -> None:
    assert {row.reason for row in ROWS} == set(ABOUT_POLICIES)
    assert {row.reason for row in ROWS if row.silent} == set(ABOUT_POLICIES)


@pytest.mark.parametrize(
    ("about", "where"),
    [
        (active(), HERE),
        (active("b", "c"), TWO_PORTS),
        (active(("b", 1), ("c", 99)), HERE),
        (locality(), HERE),
        (fail_over("c"), Where(local="a")),
    ],
)
def test_an_effective_policy_has_no_warning(about: TrafficPolicy, where: Where) -> None:
    assert where.warnings(about) == ()


def test_all_differences_are_reported_by_field_in_order() -> None:
    warnings = Where(consumers="ab", local="b", exporters={"b": 80, "c": 81}).warnings(
        active(("c", 0), "x/y/z/gone", ("b", 5), ("c", 0), "e")
    )

    assert [(warning.reason, warning.field) for warning in warnings] == [
        (Advice.LOCAL_TAKES_PART, "spec.lbType"),
        (Advice.UNEQUAL_GATEWAY_PORTS, "spec.targets"),
        (Advice.REPEATED_KEY, "spec.targets[0].clusterKey"),
        (Advice.UNKNOWN_KEY, "spec.targets[1].clusterKey"),
        (Advice.WEIGHT_ZERO, "spec.targets[3].weight"),
        (Advice.NOT_AN_EXPORTER, "spec.targets[4].clusterKey"),
    ]
    assert warnings[3].text.startswith(
        "spec.targets[1].clusterKey (x/y/z/gone): No member cluster has this cluster key"
    )


ONE_PART = "must have four parts, but has 1"
NOT_A_NAME = (
    "the cluster name must consist of lower-case letters, digits, '-' or '.', and must start and end with"
    " a letter or a digit"
)
REFUSED: list[tuple[TrafficPolicy, list[tuple[InvalidReason, str, str]]]] = [
    (locality("b", "c"), [(InvalidReason.LOCALITY_TARGETS, "spec.targets", "")]),
    (fail_over(), [(InvalidReason.FAIL_OVER_TARGETS, "spec.targets", "")]),
    (
        active("b", ("c", -1)),
        [(InvalidReason.NEGATIVE_WEIGHT, "spec.targets[1].weight", "-1: must not be negative")],
    ),
    (
        TrafficPolicy(
            targets=(TrafficTarget(cluster_key="alpha", weight=-2), TrafficTarget(cluster_key="b/c/d/e "))
        ),
        [
            (InvalidReason.LOCALITY_TARGETS, "spec.targets", ""),
            (InvalidReason.MALFORMED_KEY, "spec.targets[0].clusterKey", f"'alpha': {ONE_PART}"),
            (InvalidReason.NEGATIVE_WEIGHT, "spec.targets[0].weight", "-2: must not be negative"),
            (InvalidReason.MALFORMED_KEY, "spec.targets[1].clusterKey", f"'b/c/d/e ': {NOT_A_NAME}"),
        ],
    ),
]


@pytest.mark.parametrize(("about", "want"), REFUSED)
def test_all_that_is_impossible_is_refused_at_once(
    about: TrafficPolicy, want: list[tuple[InvalidReason, str, str]]
) -> None:
    assert impossible(about) == tuple(want)


def test_the_table_has_everything_impossible() -> None:
    assert {reason for _, want in REFUSED for reason, _, _ in want} == set(InvalidReason)


@pytest.mark.parametrize(
    "about",
    [
        TrafficPolicy(),
        locality("b"),
        active(),
        fail_over("b", "c"),
        active(("b", 0), ("b", 2**31 - 1)),
    ],
)
def test_a_meaningful_value_is_not_refused(about: TrafficPolicy) -> None:
    assert impossible(about) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("default/default/default/cluster-1", ""),
        ("eu west/Zone 1/g.1/a.b-c", ""),
        ("a/b/c/d", ""),
        ("a\u00a0/b/c/d", ""),
        ("", ONE_PART),
        ("a", ONE_PART),
        ("a/b/c", "must have four parts, but has 3"),
        ("a/b/c/d/", "must have four parts, but has 5"),
        ("a/b/c/d/e", "must have four parts, but has 5"),
        ("a/b/c/", "the cluster must not be empty"),
        ("/b/c/d", "the region must not be empty"),
        ("a//c/d", "the zone must not be empty"),
        (" a/b/c/d", "the region must not start or end with white space"),
        ("a/b /c/d", "the zone must not start or end with white space"),
        ("a/b/c/d\n", NOT_A_NAME),
        ("a/b/c/D", NOT_A_NAME),
        ("a/b/c/-d", NOT_A_NAME),
        ("a/b/c/d.", NOT_A_NAME),
    ],
)
def test_a_malformed_cluster_key_is_named_with_its_problem(text: str, problem: str) -> None:
    about = TrafficPolicy(lb_type=Spread.ACTIVE_ACTIVE, targets=(TrafficTarget(cluster_key=text),))

    assert [warning.detail for warning in impossible(about)] == [f"{text!r}: {problem}"] * bool(problem)


@given(st.lists(st.sampled_from(["", "a", "B", "-", " c", "d.e", "\n"]), max_size=6).map("/".join))
def test_a_cluster_key_is_malformed_or_has_no_problem(text: str) -> None:
    assert bool(why_not_cluster_key(text)) is not is_cluster_key(text)


@pytest.mark.parametrize("dialect", Dialect)
def test_the_crds_refuse_the_same_keys(dialect: Dialect) -> None:
    crd = yaml.safe_load((CRDS / f"{dialect.value}_globaltrafficpolicies.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    [rule] = spec["targets"]["items"]["properties"]["clusterKey"]["x-kubernetes-validations"]

    pattern = cluster_keys._KEY_PATTERN.pattern.replace("\\", "\\\\")
    assert rule["rule"] == f"self.matches('^{pattern}$')"


names = st.sampled_from(MEMBERS)
keys = names.map(key) | st.sampled_from(["", "a", "x/y/z/gone", " /b//d"])
policies = st.builds(
    TrafficPolicy,
    lb_type=st.sampled_from(Spread),
    targets=st.lists(
        st.builds(
            TrafficTarget, cluster_key=keys, weight=st.none() | st.sampled_from([-1, 0, 1, 100, 2**31])
        ),
        max_size=12,
    ).map(tuple),
)
served = st.builds(
    service, st.builds(ServicePort, port=st.just(80), target_port=st.sampled_from([None, 80, 8080, "web", 0]))
)
places = st.builds(
    Where,
    consumers=st.lists(names, unique=True).map("".join),
    exporters=st.dictionaries(names, st.sampled_from([80, 8080])),
    local=st.lists(names, unique=True).map("".join),
    serves=served,
)


def existing(field: str, about: TrafficPolicy) -> bool:
    """Tell whether the policy has the place that a warning points at."""
    found = re.fullmatch(r"metadata\.name|spec\.(lbType|targets(\[(\d+)\](\.(clusterKey|weight))?)?)", field)
    return found is not None and (found[3] is None or int(found[3]) < len(about.targets))


@given(policies, places)
def test_nothing_is_reported_twice_or_about_nothing(about: TrafficPolicy, where: Where) -> None:
    for warnings in (where.warnings(about), impossible(about)):
        assert len(set(warnings)) == len(warnings)
        assert len({(warning.reason, warning.field) for warning in warnings}) == len(warnings)
        for warning in warnings:
            assert existing(warning.field, about), warning
            assert warning.text.endswith(warning.reason.text)


@given(policies, places)
def test_the_order_in_which_clusters_were_seen_does_not_matter(about: TrafficPolicy, where: Where) -> None:
    turned = where._replace(
        consumers=where.consumers[::-1],
        exporters=dict(reversed(list(where.exporters.items()))),
        local=where.local[::-1],
    )
    assert turned.warnings(about) == where.warnings(about)


@given(policies.filter(lambda about: about.lb_type is not Spread.LOCALITY), places)
def test_only_what_counts_is_judged(about: TrafficPolicy, where: Where) -> None:
    """Of the entries of one cluster the last counts: without the others all else stays the same."""
    counting = {target.cluster_key: index for index, target in enumerate(about.targets)}
    once = about.model_copy(update={"targets": tuple(about.targets[i] for i in sorted(counting.values()))})

    left = [warning.reason for warning in where.warnings(about) if warning.reason is not Advice.REPEATED_KEY]
    assert left == [warning.reason for warning in where.warnings(once)]
