"""Properties of the whole: the same world gives the same result, and no object affects another one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.support.member_worlds import Item, items, world
from tests.support.members import export, gateway, imported, key, pods, policy, service, serving, using
from tests.support.strategies import FEW
from towpath.datapath.allocation import Allocation
from towpath.datapath.derive import Derived, derive
from towpath.datapath.envoy import Kind
from towpath.datapath.world import PROXIES, ServiceName, Settings, Slice, SliceEndpoint, World
from towpath.net.messages import encode

SETTINGS = Settings("cluster-1")
NAME = ServiceName("shop", "web")
GATEWAY = gateway("c1", "10.0.0.1")
seeds = st.integers(0, 1 << 32)


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
    one = derive(world(objects), known, SETTINGS)
    assert result(one) == result(derive(world(reversed(objects)), known, SETTINGS))
    last = step_by_step(objects)
    assert result(derive(world(objects), known, SETTINGS, last)) == result(one)


@FEW
@given(seeds, seeds)
def test_what_is_taken_from_the_last_result_changes_nothing(seed: int, other: int) -> None:
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
        one["address"]["socket_address"]["port_value"] for one in derived.resources[Kind.LISTENER].values()
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
        one for one in objects if one.key[0] != "bank" and getattr(one.key, "namespace", "") != "bank"
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


def addresses(one: World) -> list[str]:
    return [e.address for e in derive(one, Allocation(), SETTINGS).slices[NAME].content.endpoints]


def test_a_service_leads_to_proxies_while_its_policy_says_so() -> None:
    one = using(key(), imported(GATEWAY), policy("FailOver", "c1"))
    with_proxies = replace(one, slices={PROXIES: {"x": proxies("b", "a")}})
    assert addresses(with_proxies) == ["10.2.0.1", "10.2.0.2"]
    with_pods = replace(with_proxies, slices={**with_proxies.slices, NAME: {"y": pods("web", "10.1.0.1")}})
    assert addresses(with_pods) == []
    unready = {"y": pods("web", "10.1.0.1", ready=False)}
    assert addresses(replace(with_pods, slices={**with_pods.slices, NAME: unready})) == [
        "10.2.0.1",
        "10.2.0.2",
    ]
    # An agent that is restarted makes its pod unready: its Envoy serves all the same.
    restarting = replace(one, slices={PROXIES: {"x": proxies("a", ready=False)}})
    assert addresses(restarting) == ["10.2.0.1"]


def test_a_proxy_is_no_pod_of_the_service() -> None:
    exported = serving(key(), export(), "10.1.0.1")
    both = using(key(), imported(GATEWAY), policy("ActiveActive"), world=exported, own=service())
    ours = pods("web", "10.9.9.9")._replace(published=True)
    one = replace(both, slices={NAME: {**both.slices[NAME], "towpath-web": ours}})
    endpoints = derive(one, Allocation(), SETTINGS).resources[Kind.ENDPOINTS]["ingress/shop/web:80"]
    assert "10.9.9.9" not in str(endpoints)
    assert "10.1.0.1" in str(endpoints)
