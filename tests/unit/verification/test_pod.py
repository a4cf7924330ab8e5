"""The pod that makes the calls, and what its cluster reports of it."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.setup.data_path import IMAGE, data_path_objects
from towpath.verification import pod
from towpath.verification.pod import Limits


def test_the_pod_ends_by_itself_and_has_no_rights() -> None:
    made = pod.pod("ns", "image", ["GET x /"], Limits(5, 65))

    spec, (container,) = made["spec"], made["spec"]["containers"]
    assert (spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("Never", 65)
    assert (spec["automountServiceAccountToken"], spec["securityContext"]["runAsNonRoot"]) == (False, True)
    assert container["command"][0] == "python"
    compile(container["command"][2], "probe", "exec")
    assert (container["command"][3], container["args"]) == ("5", ["GET x /"])


def test_the_image_is_that_of_the_data_path() -> None:
    (found,) = (obj for obj in data_path_objects() if obj["kind"] == "DaemonSet")
    assert (found["metadata"]["namespace"], found["metadata"]["name"]) == pod.DATA_PATH
    assert pod.image_of(found) == IMAGE


WAITING = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
UNSCHEDULED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available.",
}


@pytest.mark.parametrize(
    ("status", "started", "over", "why"),
    [
        ({"phase": "Running"}, True, False, "The pod is Running"),
        ({"phase": "Succeeded"}, True, True, "The pod is Succeeded"),
        (
            {"phase": "Failed", "reason": "DeadlineExceeded", "message": "Too long."},
            True,
            True,
            "DeadlineExceeded: Too long",
        ),
        ({"phase": "Pending"}, False, False, "The pod is Pending"),
        (
            {"phase": "Pending", "conditions": [UNSCHEDULED]},
            False,
            False,
            "Unschedulable: 0/1 nodes are available",
        ),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": WAITING}}]},
            False,
            False,
            "ImagePullBackOff: Back-off pulling image",
        ),
        (
            {
                "phase": "Pending",
                "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}],
            },
            False,
            False,
            "The pod is Pending",
        ),
    ],
)
def test_what_a_pod_does(status: dict[str, Any], started: bool, over: bool, why: str) -> None:
    found = {"status": status}
    assert (pod.is_started(found), pod.is_over(found)) == (started, over)
    assert pod.why_not_running(found) == why


def test_a_node_must_be_ready() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    late = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    assert pod.any_ready([late, ready])
    assert not pod.any_ready([late])
    assert not pod.any_ready([])
