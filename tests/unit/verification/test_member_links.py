"""The links that only exporting members know."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.derivation.chain import Link, LinkState, Step
from towpath.verification.member_links import MemberEvidence, member_links, with_member_links

OK, BROKEN = LinkState.OK, LinkState.BROKEN


def endpoint_slice(*ready: bool | None, by: str = "endpointslice-controller.k8s.io") -> dict[str, Any]:
    labels = {"endpointslice.kubernetes.io/managed-by": by}
    return {"metadata": {"labels": labels}, "endpoints": [{"conditions": {"ready": each}} for each in ready]}


@pytest.mark.parametrize(
    ("slices", "state"),
    [
        ([endpoint_slice(False), endpoint_slice(False, True)], OK),
        ([endpoint_slice(None)], OK),
        ([endpoint_slice(False)], BROKEN),
        ([endpoint_slice()], BROKEN),
        ([endpoint_slice(False), endpoint_slice(True, by="net.towpath.io")], BROKEN),
        ([endpoint_slice(True, by="net.towpath.io")], None),
        ([], None),
    ],
)
def test_an_exporter_needs_a_ready_pod(slices: list[dict[str, Any]], state: LinkState | None) -> None:
    """What the data path publishes is no pod. Without any slice nothing in the member publishes pods."""
    found = member_links([MemberEvidence("a", slices)])

    assert [(link.step, link.cluster, link.state) for link in found] == (
        [] if state is None else [(Step.PODS, "a", state)]
    )
    assert [link.reason for link in found if link.state is BROKEN] == ["NoReadyPod"] * (state is BROKEN)


@pytest.mark.parametrize(
    ("data_path", "agent", "state"),
    [
        (True, {"status": {"numberReady": 1}}, OK),
        (True, {"status": {"numberReady": 0}}, BROKEN),
        (True, None, BROKEN),
        (False, None, None),
    ],
)
def test_a_gateway_needs_a_ready_agent(
    data_path: bool, agent: dict[str, Any] | None, state: LinkState | None
) -> None:
    found = member_links([MemberEvidence("a", (), data_path, agent)])

    assert [(link.step, link.state) for link in found] == ([] if state is None else [(Step.GATEWAY, state)])


def test_a_member_that_is_not_read_says_so() -> None:
    (link,) = member_links([MemberEvidence("a", data_path=True, problem="403: no.")])

    assert (link.state, link.reason, link.cluster) == (LinkState.LEFT_OUT, "NotRead", "a")
    assert link.text.startswith("403: no: The cluster cannot be read")


def test_what_is_read_of_pods_is_newer_than_what_is_reported() -> None:
    reported = [
        Link(Step.NAME, "x", cluster="a"),
        *(Link(Step.PODS, "reported", BROKEN, name) for name in "abc"),
        Link(Step.GATEWAY, "reported", BROKEN, "a"),
    ]
    read = [
        MemberEvidence("a", [endpoint_slice(True)], data_path=True),
        MemberEvidence("b", [endpoint_slice(False)]),
        MemberEvidence("c", problem="403: no."),
    ]
    found = with_member_links(reported, read)
    assert [(link.step, link.cluster, link.subject == "reported") for link in found] == [
        (Step.NAME, "a", False),
        (Step.PODS, "a", False),
        (Step.PODS, "b", False),
        (Step.PODS, "c", False),
        (Step.PODS, "c", True),
        (Step.GATEWAY, "a", False),
        (Step.GATEWAY, "a", True),
    ]
