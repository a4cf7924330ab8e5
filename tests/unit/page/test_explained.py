"""The chain of a service as the page shows it."""

from __future__ import annotations

from typing import Any

from tests.support.fleets import broken, cluster, explanation, service
from towpath.page.explained import explained
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.service_pb2 import Condition, Link, TrafficPolicyState, TrafficPolicyTarget

CLUSTERS = {name: cluster(name) for name in ("a", "b", "c")}


def steps(of: pb.FleetService) -> dict[str, list[dict[str, Any]]]:
    return {step["step"]: step["links"] for step in explained(explanation(of, CLUSTERS))["steps"]}


def test_links_that_differ_in_their_cluster_are_one() -> None:
    found = steps(service("web", ["a"], ["b", "c"]))
    assert list(found) == [
        "Export",
        "Service",
        "Exporting",
        "Importing",
        "Import",
        "Policy",
        "Binding",
        "Work",
        "Member",
    ]
    (importing,) = found["Importing"]
    assert (importing["subject"], importing["clusters"]) == ("imports the service", ["b", "c"])
    assert not any(link["isFirst"] for links in found.values() for link in links)


def test_the_link_that_decides_is_marked() -> None:
    first = broken("Exporting", "ServiceMissing", "Apply the Service.", "a")
    found = steps(service("web", ["b"], ["c"], state="Broken", first=first))
    marked = [(name, link) for name, links in found.items() for link in links if link["isFirst"]]
    assert [(name, link["clusters"], link["reason"], link["text"]) for name, link in marked] == [
        ("Exporting", ["a"], "ServiceMissing", "Apply the Service.")
    ]


def test_every_endpoint_that_some_cluster_sees_is_listed() -> None:
    found = explained(explanation(service("web", ["a", "b"], ["c"]), CLUSTERS))
    assert found["ports"] == [
        {
            "port": "8080/TCP",
            "endpoints": [
                {"key": "default/default/default/a", "address": "10.0.0.1:80/web"},
                {"key": "default/default/default/b", "address": "10.0.0.1:80/web"},
            ],
        }
    ]


def test_an_exporter_that_is_lost_says_until_when() -> None:
    answer = explanation(service("web", ["a"], ["b"]), CLUSTERS)
    answer.exporters[0].lost_since, answer.exporters[0].kept_until = (
        "2026-11-30T05:00:00Z",
        "2026-11-30T05:05:00Z",
    )
    assert explained(answer)["exporters"] == [
        {
            "cluster": "a",
            "key": "default/default/default/a",
            "lostSince": "2026-11-30T05:00:00Z",
            "keptUntil": "2026-11-30T05:05:00Z",
        }
    ]


def test_a_traffic_policy_has_its_targets_and_doubts() -> None:
    answer = explanation(service("web", ["a"], ["b"]), CLUSTERS)
    assert explained(answer)["traffic"] is None
    answer.traffic_policy.CopyFrom(
        TrafficPolicyState(
            lb_type="ActiveActive",
            targets=[TrafficPolicyTarget(cluster_key="x", weight=3), TrafficPolicyTarget(cluster_key="y")],
            conditions=[Condition(type="Resolved", status="False", reason="Unknown", message="No such key.")],
        )
    )
    traffic = explained(answer)["traffic"]
    assert (traffic["lbType"], traffic["targets"]) == (
        "ActiveActive",
        [{"key": "x", "weight": 3}, {"key": "y", "weight": None}],
    )
    assert traffic["conditions"][0]["text"] == "No such key."


def test_the_marked_link_is_the_right_one_of_several() -> None:
    answer = explanation(service("web", ["a"], ["b"]), CLUSTERS)
    other = Link(step="Member", subject="s", state="Broken", cluster="a", reason="R", text="first")
    answer.chain.extend(
        [other, Link(step="Member", subject="s", state="Broken", cluster="a", reason="R", text="2")]
    )
    answer.first.CopyFrom(other)
    links = [link for step in explained(answer)["steps"] for link in step["links"] if link["isFirst"]]
    assert [link["text"] for link in links] == ["first"]
