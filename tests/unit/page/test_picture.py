"""The stream folded into a cluster set, and the rows that it becomes."""

from __future__ import annotations

from tests.support.fleets import DIALECT, broken, cluster, service
from towpath.page.fleet import Fleet, ServiceId, after
from towpath.page.picture import EMPTY, Finding, Link, Member, Service, picture
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.service_pb2 import Condition

WEB = service("web", ["a", "b"], ["a", "b", "c"], behind=["c"])
FLEET = after(
    Fleet(), pb.WatchFleetResponse(clusters=[cluster("c"), cluster("a"), cluster("b")], services=[WEB])
)


def test_the_stream_adds_replaces_and_removes() -> None:
    later = after(
        FLEET,
        pb.WatchFleetResponse(
            clusters=[cluster("a", drained=True)],
            gone_clusters=["b", "never-there"],
            services=[service("api", ["a"], [])],
            gone_services=[pb.ServiceName(namespace="shop", name="web", dialect=DIALECT)],
        ),
    )
    assert later.clusters["a"].drained
    assert later.clusters.keys() == {"a", "c"}
    assert later.services.keys() == {ServiceId("shop", "api", DIALECT)}
    assert FLEET.clusters.keys() == {"a", "b", "c"}, "a former state has changed"


def test_a_member_has_what_there_is_to_see() -> None:
    fleet = after(Fleet(), pb.WatchFleetResponse(clusters=[cluster("a", lost_since="2026-11-30T01:02:03Z")]))
    assert picture(fleet).members == (
        Member(
            name="a",
            key="default/default/default/a",
            lost_since="2026-11-30T01:02:03Z",
            gateway="a.example.com:80",
            gateway_ip="10.0.0.97",
            gateway_source="annotation",
            dialects=(DIALECT,),
        ),
    )


def test_a_member_without_gateway_has_no_address() -> None:
    bare = cluster("a", gateway_host="", gateway_port=0, gateway_ip="")
    (member,) = picture(after(Fleet(), pb.WatchFleetResponse(clusters=[bare]))).members
    assert (member.gateway, member.gateway_ip) == ("", "")


def test_a_service_names_clusters_by_their_place() -> None:
    seen = picture(FLEET)
    assert seen.places == ("a", "b", "c")
    assert seen.services[f"shop/web/{DIALECT}"] == Service(
        id=f"shop/web/{DIALECT}",
        namespace="shop",
        name="web",
        dialect=DIALECT,
        state="OK",
        revision=f"{WEB.revision:x}",
        exporters=(0, 1),
        importing=(0, 1, 2),
        behind=(2,),
    )


def test_a_cluster_that_has_just_left_has_no_place() -> None:
    left = after(FLEET, pb.WatchFleetResponse(gone_clusters=["a"]))
    row = picture(left, picture(FLEET)).services[f"shop/web/{DIALECT}"]
    assert (row.exporters, row.importing) == ((0,), (0, 1))


def test_what_is_wrong_is_told_with_its_link() -> None:
    link = broken("Exporting", "ServiceMissing", "The cluster has no Service.", "a")
    conditions = [
        Condition(type="Valid", status="True", reason="Valid", message="Fine."),
        Condition(type="Conflict", status="True", reason="PortConflict", message="Ports differ."),
        Condition(type="Ready", status="False", reason="WithdrawalWithheld", message="Withheld."),
    ]
    made = service("web", ["a"], [], state="Broken", first=link, conditions=conditions)
    row = picture(after(FLEET, pb.WatchFleetResponse(services=[made]))).services[f"shop/web/{DIALECT}"]
    assert row.first == Link("Exporting", "Service", "a", "ServiceMissing", "The cluster has no Service.")
    assert row.findings == (
        Finding("conflict", "PortConflict", "Ports differ."),
        Finding("withheld", "WithdrawalWithheld", "Withheld."),
    )


def test_an_invalid_export_is_tagged() -> None:
    refused = [Condition(type="Valid", status="False", reason="NoService", message="There is no Service.")]
    made = service("web", [], [], state="Broken", conditions=refused)
    row = picture(after(FLEET, pb.WatchFleetResponse(services=[made]))).services[f"shop/web/{DIALECT}"]
    assert [finding.tag for finding in row.findings] == ["invalid"]


def test_rows_are_made_anew_only_where_something_changed() -> None:
    before = picture(after(FLEET, pb.WatchFleetResponse(services=[service("api", ["a"], ["b"])])))
    fleet = Fleet(FLEET.clusters, FLEET.services)
    fleet = after(fleet, pb.WatchFleetResponse(services=[service("api", ["b"], ["a"])]))
    now = picture(fleet, before)
    assert now.services[f"shop/web/{DIALECT}"] is before.services[f"shop/web/{DIALECT}"]
    assert now.services[f"shop/api/{DIALECT}"].exporters == (1,)


def test_other_members_give_every_service_other_places() -> None:
    before = picture(FLEET)
    now = picture(after(FLEET, pb.WatchFleetResponse(clusters=[cluster("aa")])), before)
    assert now.services[f"shop/web/{DIALECT}"].exporters == (0, 2)


def test_nothing_is_a_picture_too() -> None:
    assert picture(Fleet()) == EMPTY
