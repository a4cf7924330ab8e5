"""The requests between members, from the stream to the picture."""

from __future__ import annotations

from tests.support.fleets import cluster, measured, requests, service
from towpath.page.fleet import Fleet, after
from towpath.page.picture import EMPTY, picture, without_traffic
from towpath.page.traffic import Traffic, unknown
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.rules.reasons import TrafficReason

MEMBERS = after(Fleet(), pb.WatchFleetResponse(clusters=[cluster("b"), cluster("a")]))
MEASURED = after(MEMBERS, measured(requests("a", "b", 12.0, 0.5), requests("b", "a", 0.0, None)))


def test_rates_are_those_of_places() -> None:
    seen = picture(MEASURED)
    assert seen.flows == {(0, 1): (12.0, 0.5), (1, 0): (0.0, None)}
    assert seen.traffic == Traffic(at="2026-11-30T08:00:00Z")


def test_a_pair_that_goes_is_not_zero() -> None:
    part = measured(requests("a", "b", 3.0))
    part.gone_traffic.append(pb.ClusterPair(importer="b", exporter="a"))
    assert picture(after(MEASURED, part)).flows == {(0, 1): (3.0, 0.0)}
    gone = pb.WatchFleetResponse(gone_traffic=[pb.ClusterPair(importer="never", exporter="there")])
    assert after(MEASURED, gone).carried == MEASURED.carried


def test_rates_of_a_member_that_goes_go_with_it() -> None:
    left = after(MEASURED, pb.WatchFleetResponse(gone_clusters=["b"]))
    assert picture(left).flows == {}
    joined = after(MEASURED, pb.WatchFleetResponse(clusters=[cluster("aa")]))
    assert picture(joined, picture(MEASURED)).flows.keys() == {(0, 2), (2, 0)}, "places have changed"


def test_rates_are_drawn_anew_only_when_they_change() -> None:
    before = picture(MEASURED)
    other = after(MEASURED, pb.WatchFleetResponse(services=[service("web", ["a"], ["b"])]))
    assert picture(other, before).flows is before.flows
    assert picture(after(MEASURED, measured(requests("a", "b", 1.0))), before).flows is not before.flows


def test_a_plugin_without_traffic_and_one_without_prometheus() -> None:
    assert picture(MEMBERS).traffic == unknown(TrafficReason.NOT_REPORTED)
    measurement = pb.TrafficMeasurement(reason="NoPrometheus", text="The plugin has no Prometheus.")
    later = after(MEMBERS, pb.WatchFleetResponse(traffic_measurement=measurement))
    assert picture(later).traffic == Traffic(reason="NoPrometheus", text="The plugin has no Prometheus.")
    kept = after(later, pb.WatchFleetResponse(clusters=[cluster("c")]))
    assert picture(kept).traffic.reason == "NoPrometheus"


def test_a_picture_without_traffic_keeps_all_else() -> None:
    seen = picture(MEASURED)
    bare = without_traffic(seen, TrafficReason.PLUGIN_LOST)
    assert (bare.members, bare.services, bare.flows) == (seen.members, seen.services, {})
    assert without_traffic(bare, TrafficReason.PLUGIN_LOST) is bare
    assert picture(MEASURED, bare).flows == seen.flows
    assert EMPTY.traffic == unknown(TrafficReason.NOT_REPORTED)
