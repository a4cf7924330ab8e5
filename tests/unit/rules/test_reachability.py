"""What becomes of the endpoints of clusters that Karmada has lost."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import FEW, worlds
from tests.support.worlds import (
    HEADLESS,
    WEB,
    derived,
    endpoints,
    export,
    key_of,
    member,
    offered,
    port,
    reasons,
    service,
    world,
)
from towpath.derivation.derive import Derived, derive
from towpath.derivation.warnings import advise
from towpath.model.cluster import Fleet, Member
from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.service import Service, ServicePort
from towpath.model.world import Offer, World
from towpath.rules.reachability import DEFAULT_GRACE, KEEP, Standing, grace, standing
from towpath.rules.reasons import Advice, ExclusionReason

NOW = 10_000.0
"""Seconds since 1970; what is lost is lost so and so long before."""

GRACES: list[tuple[str, float | None]] = [
    ("", DEFAULT_GRACE),
    ("  ", DEFAULT_GRACE),
    ("Keep", KEEP),
    (" Keep ", KEEP),
    ("Withdraw", 0.0),
    ("WithdrawAfter=90s", 90.0),
    ("WithdrawAfter=5m", 300.0),
    ("WithdrawAfter=1h30m", 5400.0),
    ("WithdrawAfter=1.5m", 90.0),
    ("WithdrawAfter=500ms", 0.5),
    ("WithdrawAfter=1h2m3s4ms", 3723.004),
    ("WithdrawAfter= 5m ", 300.0),
    ("WithdrawAfter=0s", 0.0),
    ("keep", None),
    ("Withdrawn", None),
    ("WithdrawAfter", None),
    ("WithdrawAfter=", None),
    ("WithdrawAfter=5", None),
    ("WithdrawAfter=-5m", None),
    ("WithdrawAfter=5 m", None),
    ("WithdrawAfter=5M", None),
    ("WithdrawAfter=m", None),
    ("WithdrawAfter=5mx", None),
    ("WithdrawAfter=1..5m", None),
    ("WithdrawAfter=\u0665m", None),
    ("WithdrawAfter=soon", None),
    ("true", None),
]


@pytest.mark.parametrize(("annotation", "wait"), GRACES)
def test_how_long_a_lost_clusters_endpoints_stay(annotation: str, wait: float | None) -> None:
    assert grace(annotation) == (None if wait is None else pytest.approx(wait))


@given(st.text() | st.from_regex(r"\AWithdrawAfter=[0-9.hms]{0,12}\Z"))
def test_any_annotation_is_a_time_or_unreadable(annotation: str) -> None:
    wait = grace(annotation)

    assert wait is None or wait >= 0


A, B, C = "a", "b", "c"


@pytest.mark.parametrize(
    ("lost", "wait", "withdrawn", "look_again"),
    [
        pytest.param({A: None, B: None}, 60, "", None, id="nobody is lost"),
        pytest.param({A: 10, B: None}, KEEP, "", None, id="lost ones are kept"),
        pytest.param({A: 61, B: None}, 60, "a", None, id="one is lost for longer"),
        pytest.param({A: 60, B: None}, 60, "a", None, id="exactly as long"),
        pytest.param({A: 59, B: None}, 60, "", 1, id="not yet, but soon"),
        pytest.param({A: 0, B: None}, 0, "a", None, id="at once"),
        pytest.param({A: 59, B: 30, C: None}, 60, "", 1, id="the next one counts"),
        pytest.param({A: 70, B: 30, C: None}, 60, "a", 30, id="one by one"),
        pytest.param({A: 70, B: 80, C: None}, 60, "ab", None, id="all but one"),
        pytest.param({A: 999}, 60, "", None, id="the only one is never withdrawn"),
        pytest.param({A: 999}, 0, "", None, id="nor at once"),
        pytest.param({A: 100, B: 50}, 60, "", None, id="all lost within the grace"),
        pytest.param({A: 110, B: 50}, 60, "", None, id="B goes the moment that A's grace ends"),
        pytest.param({A: 999, B: 80}, 60, "a", None, id="B lost later than A's grace"),
        pytest.param({A: 999, B: 20}, 60, "a", None, id="B not even long"),
        pytest.param({A: 999, B: 500, C: 20}, 60, "ab", None, id="in turn, and the last one stays"),
        pytest.param({A: 999, B: 990, C: 980}, 60, "", None, id="all at about the same time"),
        pytest.param({A: 70, B: 70}, 0, "", None, id="all at the same moment"),
        pytest.param({A: 70, B: 69}, 0, "a", None, id="the later of two"),
        pytest.param({A: -5, B: None}, 60, "", 65, id="lost in the future, by another clock"),
    ],
)
def test_the_withdrawn_clusters_and_the_time_to_look_again(
    lost: dict[str, float | None], wait: float, withdrawn: str, look_again: float | None
) -> None:
    """Losses are given in seconds ago, and when to look again in seconds from now."""
    since = {name: None if ago is None else NOW - ago for name, ago in lost.items()}
    later = math.inf if look_again is None else NOW + look_again

    assert standing(since, wait, NOW) == Standing(frozenset(withdrawn), later)


def seen(annotation: str, *, now: float = NOW, **ago: float) -> Derived:
    """Derive a service of a and b; ``ago`` is for how long each cluster has been lost."""
    lost = {name: NOW - ago[name] if name in ago else None for name in (A, B)}
    members = {name: member(name, unreachable_since=since) for name, since in lost.items()}
    members[C] = member(C)
    return derived({A: WEB, B: WEB}, members, now, annotations={WHEN_UNREACHABLE: annotation})


@pytest.mark.parametrize(
    ("annotation", "ago", "stays"),
    [
        ("", 299, True),
        ("", 300, False),
        ("Keep", 1e9, True),
        ("Withdraw", 0, False),
        ("WithdrawAfter=90s", 89, True),
        ("WithdrawAfter=90s", 90, False),
        ("WithdrawAfter=soon", 299, True),
        ("WithdrawAfter=soon", 300, False),
    ],
)
def test_the_export_says_what_becomes_of_a_lost_cluster(annotation: str, ago: float, stays: bool) -> None:
    result = seen(annotation, a=ago)

    assert endpoints(result.views[C]) == {80: [A, B] if stays else [B]}
    assert reasons(result) == ({} if stays else {A: ExclusionReason.UNREACHABLE})


def test_a_cluster_that_is_withdrawn_still_imports() -> None:
    assert endpoints(seen("Withdraw", a=1).views[A]) == {80: [B]}


def test_when_all_are_lost_within_the_grace_none_is_withdrawn() -> None:
    assert seen("", a=9000, b=8750).exporters == (A, B)


def test_of_two_lost_clusters_the_later_one_stays() -> None:
    assert seen("", a=9000, b=8000).exporters == (B,)
    assert reasons(seen("", a=9000, b=8000)) == {A: ExclusionReason.UNREACHABLE}


def test_an_unknown_state_keeps_the_cluster() -> None:
    members = {name: member(name) for name in (A, B)}

    result = derived({A: WEB, B: WEB}, members, NOW, annotations={WHEN_UNREACHABLE: "Withdraw"})

    assert result.exporters == (A, B)


@pytest.mark.parametrize("annotation", ["Withdraw", ""])
def test_only_eligible_clusters_count_as_other_exporters(annotation: str) -> None:
    """A drained cluster, or one without a Service, takes no traffic over."""
    members = {A: member(A, unreachable_since=1.0), B: member(B, drained=True), C: member(C)}
    offers = {A: WEB, B: WEB, C: replace(WEB, service=None)}

    result = derived(offers, members, NOW, annotations={WHEN_UNREACHABLE: annotation})

    assert result.exporters == (A,)


OTHER_PORT = replace(WEB, export=export((81, "/web")), service=service(port(80, "a"), port(81, "b")))
TO_C = replace(WEB, export=export((80, "/web"), targets=(key_of(C),)))


@pytest.mark.parametrize(
    ("lost", "left", "withdrawn"),
    [
        (WEB, WEB, True),
        (TO_C, WEB, True),
        (TO_C, TO_C, True),
        (WEB, TO_C, False),
        (OTHER_PORT, WEB, False),
        (WEB, OTHER_PORT, False),
    ],
)
def test_a_cluster_is_withdrawn_only_if_another_can_replace_it(
    lost: Offer, left: Offer, withdrawn: bool
) -> None:
    members = {A: member(A, unreachable_since=1.0), B: member(B), C: member(C), "d": member("d")}

    result = derived({A: lost, B: left}, members, NOW)

    assert reasons(result) == ({A: ExclusionReason.UNREACHABLE} if withdrawn else {})


OLD, NEW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"


@pytest.mark.parametrize(
    ("other", "oldest"),
    [
        pytest.param(service(port(80, "http"), cluster_ip="None"), port(81, "more"), id="of another type"),
        pytest.param(service(port(80, "web")), port(81, "web"), id="whose port clashes with an older one"),
    ],
)
def test_an_excluded_cluster_replaces_no_other(other: Service, oldest: ServicePort) -> None:
    """Else a port would go from all views, though the cluster that has it would have been kept for less."""
    members = {A: member(A, unreachable_since=1.0), B: member(B), C: member(C), "d": member("d")}
    offers = {
        A: Offer(export((80, "/a")), service(port(80, "http")), created=NEW),
        B: Offer(export((80, "/b")), other, created=NEW),
        C: Offer(export((oldest.port, "/c")), service(oldest), created=OLD),
    }

    assert endpoints(derived(offers, members, NOW).views["d"]) == {81: [C], 80: [A]}


def test_a_replacement_was_there_when_the_grace_ended() -> None:
    lost = {A: NOW - 900, B: None, C: NOW - 100}

    assert standing(lost, 60, NOW, lambda _, others: C in others).withdrawn == {A}
    assert standing(lost, 850, NOW, lambda _, others: C in others).withdrawn == set()
    assert standing(lost, 60, NOW, lambda *_: False) == Standing()
    assert standing({**lost, B: NOW}, 60, NOW, lambda _, others: bool(others - {A})).withdrawn == {A, C}


def test_withdrawing_the_oldest_leaves_the_type_to_the_next() -> None:
    members = {A: member(A, unreachable_since=1.0), B: member(B), C: member(C)}

    result = derived({A: HEADLESS, B: WEB}, members, NOW)

    assert result.exporters == (B,)
    assert reasons(result) == {A: ExclusionReason.UNREACHABLE}
    assert result.views[C].type == "ClusterSetIP"


@pytest.mark.parametrize(("annotation", "wait"), GRACES)
def test_the_author_of_a_meaningless_annotation_is_warned(annotation: str, wait: float | None) -> None:
    exported = offered({A: WEB}, annotations={WHEN_UNREACHABLE: annotation})
    fleet = Fleet({A: member(A)})

    warnings = advise(exported, derive(world(fleet.members, exported)).services[exported.key], fleet)

    assert (Advice.BAD_ANNOTATION in {caution.reason for caution in warnings}) == (wait is None)


def all_ready(world: World) -> World:
    def ready(each: Member) -> Member:
        return each.model_copy(update={"unreachable_since": None})

    return replace(world, members={name: ready(each) for name, each in world.members.items()})


@given(worlds)
@FEW
def test_the_last_exporter_is_never_withdrawn(world: World) -> None:
    without_losses = derive(all_ready(world)).services
    for key, each in derive(world).services.items():
        assert bool(each.exporters) == bool(without_losses[key].exporters)


@given(worlds)
@FEW
def test_a_withdrawn_cluster_comes_back_when_ready(world: World) -> None:
    back = derive(all_ready(world)).services
    for key, each in derive(world).services.items():
        for name, reason in reasons(each).items():
            if reason is ExclusionReason.UNREACHABLE:
                now = reasons(back[key]).get(name)
                assert (name in back[key].exporters) == (now is None)
                assert now in {None, ExclusionReason.TYPE_CONFLICT}


def numbers(result: Derived, importer: str) -> set[int]:
    return {number.port for number in result.views[importer].ports} if importer in result.views else set()


@given(worlds)
@FEW
def test_withdrawal_takes_no_port_from_a_pure_importer(world: World) -> None:
    keep = {
        key: replace(service, annotations={**service.annotations, WHEN_UNREACHABLE: "Keep"})
        for key, service in world.services.items()
    }
    kept = derive(replace(world, services=keep)).services
    for key, each in derive(world).services.items():
        # A cluster of another type exports in the place of one that is withdrawn: it has the service itself.
        exporting = {*kept[key].exporters, *each.exporters}
        for name in kept[key].views.keys() - exporting:
            assert numbers(kept[key], name) <= numbers(each, name)


@given(worlds, st.floats(0, 1, exclude_max=True))
@FEW
def test_a_view_changes_exactly_when_its_time_comes(world: World, part: float) -> None:
    for key, each in derive(world).services.items():
        if each.look_again == math.inf:
            moments = [world.now + 1, world.now + 1e9]
        else:
            assert world.now < each.look_again
            assert derive(replace(world, now=each.look_again)).services[key] != each
            last = math.nextafter(each.look_again, 0)
            moments = [last, min(world.now + part * (each.look_again - world.now), last)]
        for moment in moments:
            assert derive(replace(world, now=moment)).services[key] == each
