"""What the data path is in a member: pinned, confined, and all of it brought by one policy."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.datapath.derive import GATEWAY_PORT_NAME
from towpath.datapath.world import Settings
from towpath.local.nodes.envoy import envoy_image
from towpath.local.nodes.machine import GATEWAY_NODE_PORT
from towpath.model.cluster import DATA_PATH_LABEL, DATA_PATH_NET
from towpath.model.manifest import load
from towpath.net.draining import NOTICE_SECONDS
from towpath.setup.assets import deployed
from towpath.setup.data_path import IMAGE, data_path_objects

OBJECTS = list(data_path_objects())
DAEMON_SET = next(obj for obj in OBJECTS if obj["kind"] == "DaemonSet")["spec"]
POD = DAEMON_SET["template"]["spec"]
AGENT, ENVOY = POD["containers"]
POLICY = next(obj for obj in OBJECTS if obj["kind"] == "ClusterPropagationPolicy")


def identity(obj: dict[str, Any]) -> tuple[str, str, str, str]:
    meta = obj.get("metadata", obj)
    return obj["apiVersion"], obj["kind"], meta.get("namespace", ""), meta["name"]


def test_one_policy_selects_all_that_goes_to_members() -> None:
    brought = {
        identity(obj) for obj in load(deployed("datapath") / "agent.yaml") if obj["kind"] != "Namespace"
    }

    assert {identity(selector) for selector in POLICY["spec"]["resourceSelectors"]} == brought


def test_the_policy_selects_members_by_the_label() -> None:
    affinity = POLICY["spec"]["placement"]["clusterAffinity"]

    assert affinity == {"labelSelector": {"matchLabels": {DATA_PATH_LABEL: DATA_PATH_NET}}}


def test_the_images_are_the_ones_of_this_version() -> None:
    images = {container["name"]: container["image"] for container in POD["containers"]}

    assert images == {"agent": IMAGE, "envoy": envoy_image()}


def test_another_image_of_the_agent_can_be_named() -> None:
    (found,) = (obj for obj in data_path_objects("shop/towpath:v2") if obj["kind"] == "DaemonSet")
    images = [container["image"] for container in found["spec"]["template"]["spec"]["containers"]]

    assert images == ["shop/towpath:v2", envoy_image()]


@pytest.mark.parametrize("container", POD["containers"], ids=lambda found: found["name"])
def test_a_container_is_confined(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_pod_has_no_root_and_not_the_network_of_its_node() -> None:
    assert POD["securityContext"]["runAsNonRoot"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD.keys()
    assert not [volume for volume in POD["volumes"] if "hostPath" in volume]


def test_an_update_starts_a_pod_before_the_last_one_ends() -> None:
    assert DAEMON_SET["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert not [port for container in POD["containers"] for port in container["ports"] if "hostPort" in port]


def test_envoy_is_stopped_after_its_drain_and_before_the_pod() -> None:
    drain = int(AGENT["args"][AGENT["args"].index("--drain") + 1])
    stop = ENVOY["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert 2 * NOTICE_SECONDS < drain < stop < POD["terminationGracePeriodSeconds"]
    assert "lifecycle" not in AGENT


def test_the_agents_know_the_service_of_the_gateway() -> None:
    name = Settings("cluster-1").gateway
    (found,) = (obj for obj in OBJECTS if obj["kind"] == "Service" and identity(obj)[2:] == name)
    (port,) = found["spec"]["ports"]

    assert "selector" not in found["spec"]
    assert port["name"] == GATEWAY_PORT_NAME
    assert port["nodePort"] == GATEWAY_NODE_PORT
