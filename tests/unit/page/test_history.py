"""What has happened between two pictures, in words."""

from __future__ import annotations

import pytest

from tests.support.fleets import DIALECT, broken, cluster, service
from towpath.page.fleet import Fleet, after
from towpath.page.history import MOST_AT_ONCE, Change, changes
from towpath.page.picture import picture
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.service_pb2 import Cluster

AT = "2026-11-30T05:00:00Z"
MEMBERS = [cluster("a"), cluster("b")]
FLEET = after(Fleet(), pb.WatchFleetResponse(clusters=MEMBERS, services=[service("web", ["a"], ["b"])]))


def texts(part: pb.WatchFleetResponse, fleet: Fleet = FLEET) -> list[tuple[str, str, str]]:
    before = picture(fleet)
    found = changes(before, picture(after(fleet, part), before), AT, 7)
    assert [change.number for change in found] == list(range(7, 7 + len(found)))
    return [(change.name, change.tone, change.text) for change in found]


@pytest.mark.parametrize(
    ("other", "tone", "text"),
    [
        (cluster("a", lost_since=AT), "bad", "lost: Karmada cannot reach it"),
        (cluster("a", drained=True), "waiting", "drained"),
        (cluster("a", gateway_host="new.example.com"), "plain", "gateway is new.example.com:80"),
        (cluster("a", gateway_host="", gateway_ip=""), "bad", "has no gateway any more"),
        (cluster("a", gateway_ip=""), "bad", "no address of a.example.com:80"),
        (cluster("a", gateway_ip="10.9.9.9"), "plain", "gateway has the address 10.9.9.9"),
    ],
)
def test_a_member_changes(other: Cluster, tone: str, text: str) -> None:
    assert texts(pb.WatchFleetResponse(clusters=[other])) == [("a", tone, text)]


def test_a_member_that_recovers_is_good_news() -> None:
    unwell = after(FLEET, pb.WatchFleetResponse(clusters=[cluster("a", lost_since=AT, drained=True)]))
    assert texts(pb.WatchFleetResponse(clusters=[cluster("a")]), unwell) == [
        ("a", "good", "reachable again"),
        ("a", "good", "no longer drained"),
    ]


def test_members_join_and_leave() -> None:
    assert texts(pb.WatchFleetResponse(clusters=[cluster("c")], gone_clusters=["b"])) == [
        ("b", "plain", "left the cluster set"),
        ("c", "plain", "joined the cluster set"),
    ]


def test_a_service_breaks_and_names_the_link() -> None:
    link = broken("Exporting", "ServiceMissing", where="a")
    made = service("web", ["a"], ["b"], state="Broken", first=link)
    assert texts(pb.WatchFleetResponse(services=[made])) == [
        ("shop/web", "bad", "broken: Exporting in a: ServiceMissing")
    ]


def test_a_service_is_offered_by_other_clusters() -> None:
    made = service("web", ["b"], ["a"])
    assert texts(pb.WatchFleetResponse(services=[made])) == [
        ("shop/web", "plain", "exported by b, no longer exported by a")
    ]


def test_a_service_comes_and_goes() -> None:
    gone = pb.ServiceName(namespace="shop", name="web", dialect=DIALECT)
    part = pb.WatchFleetResponse(services=[service("api", ["a"], [])], gone_services=[gone])
    assert texts(part) == [
        ("shop/api", "plain", "exported, in sync"),
        ("shop/web", "plain", "no longer exported"),
    ]


def test_a_report_of_a_member_alone_is_no_news() -> None:
    made = service("web", ["a"], ["b"], behind=["b"])
    assert texts(pb.WatchFleetResponse(services=[made])) == []


def test_of_many_changes_at_once_the_first_are_listed() -> None:
    many = [service(f"web-{number}", ["a"], []) for number in range(3 * MOST_AT_ONCE)]
    found = texts(pb.WatchFleetResponse(services=many))
    assert len(found) == MOST_AT_ONCE + 1
    assert found[-1] == ("Others", "plain", "more has changed at this moment")


def test_a_change_names_what_can_be_opened() -> None:
    before = picture(FLEET)
    part = pb.WatchFleetResponse(clusters=[cluster("a", drained=True)], services=[service("api", [], [])])
    assert changes(before, picture(after(FLEET, part)), AT, 1) == (
        Change(1, AT, "member", "a", "a", "waiting", "drained"),
        Change(2, AT, "service", f"shop/api/{DIALECT}", "shop/api", "plain", "exported, in sync"),
    )
