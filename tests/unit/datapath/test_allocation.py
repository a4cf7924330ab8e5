"""Listener ports and paths: given once, kept, and the same for all agents."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.support.members import export, key, serving
from towpath.datapath.allocation import Allocation, ImportedPort, PathClaim, allocate_ports, merged
from towpath.datapath.derive import derive
from towpath.datapath.world import Settings, World

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
        assert {one: given_ports[one] for one in still} == {one: before[one] for one in still}


def test_too_many_leave_the_last_without() -> None:
    found = allocate_ports(PORTS, {}, FIRST, COUNT)
    assert list(found) == PORTS[:COUNT]
    assert allocate_ports(PORTS[4:12], found, FIRST, COUNT).keys() == set(PORTS[4:12])


@given(some_ports, some_ports)
def test_agents_that_saw_different_things_agree(one: list[ImportedPort], other: list[ImportedPort]) -> None:
    stored = Allocation(allocate_ports(one[: COUNT // 2], {}, FIRST, COUNT))
    ours = Allocation(allocate_ports(other[: COUNT // 2], {}, FIRST, COUNT))
    found = merged(stored, ours)
    assert found.ports.items() >= stored.ports.items()
    assert len(set(found.ports.values())) == len(found.ports)


def test_what_is_stored_and_cannot_be_is_mended() -> None:
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
    who, known = holder(world, Allocation())
    assert who == "late"
    # An older export that claims it now does not get it, whatever it is called.
    both = serving(early, export("/web/", created="2026-01-01T00:00:00Z"), "10.0.0.2", world=world)
    assert holder(both, known)[0] == "late"
    # Where nobody has it, the older one does.
    assert holder(both, Allocation())[0] == "early"
    # It is free when its holder goes, or claims something else.
    assert holder(replace(both, exports={early: both.exports[early]}), known)[0] == "early"
    moved = replace(both, exports={**both.exports, late: export("/elsewhere")})
    assert holder(moved, known)[0] == "early"
    # A rule that names no port of its Service claims nothing.
    portless = replace(both, exports={**both.exports, late: export("/web", port=81)})
    assert holder(portless, known)[0] == "early"
