"""What a viewer is sent: applied to what it has, it gives the present state."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.fleets import DIALECT, cluster, service
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
    whole["services"] = {row["id"]: row for row in whole["services"]}
    return whole


def applied(had: dict[str, Any], sent: bytes) -> dict[str, Any]:
    """Return what a viewer shows after a frame, as static/store.js has it."""
    received: dict[str, Any] = json.loads(sent)
    del received["number"]
    if received.pop("whole", False):
        received["services"] = {row["id"]: row for row in received["services"]}
        return received
    fresh = {member["name"]: member for member in received.get("members", [])}
    services = had["services"] | {row["id"]: row for row in received.get("services", [])}
    return {
        "members": [fresh.get(member["name"], member) for member in had["members"]],
        "services": {key: row for key, row in services.items() if key not in received.get("gone", [])},
        "source": received.get("source", had["source"]),
        "changes": [*had["changes"], *received.get("changes", [])],
    }


clusters = st.lists(st.sampled_from(NAMES), unique=True)
fleets = st.builds(
    lambda names, drained, offered: pb.WatchFleetResponse(
        clusters=[cluster(name, drained=name in drained) for name in names],
        services=[service(name, where, NAMES) for name, where in offered.items()],
    ),
    clusters,
    clusters,
    st.dictionaries(st.sampled_from(["web", "api", "db"]), clusters),
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


def test_a_lost_plugin_is_a_frame_of_its_own() -> None:
    before = state(1, pb.WatchFleetResponse(clusters=[cluster("a")]))
    now = before._replace(number=2, source=Source(since=AT, problem="No plugin serves here."))
    assert json.loads(frame(before, now)) == {
        "number": 2,
        "source": {"since": AT, "problem": "No plugin serves here."},
    }
