"""What a viewer is sent: applied to what it has, it gives the present state."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.fleets import DIALECT, cluster, measured, requests, service
from towpath.page.fleet import Fleet, after
from towpath.page.frames import Source, State, frame
from towpath.page.history import changes
from towpath.page.picture import picture
from towpath.proto.v1alpha1 import inventory_pb2 as pb

AT = "2026-11-30T05:00:00Z"
NAMES = ["a", "b", "c"]


def state(number: int, part: pb.WatchFleetResponse, before: State | None = None) -> State:
    fleet = after(Fleet(), part)
    now = picture(fleet, before.picture) if before else picture(fleet)
    first = (before.history[-1].number if before and before.history else 0) + 1
    news = changes(before.picture, now, AT, first) if before else ()
    history = (*before.history, *news) if before else ()
    return State(number, now, Source(connected=True, since=AT), history)


def shown(of: State) -> dict[str, Any]:
    """Return what a viewer that has everything shows."""
    whole: dict[str, Any] = json.loads(frame(None, of))
    assert whole.pop("whole") is True
    del whole["number"]
    return keyed(whole)


def keyed(whole: dict[str, Any]) -> dict[str, Any]:
    whole["services"] = {row["id"]: row for row in whole["services"]}
    whole["flows"] = {(importer, exporter): rate for importer, exporter, *rate in whole["flows"]}
    return whole


def applied(had: dict[str, Any], sent: bytes) -> dict[str, Any]:
    """Return what a viewer shows after a frame, as static/store.js has it."""
    received: dict[str, Any] = json.loads(sent)
    del received["number"]
    if received.pop("whole", False):
        return keyed(received)
    flows = had["flows"] | {
        (importer, exporter): rate for importer, exporter, *rate in received.get("flows", [])
    }
    fresh = {member["name"]: member for member in received.get("members", [])}
    services = had["services"] | {row["id"]: row for row in received.get("services", [])}
    return {
        "members": [fresh.get(member["name"], member) for member in had["members"]],
        "services": {key: row for key, row in services.items() if key not in received.get("gone", [])},
        "flows": {key: rate for key, rate in flows.items() if [*key] not in received.get("goneFlows", [])},
        "traffic": received.get("traffic", had["traffic"]),
        "source": received.get("source", had["source"]),
        "changes": [*had["changes"], *received.get("changes", [])],
    }


clusters = st.lists(st.sampled_from(NAMES), unique=True)
pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))
rates = st.tuples(st.sampled_from([0.0, 1.5, 20.0]), st.none() | st.just(0.5))
measurements = st.sampled_from(
    [
        None,
        pb.TrafficMeasurement(measured_at=AT),
        pb.TrafficMeasurement(reason="NoPrometheus", text="The plugin has no Prometheus."),
    ]
)
fleets = st.builds(
    lambda names, drained, offered, carried, measurement: pb.WatchFleetResponse(
        clusters=[cluster(name, drained=name in drained) for name in names],
        services=[service(name, where, NAMES) for name, where in offered.items()],
        traffic=[requests(*pair, *rate) for pair, rate in carried.items()],
        traffic_measurement=measurement,
    ),
    clusters,
    clusters,
    st.dictionaries(st.sampled_from(["web", "api", "db"]), clusters),
    st.dictionaries(pairs, rates),
    measurements,
)


@given(first=fleets, second=fleets)
def test_a_frame_leads_from_any_state_to_any_other(
    first: pb.WatchFleetResponse, second: pb.WatchFleetResponse
) -> None:
    before = state(1, first)
    now = state(2, second, before)
    assert applied(shown(before), frame(before, now)) == shown(now)


def test_a_frame_holds_nothing_that_is_the_same() -> None:
    members = [cluster(name) for name in NAMES]
    web, api = service("web", ["a"], NAMES), service("api", ["a"], NAMES)
    before = state(1, pb.WatchFleetResponse(clusters=members, services=[web, api]))
    other = service("web", ["b"], NAMES)
    now = state(2, pb.WatchFleetResponse(clusters=members, services=[other, api]), before)
    sent = json.loads(frame(before, now))
    assert sent.keys() == {"number", "services", "changes"}
    assert [row["id"] for row in sent["services"]] == [f"shop/web/{DIALECT}"]


def test_a_rate_that_changes_is_sent_alone() -> None:
    members = pb.WatchFleetResponse(clusters=[cluster(name) for name in NAMES], services=[])
    fleet = after(after(Fleet(), members), measured(requests("a", "b", 5.0), requests("c", "b", 7.0, None)))
    before = State(1, picture(fleet))
    later = measured(requests("a", "b", 9.0, 1.0), at="2026-11-30T08:00:15Z")
    later.gone_traffic.append(pb.ClusterPair(importer="c", exporter="b"))
    now = State(2, picture(after(fleet, later), before.picture))
    assert json.loads(frame(before, now)) == {
        "number": 2,
        "traffic": {"at": "2026-11-30T08:00:15Z"},
        "flows": [[0, 1, 9.0, 1.0]],
        "goneFlows": [[2, 1]],
    }
    assert json.loads(frame(None, now))["flows"] == [[0, 1, 9.0, 1.0]]


def test_a_lost_plugin_is_a_frame_of_its_own() -> None:
    before = state(1, pb.WatchFleetResponse(clusters=[cluster("a")]))
    now = before._replace(number=2, source=Source(since=AT, problem="No plugin serves here."))
    assert json.loads(frame(before, now)) == {
        "number": 2,
        "source": {"since": AT, "problem": "No plugin serves here."},
    }
