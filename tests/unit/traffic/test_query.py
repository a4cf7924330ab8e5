"""The query, and what is read from its answer."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import FEWER
from towpath.rules.reasons import TrafficReason
from towpath.traffic.query import Unmeasured, is_label, query, rates
from towpath.traffic.rates import Pair, Rate

MEMBERS = frozenset({"a", "b", "c"})
AB = Pair("a", "b")


def series(counted: str, value: object, **labels: str) -> dict[str, Any]:
    return {"metric": {"towpath_rate": counted, **labels}, "value": [1790000000.1, value]}


def between(importer: str, exporter: str, counted: str, value: object) -> dict[str, Any]:
    return series(counted, value, cluster=importer, exported_cluster=f"r/z/g/{exporter}")


def answer(*found: Mapping[str, Any], status: str = "success", kind: str = "vector") -> bytes:
    return json.dumps({"status": status, "data": {"resultType": kind, "result": found}}).encode()


@pytest.mark.parametrize(
    ("label", "by"),
    [("cluster", "cluster, exported_cluster"), ("member", "member, cluster, exported_cluster")],
)
def test_one_query_asks_for_requests_and_errors(label: str, by: str) -> None:
    assert query(label, 60) == (
        f'label_replace(sum by ({by}) (rate(towpath_net_requests_total{{direction="egress"}}[60s])), '
        f'"towpath_rate", "requests", "", "") or '
        f'label_replace(sum by ({by}) (rate(towpath_net_request_errors_total{{direction="egress"}}[60s])), '
        f'"towpath_rate", "errors", "", "")'
    )


@pytest.mark.parametrize(
    ("label", "is_usable"),
    [
        ("cluster", True),
        ("prometheus_Replica_2", True),
        ("", False),
        ("2nd", False),
        ("a-b", False),
        ("a, b", False),
        ('a"}', False),
        ("cluster\n", False),
        ("ländername", False),
        ("__name__", False),
        ("exported_cluster", False),
        ("towpath_rate", False),
    ],
)
def test_a_label_fits_into_the_query(label: str, is_usable: bool) -> None:
    assert is_label(label) is is_usable


def test_rates_come_with_their_errors() -> None:
    found = rates(
        answer(
            between("a", "b", "requests", "12.5"),
            between("a", "b", "errors", "0.5"),
            between("b", "a", "requests", "0"),
            between("b", "a", "errors", "0"),
        ),
        "cluster",
        MEMBERS,
    )
    assert found == {AB: Rate(12.5, 0.5), Pair("b", "a"): Rate(0.0, 0.0)}


@pytest.mark.parametrize(
    ("label", "labels", "pair"),
    [
        ("cluster", {"cluster": "a", "exported_cluster": "r/z/g/b"}, AB),
        ("member", {"member": "a", "cluster": "r/z/g/b"}, AB),
        # Prometheus has another label `cluster` for its targets: that is not the exporting one.
        ("member", {"member": "a", "cluster": "site-1", "exported_cluster": "r/z/g/b"}, AB),
        ("member", {"member": "a", "cluster": "r/z/g/b", "exported_cluster": "site-1"}, AB),
        # Thanos puts an external label in the place of the agents': it names no exporting cluster.
        ("member", {"member": "a", "cluster": "b"}, None),
        ("cluster", {"cluster": "a", "exported_cluster": "b"}, None),
        # Only the label of the agent is there: it cannot be both.
        ("cluster", {"cluster": "r/z/g/b"}, None),
        ("member", {"cluster": "r/z/g/b"}, None),
        ("cluster", {"cluster": "a", "exported_cluster": ""}, None),
        ("cluster", {"cluster": "a", "exported_cluster": "r/z/g/stranger"}, None),
        ("cluster", {"cluster": "stranger", "exported_cluster": "r/z/g/b"}, None),
        ("cluster", {"cluster": "a", "exported_cluster": "r/z/g/a"}, None),
        ("cluster", {}, None),
    ],
)
def test_labels_name_the_pair(label: str, labels: dict[str, str], pair: Pair | None) -> None:
    extra = (
        between("b", "c", "requests", "1")
        if label == "cluster"
        else series("requests", "1", member="b", cluster="r/z/g/c")
    )
    found = rates(answer(series("requests", "7", **labels), extra), label, MEMBERS)
    assert found.keys() - {Pair("b", "c")} == ({pair} if pair else set())


@pytest.mark.parametrize("value", ["NaN", "1e10", "+Inf", "-Inf", "-1", "-0.001", "", "many", "0x10", "1,5"])
def test_what_is_no_rate_is_unknown_and_not_zero(value: str) -> None:
    good = between("b", "a", "requests", "3")
    found = rates(answer(between("a", "b", "requests", value), good), "cluster", MEMBERS)
    assert found == {Pair("b", "a"): Rate(3.0, None)}
    requests = between("a", "b", "requests", "3")
    found = rates(answer(requests, between("a", "b", "errors", value)), "cluster", MEMBERS)
    assert found == {AB: Rate(3.0, None)}


def test_a_cluster_with_two_keys_is_one() -> None:
    """The key changes with region, zone and group, and for some minutes both are in the answer."""
    old = series("requests", "2", cluster="a", exported_cluster="r/z/g/b")
    new = series("requests", "3", cluster="a", exported_cluster="r2/z/g/b")
    assert rates(answer(old, new), "cluster", MEMBERS) == {AB: Rate(5.0, None)}


def test_errors_without_requests_and_too_many_errors() -> None:
    lone, more = between("a", "b", "errors", "1"), between("b", "c", "errors", "5")
    found = rates(answer(lone, more, between("b", "c", "requests", "4")), "cluster", MEMBERS)
    assert found == {Pair("b", "c"): Rate(4.0, 4.0)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in</html>",
        b"null",
        b"[]",
        b'{"status":"success"}',
        b'{"status":"success","data":{"resultType":"vector","result":null}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":1},"value":[1,"1"]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"\xff"},"value":[1,"1"]}]}}',
        answer(kind="matrix"),
        answer(status="error"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x1f\x8b\x08\x00",
    ],
    ids=range(14),
)
def test_what_is_no_answer_to_the_query(body: bytes) -> None:
    with pytest.raises(Unmeasured) as caught:
        rates(body, "cluster", MEMBERS)
    assert caught.value.reason is TrafficReason.INVALID_ANSWER


@pytest.mark.parametrize(
    ("found", "detail"),
    [
        ([], ""),
        (
            [between("x", "y", "requests", "1"), between("x", "z", "requests", "1")],
            "2 series of other clusters",
        ),
    ],
)
def test_no_series_of_members_is_no_measurement(found: list[dict[str, Any]], detail: str) -> None:
    with pytest.raises(Unmeasured) as caught:
        rates(answer(*found), "cluster", MEMBERS)
    assert (caught.value.reason, caught.value.detail) == (TrafficReason.NO_SERIES, detail)


LEAVES = st.none() | st.floats() | st.text(max_size=3)
KEYS = st.sampled_from(["metric", "value", "cluster", "exported_cluster", "towpath_rate", "a"])


@FEWER
@given(st.recursive(LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(KEYS, x), max_leaves=9))
def test_any_json_is_read_or_refused(value: object) -> None:
    for body in (value, {"status": "success", "data": {"resultType": "vector", "result": value}}):
        try:
            found = rates(json.dumps(body).encode(), "cluster", MEMBERS)
        except Unmeasured:
            continue
        assert set(found) <= {Pair(x, y) for x in MEMBERS for y in MEMBERS}


def test_an_answer_with_thousands_of_strangers_costs_little() -> None:
    """The largest answer that is read, all of it labels and series that mean nothing."""
    strangers = [between(f"stranger-{number}", "b", "requests", "1") for number in range(60_000)]
    body = answer(*strangers, between("a", "b", "requests", "1"))
    assert len(body) > 7 << 20
    tracemalloc.start()
    found = rates(body, "cluster", MEMBERS)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == {AB: Rate(1.0, None)}
    assert kept < 1 << 20
    assert peak < 100 << 20
