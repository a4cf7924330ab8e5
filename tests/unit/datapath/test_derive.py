"""Properties of the whole: the same world gives the same result, and no object affects another one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.member_worlds import Item, items, world
from tests.support.members import export, gateway, imported, key, pods, policy, service, serving, using
from tests.support.strategies import FEW
from towpath.datapath.allocation import Allocation
from towpath.datapath.derive import Derived, derive
from towpath.datapath.envoy import Kind
from towpath.datapath.problem import ProblemReason
from towpath.datapath.world import PROXIES, ServiceName, Settings, Slice, SliceEndpoint, World
from towpath.net.messages import encode

SETTINGS = Settings("cluster-1")
NAME = ServiceName("shop", "web")
GATEWAY = gateway("c1", "10.0.0.1")
seeds = st.integers(0, 1 << 32)
UNROUTABLE = (
    *("0.0.0.9", "0.1.2.3", "127.0.0.1", "127.255.0.9", "169.254.1.1", "169.254.169.254"),
    *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fd00:ec2::254", "fe80::1%eth0"),
)


@pytest.mark.parametrize("address", UNROUTABLE)
def test_a_gateway_that_leads_nowhere_is_left_out(address: str) -> None:
    """And named: the others stay."""
    both = using(key(), imported(gateway("c1", "10.0.0.1"), gateway("c2", address)))
    alone = using(key(), imported(gateway("c1", "10.0.0.1")))
    derived = derive(both, Allocation(), SETTINGS)

    assert derived.resources == derive(alone, Allocation(), SETTINGS).resources
    [problem] = map(str, derived.problems)
    field = "ServiceImport shop/web: spec.ports[port=80].endpoints[1].target.ip"
    assert problem == f"{field}: {address!r} is not the IP address of a gateway."


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8", "2001:db8::1", "fd00::1"]
)
def test_a_gateway_may_have_any_other_address(address: str) -> None:
    derived = derive(using(key(), imported(gateway("c1", address))), Allocation(), SETTINGS)

    assert derived.problems == ()


@pytest.mark.parametrize(
    ("bind", "used"), [("127.0.0.9", True), ("::1", True), ("10.0.0.9", False), ("x", False)]
)
def test_a_proxy_on_loopback_may_have_gateways_there(bind: str, used: bool) -> None:
    local = replace(SETTINGS, bind=bind)
    derived = derive(using(key(), imported(gateway("c1", "127.0.0.1"))), Allocation(), local)

    assert (derived.problems == ()) is used


def result(derived: Derived) -> tuple[object, ...]:
    return derived.resources, derived.slices, derived.problems, derived.allocation


def step_by_step(objects: list[Item]) -> Derived:
    derived = Derived()
    for count in range(1, len(objects) + 1):
        derived = derive(world(objects[:count]), derived.allocation, SETTINGS, derived)
    return derived


@FEW
@given(seeds)
def test_any_order_of_events_gives_the_same(seed: int) -> None:
    objects = items(Random(seed))
    known = derive(world(objects), Allocation(), SETTINGS).allocation
    derived = derive(world(objects), known, SETTINGS)
    assert result(derived) == result(derive(world(reversed(objects)), known, SETTINGS))
    last = step_by_step(objects)
    assert result(derive(world(objects), known, SETTINGS, last)) == result(derived)


@FEW
@given(seeds, seeds)
def test_reusing_the_last_result_changes_nothing(seed: int, other: int) -> None:
    before, after = items(Random(seed)), items(Random(other))
    kept = [*before[: len(before) // 2], *after[len(after) // 2 :]]
    last = derive(world(before), Allocation(), SETTINGS)
    anew = derive(world(kept), last.allocation, SETTINGS)
    assert result(derive(world(kept), last.allocation, SETTINGS, last)) == result(anew)


@FEW
@given(seeds)
def test_all_resources_are_known_to_envoy(seed: int) -> None:
    derived = derive(world(items(Random(seed))), Allocation(), SETTINGS)
    for kind, resources in derived.resources.items():
        for body in resources.values():
            encode(kind, body)
    clusters = derived.resources[Kind.CLUSTER].keys()
    assert clusters == derived.resources[Kind.ENDPOINTS].keys()
    assert derived.resources[Kind.ROUTES].keys() <= derived.resources[Kind.LISTENER].keys()
    ports = [
        listener["address"]["socket_address"]["port_value"]
        for listener in derived.resources[Kind.LISTENER].values()
    ]
    assert len(set(ports)) == len(ports)


@FEW
@given(seeds)
def test_another_namespace_changes_nothing(seed: int) -> None:
    objects = items(Random(seed))

    def of(namespace: str, derived: Derived) -> object:
        prefix = f"egress/{namespace}/"
        resources = {
            (kind, name): body
            for kind, found in derived.resources.items()
            for name, body in found.items()
            if name.startswith((prefix, f"ingress/{namespace}/"))
        }
        return resources, {n: s for n, s in derived.slices.items() if n.namespace == namespace}

    everything = derive(world(objects), Allocation(), SETTINGS)
    alone = world(
        obj for obj in objects if obj.key[0] != "bank" and getattr(obj.key, "namespace", "") != "bank"
    )
    held = {c: k for c, k in everything.allocation.paths.items() if k.namespace == "shop"}
    found = derive(alone, Allocation(everything.allocation.ports, held), SETTINGS)
    theirs = {name for name in everything.exports if name.namespace == "shop"}
    lost = {p.key for p in everything.problems if p.key in theirs and "has this path already" in p.message}
    if not lost:
        assert of("shop", found) == of("shop", everything)


def proxies(*nodes: str, ready: bool = True) -> Slice:
    endpoints = tuple(SliceEndpoint(f"10.2.0.{n}", ready, ready, node) for n, node in enumerate(nodes, 1))
    return Slice(PROXIES.name, "IPv4", (), endpoints)


def addresses(world: World) -> list[str]:
    return [e.address for e in derive(world, Allocation(), SETTINGS).slices[NAME].endpoints]


def test_a_service_leads_to_proxies_while_its_policy_says_so() -> None:
    world = using(key(), imported(GATEWAY), policy("FailOver", "c1"))
    with_proxies = replace(world, slices={PROXIES: {"x": proxies("b", "a")}})
    assert addresses(with_proxies) == ["10.2.0.1", "10.2.0.2"]
    with_pods = replace(with_proxies, slices={**with_proxies.slices, NAME: {"y": pods("web", "10.1.0.1")}})
    assert addresses(with_pods) == []
    unready = {"y": pods("web", "10.1.0.1", ready=False)}
    assert addresses(replace(with_pods, slices={**with_pods.slices, NAME: unready})) == [
        "10.2.0.1",
        "10.2.0.2",
    ]
    # An agent that is restarted makes its pod unready: its Envoy serves all the same.
    restarting = replace(world, slices={PROXIES: {"x": proxies("a", ready=False)}})
    assert addresses(restarting) == ["10.2.0.1"]


def test_a_proxy_is_no_pod_of_the_service() -> None:
    exported = serving(key(), export(), "10.1.0.1")
    both = using(key(), imported(GATEWAY), policy("ActiveActive"), world=exported, own=service())
    ours = pods("web", "10.9.9.9")._replace(published=True)
    world = replace(both, slices={NAME: {**both.slices[NAME], "towpath-web": ours}})
    endpoints = derive(world, Allocation(), SETTINGS).resources[Kind.ENDPOINTS]["ingress/shop/web:80"]
    assert "10.9.9.9" not in str(endpoints)
    assert "10.1.0.1" in str(endpoints)


@pytest.mark.parametrize(
    ("namespace", "name"), [("default", "kubernetes"), ("kube-system", "kube-dns"), PROXIES]
)
def test_services_of_the_cluster_itself_are_left_alone(namespace: str, name: str) -> None:
    own = key(name, namespace)
    exported = serving(own, export("/api"), "10.1.0.1", world=serving(key(), export(), "10.1.0.2"))
    world = using(own, imported(GATEWAY), policy("ActiveActive"), world=exported)
    derived = derive(
        replace(world, slices={**world.slices, PROXIES: {"x": proxies("a")}}), Allocation(), SETTINGS
    )
    assert derived.slices == {}
    assert list(derived.exports) == [key()]
    assert [(p.kind, p.reason) for p in derived.problems] == [
        ("ServiceExport", ProblemReason.RESERVED),
        ("ServiceImport", ProblemReason.RESERVED),
    ]


@pytest.mark.parametrize("address", ["168.63.129.16", "100.100.100.200", "fd00:ec2::254", "169.254.169.254"])
def test_pods_at_addresses_with_credentials_are_left_out(address: str) -> None:
    world = serving(key(), export(), address, "10.1.0.1")
    endpoints = derive(world, Allocation(), SETTINGS).resources[Kind.ENDPOINTS]["ingress/shop/web:80"]
    assert address not in str(endpoints)
    assert "10.1.0.1" in str(endpoints)
