"""Listener ports and paths: given once, kept, and the same for all agents."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.support.members import export, gateway, imported, key, serving, using
from towpath.datapath.allocation import (
    Allocation,
    ImportedPort,
    PathClaim,
    allocate_ports,
    merged,
    recorded,
)
from towpath.datapath.derive import derive
from towpath.datapath.world import Settings, World
from towpath.net.allocation_store import data_of

FIRST, COUNT = 20000, 8
PORTS = [ImportedPort("shop", name, 80) for name in "abcdefghijklmnop"]
some_ports = st.lists(st.sampled_from(PORTS), unique=True, max_size=COUNT)
SETTINGS = Settings("cluster-1")
WEB = PathClaim("/web", "Prefix")


@given(st.lists(some_ports, min_size=1, max_size=6))
def test_no_port_twice_and_none_ever_changes(history: list[list[ImportedPort]]) -> None:
    given_ports: dict[ImportedPort, int] = {}
    for wanted in history:
        before, given_ports = given_ports, allocate_ports(wanted, given_ports, FIRST, COUNT)
        assert set(wanted) <= given_ports.keys()
        assert len(set(given_ports.values())) == len(given_ports)
        assert all(FIRST <= port < FIRST + COUNT for port in given_ports.values())
        still = set(before) & set(wanted)
        assert {port: given_ports[port] for port in still} == {port: before[port] for port in still}


TENANTS = [ImportedPort(place, name, 80) for place in ("a", "b", "c") for name in "klmnopqr"]
histories = st.lists(st.sets(st.sampled_from(TENANTS)), min_size=1, max_size=5)


@given(histories)
def test_each_namespace_has_its_share_of_ports(history: list[set[ImportedPort]]) -> None:
    """Whatever the others take, before or after it."""
    given_ports: dict[ImportedPort, int] = {}
    for wanted in history:
        before, given_ports = given_ports, allocate_ports(wanted, given_ports, FIRST, COUNT)
        places = {
            key.namespace: {port for port in wanted if port.namespace == key.namespace} for key in wanted
        }
        for keys in places.values():
            served = keys & given_ports.keys()
            assert len(served) >= min(len(keys), COUNT // len(places))
            assert served == keys or len(wanted & given_ports.keys()) == COUNT
            # What it has stays, and only what is beyond its share goes.
            had = keys & before.keys()
            assert had <= served or served <= had
        assert {given_ports[key] for key in wanted & before.keys() & given_ports.keys()} == {
            before[key] for key in wanted & before.keys() & given_ports.keys()
        }
        assert allocate_ports(wanted, given_ports, FIRST, COUNT) == given_ports
        assert len(set(given_ports.values())) == len(given_ports) <= COUNT


def test_what_is_beyond_a_share_is_a_problem() -> None:
    """One namespace has taken all ports before another one imports anything."""
    settings = Settings("cluster-1", first_port=FIRST, ports=COUNT)
    world = World()
    for name in "abcdefghij":
        world = using(key(name), imported(gateway("c1", "10.0.0.1")), world=world)
    greedy = derive(world, Allocation(), settings)
    beside = using(key("web", namespace="bank"), imported(gateway("c1", "10.0.0.1")), world=world)
    derived = derive(beside, greedy.allocation, settings)

    assert [str(problem) for problem in greedy.problems] == [
        f"ServiceImport shop/{name}: spec.ports[port=80]: All listener ports are in use, and the namespace "
        "has its share of them. Give the agent a larger range, or import fewer ports into the namespace."
        for name in "ij"
    ]
    assert ImportedPort("bank", "web", 80) in derived.allocation.ports
    assert [problem.key.name for problem in derived.problems] == ["h", "i", "j"]


def test_too_many_leave_the_last_without() -> None:
    found = allocate_ports(PORTS, {}, FIRST, COUNT)
    assert list(found) == PORTS[:COUNT]
    assert allocate_ports(PORTS[4:12], found, FIRST, COUNT).keys() == set(PORTS[4:12])


@given(some_ports, some_ports)
def test_agents_that_saw_different_things_agree(
    first: list[ImportedPort], second: list[ImportedPort]
) -> None:
    stored = Allocation(allocate_ports(first[: COUNT // 2], {}, FIRST, COUNT))
    ours = Allocation(allocate_ports(second[: COUNT // 2], {}, FIRST, COUNT))
    found = merged(stored, ours)
    assert found.ports.items() >= stored.ports.items()
    assert len(set(found.ports.values())) == len(found.ports)


def test_a_damaged_stored_certificate_is_replaced() -> None:
    a, b, c = PORTS[:3]
    found = allocate_ports([a, b, c], {a: FIRST, b: FIRST, c: 80}, FIRST, COUNT)
    assert found[a] == FIRST
    assert len(set(found.values())) == 3
    assert min(found.values()) >= FIRST


def holder(world: World, known: Allocation) -> tuple[str, Allocation]:
    allocation = derive(world, known, SETTINGS).allocation
    return allocation.paths[WEB].namespace, allocation


def test_a_path_stays_with_the_export_that_has_it() -> None:
    late, early = key(namespace="late"), key(namespace="early")
    world = serving(late, export("/web", created="2026-01-02T00:00:00Z"), "10.0.0.1")
    owner, known = holder(world, Allocation())
    assert owner == "late"
    # An older export that claims it now does not get it, whatever it is called.
    both = serving(early, export("/web/", created="2026-01-01T00:00:00Z"), "10.0.0.2", world=world)
    assert holder(both, known)[0] == "late"
    # Where no export has it, the older one gets it.
    assert holder(both, Allocation())[0] == "early"
    # It is free when its holder goes, or claims something else.
    assert holder(replace(both, exports={early: both.exports[early]}), known)[0] == "early"
    moved = replace(both, exports={**both.exports, late: export("/elsewhere")})
    assert holder(moved, known)[0] == "early"
    # A rule that names no port of its Service claims nothing.
    portless = replace(both, exports={**both.exports, late: export("/web", port=81)})
    assert holder(portless, known)[0] == "early"


def test_no_tenant_makes_the_allocation_too_large_to_keep() -> None:
    """An apiserver refuses a ConfigMap of more than 1 MiB: then nothing of anybody would be kept."""
    ours = Allocation({PORTS[0]: FIRST}, {WEB: key()})
    flood = {PathClaim(f"/{number}/".ljust(511, '"'), "Prefix"): key("x", "evil") for number in range(3000)}
    ports = {
        ImportedPort("evil", f"{number}".rjust(63, "x"), 80): FIRST + number for number in range(1, 9000)
    }
    kept = recorded(Allocation({**ours.ports, **ports}, {**ours.paths, **flood}))
    assert 500_000 < sum(map(len, data_of(kept).values())) < 1 << 20
    assert kept.ports.items() >= ours.ports.items()
    assert kept.paths.items() >= ours.paths.items()
    assert recorded(kept) == kept
    assert recorded(ours) == ours
