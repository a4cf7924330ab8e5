"""Services that imports bring along: what of them is left in clusters that only import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest

from tests.support.worlds import KEY
from towpath.derivation.brought import BroughtService, service_override
from towpath.model.ownership import is_derived

PORT = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "appProtocol": "http"}
SELECTOR = {"app": "web"}
PLAIN = {"type": "ClusterIP", "ports": [PORT], "selector": SELECTOR}


def brought(
    spec: Mapping[str, Any],
    *,
    own: Iterable[str] = (),
    there: Iterable[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> BroughtService:
    template = {"metadata": {"name": "web", "annotations": annotations or {}}, "spec": spec}
    return BroughtService("u", msgspec.json.encode(template), frozenset(own), frozenset(there))


def rule(service: BroughtService, *importers: str) -> dict[str, Any]:
    override = service_override(KEY, service, importers)
    assert override is not None
    (found,) = override["spec"]["overrideRules"]
    return dict(found)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"type": "NodePort", "ports": [{**PORT, "nodePort": 30090}], "externalTrafficPolicy": "Local"},
        {
            "type": "LoadBalancer",
            "ports": [{**PORT, "nodePort": 30090}],
            "loadBalancerIP": "10.0.0.1",
            "loadBalancerClass": "cloud",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "allocateLoadBalancerNodePorts": True,
            "healthCheckNodePort": 30091,
        },
        {"externalIPs": ["10.0.0.1"]},
        {
            "clusterIP": "None",
            "clusterIPs": ["None"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
        },
        {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]},
    ],
    ids=["plain", "NodePort", "LoadBalancer", "external address", "headless", "address of Karmada"],
)
def test_of_any_type_it_is_a_plain_cluster_ip(more: Mapping[str, Any]) -> None:
    overriders = rule(brought({**PLAIN, **more}), "b")["overriders"]

    assert overriders == {"plaintext": [{"path": "/spec", "operator": "replace", "value": PLAIN}]}


def test_what_does_not_concern_the_type_stays() -> None:
    kept = {
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
        "internalTrafficPolicy": "Local",
        "trafficDistribution": "PreferClose",
        "publishNotReadyAddresses": True,
    }

    (plain,) = rule(brought({**PLAIN, **kept}), "b")["overriders"]["plaintext"]

    assert plain["value"] == {**PLAIN, **kept}


def test_annotations_that_controllers_act_on_are_taken_off() -> None:
    cloud = {
        "service.beta.kubernetes.io/aws-load-balancer-type": "nlb",
        "cloud.google.com/neg": "{}",
        "metallb.io/address-pool": "public",
        "external-dns.alpha.kubernetes.io/hostname": "web.example.com",
    }
    other = {"service.kubernetes.io/topology-mode": "Auto", "example.com/owner": "shop"}

    overriders = rule(brought(PLAIN, annotations={**cloud, **other}), "b")["overriders"]

    (removed,) = overriders["annotationsOverrider"]
    assert (removed["operator"], removed["value"].keys()) == ("remove", cloud.keys())


@pytest.mark.parametrize(
    ("own", "there", "importers", "changed"),
    [
        ((), (), ("b", "c"), ["b", "c"]),
        (("a", "c"), (), ("b", "c"), ["b"]),
        (("a",), ("b",), (), ["b"]),
        (("a",), ("b", "c"), ("c",), ["b", "c"]),
    ],
    ids=["two importers", "it keeps its type in exporters", "it is about to leave", "it leaves one"],
)
def test_it_is_changed_where_it_is_by_the_import_alone(
    own: Iterable[str], there: Iterable[str], importers: Iterable[str], changed: list[str]
) -> None:
    found = rule(brought(PLAIN, own=own, there=there), *importers)

    assert found["targetCluster"] == {"clusterNames": changed}


def test_no_policy_names_no_cluster() -> None:
    assert service_override(KEY, brought(PLAIN, own=["a", "b"], there=["b"]), ["a", "b"]) is None


def test_the_policy_is_recognized_and_belongs_to_the_service() -> None:
    override = service_override(KEY, brought(PLAIN), ["b"])

    assert override is not None
    assert is_derived(override)
    assert [owner["kind"] for owner in override["metadata"]["ownerReferences"]] == ["Service"]
