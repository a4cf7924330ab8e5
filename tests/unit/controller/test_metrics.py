"""The metrics: declarations, samples, and the page that documents them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.checkout import TOP
from towpath import __version__
from towpath.controller.metrics import (
    LATENCY_BUCKETS_SECONDS,
    WORK_BUCKETS_SECONDS,
    ClusterState,
    ConditionLabels,
    FailedWriteLabels,
    Metrics,
    Outcome,
    Refusal,
    Verb,
    WriteLabels,
)
from towpath.reference import metrics

PAGE = TOP / "docs" / "metrics.md"
COUNTED = {"counter": "_total", "histogram": "_seconds"}


def samples(of: Metrics) -> dict[str, float]:
    """Return every series of Towpath as Prometheus reads it, with its labels in the order of their names."""
    return {
        sample.name + "".join(f",{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(of.registry).decode())
        for sample in family.samples
        if sample.name.startswith("towpath_")
    }


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == metrics.page(), "run make docs"


def test_the_module_prints_the_page() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "towpath.reference", "metrics"], check=True, capture_output=True, text=True
    )

    assert printed.stdout == metrics.page()


def test_everything_that_is_reported_is_on_the_page() -> None:
    of = Metrics()
    families = {
        family.name: family for family in of.registry.collect() if not family.name.startswith("process_")
    }

    assert {metric.name.removesuffix("_total") for metric in of.declared} == set(families)
    for metric in of.declared:
        assert families[metric.name.removesuffix("_total")].documentation == metric.meaning


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in Metrics().declared:
        assert re.fullmatch(r"towpath_[a-z_]+", metric.name)
        assert metric.name.endswith(COUNTED.get(metric.type, "")), metric.name
        assert metric.meaning.endswith(".")
        assert "|" not in metric.meaning, "it would break the page's table"


def test_a_counter_is_reported_with_its_labels() -> None:
    of = Metrics()
    of.writes[WriteLabels("ServiceImport", Verb.APPLY)].inc()
    of.writes[WriteLabels("ServiceImport", Verb.APPLY)].inc()
    of.write_failures[FailedWriteLabels("OverridePolicy", Verb.DELETE, "Conflict")].inc()
    of.reconciles[Outcome.DONE].observe(0.003)
    of.export_to_member.observe(0.7)
    of.queue_depth.set(4)
    of.leader.set(1)
    series = samples(of)

    assert series["towpath_writes_total,ServiceImport,apply"] == 2
    assert series["towpath_write_failures_total,Conflict,OverridePolicy,delete"] == 1
    assert series["towpath_reconcile_seconds_bucket,0.0025,done"] == 0
    assert series["towpath_reconcile_seconds_bucket,0.005,done"] == 1
    assert series["towpath_export_to_member_seconds_sum"] == 0.7
    assert (series["towpath_queue_depth"], series["towpath_leader"]) == (4, 1)
    assert not [name for name in series if "_created" in name]


def test_an_outdated_condition_is_not_reported() -> None:
    of = Metrics()
    left_out: dict[str, float] = {"NoGateway": 3, "Drained": 1}
    of.left_out.read_from(lambda: left_out)
    assert samples(of)["towpath_clusters_left_out,NoGateway"] == 3
    left_out = {"Drained": 2}
    of.exports.read_from(lambda: {ConditionLabels("Valid", "True"): 5})
    of.clusters.read_from(lambda: {ClusterState.READY: 2, ClusterState.LOST: 0})
    series = samples(of)

    assert {name: value for name, value in series.items() if "left_out" in name} == {
        "towpath_clusters_left_out,Drained": 2
    }
    assert series["towpath_exports,Valid,True"] == 5
    assert series["towpath_clusters,lost"] == 0


def test_a_metric_is_computed_when_it_is_collected() -> None:
    of = Metrics()
    due = ["a", "b"]
    of.queue_depth.set_function(lambda: len(due))
    assert samples(of)["towpath_queue_depth"] == 2
    due.clear()
    assert samples(of)["towpath_queue_depth"] == 0


def test_a_refusal_of_the_guard_is_seen_from_the_first() -> None:
    series = samples(Metrics())

    assert [series[f"towpath_guard_refusals_total,{refusal}"] for refusal in Refusal] == [0, 0, 0]


def test_two_processes_in_one_do_not_mix() -> None:
    first, other = Metrics(), Metrics()
    first.leader.set(1)

    assert samples(other)["towpath_leader"] == 0


def test_the_running_processes_are_listed() -> None:
    body = generate_latest(Metrics().registry)

    assert f'version="{__version__}"' in body.decode()
    assert b"process_resident_memory_bytes" in body


@pytest.mark.parametrize("buckets", [LATENCY_BUCKETS_SECONDS, WORK_BUCKETS_SECONDS])
def test_buckets_rise(buckets: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
