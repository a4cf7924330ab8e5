"""Writes, their order, and the views of members in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import FEW, moved, of_one_service
from tests.support.worlds import (
    KEY,
    UID,
    WEB,
    Store,
    derived,
    export,
    fleet,
    member,
    port,
    scoped,
    service,
)
from towpath.derivation.derive import derive
from towpath.derivation.render import Rendered, render
from towpath.derivation.stages import Current, Write, is_foreign, stages
from towpath.model.cluster import Member
from towpath.model.ownership import MANAGED_BY
from towpath.model.world import Offer, World


def rendered(world: World) -> Rendered:
    [(key, exported)] = world.services.items()
    return render(key, exported.uid, derive(world).services[key])


def nobody_sees_itself(store: Store, own: Mapping[str, set[str]]) -> None:
    for name, keys in own.items():
        assert not keys & store.sees(name), f"{name} sees itself"


def keys_in(*worlds: World) -> dict[str, set[str]]:
    """Return the keys that each member has in any of these worlds."""
    every = [member for world in worlds for member in world.members.values()]
    return {member.name: {other.key for other in every if other.name == member.name} for member in every}


def content(obj: Mapping[str, Any] | None) -> tuple[object, object]:
    """Return the content of an object, without the fields that others added."""
    assert obj is not None
    spec = {name: value for name, value in obj["spec"].items() if name != "defaulted"}
    return spec, obj["metadata"].get("annotations")


def holds(store: Store, wanted: Rendered) -> bool:
    """Return whether the desired objects exist, and no other object that would have an effect."""
    live = store.live()
    if wanted.service_import is None:
        return live.service_import is None
    overrides = {obj["metadata"]["name"]: content(obj) for obj in wanted.overrides}
    return (
        {name: content(obj) for name, obj in live.overrides.items()} == overrides
        and content(live.propagation) == content(wanted.propagation)
        and content(live.service_import) == content(wanted.service_import)
    )


@st.composite
def _several(draw: st.DrawFn, number: int) -> list[World]:
    """Return a world at several times, each of them a little different or quite another one."""
    worlds = [draw(of_one_service)]
    for _ in range(number - 1):
        worlds.append(draw(moved(worlds[-1]) | of_one_service))
    return worlds


two, several = _several(2), _several(4)


@given(two)
@FEW
def test_the_stages_reach_the_wanted_state_and_then_are_none(
    worlds: Sequence[World],
) -> None:
    store = Store()
    for world in worlds:
        wanted = rendered(world)
        store.settle(wanted)
        assert holds(store, wanted)
        assert list(stages(store.live(), wanted)) == []


@given(two, st.randoms(use_true_random=False))
@FEW
def test_at_no_moment_of_a_move_a_cluster_sees_itself(worlds: Sequence[World], random: Random) -> None:
    """The order within a stage does not matter: its writes may happen at the same time."""
    own, [before, after] = keys_in(*worlds), map(rendered, worlds)
    store = settled(before)
    nobody_sees_itself(store, own)

    writes = 0
    for _ in store.bring(after, lambda stage: random.sample(stage, len(stage))):
        nobody_sees_itself(store, own)
        writes += 1
    assert bool(writes) == (before != after)


@given(several, st.randoms(use_true_random=False))
@FEW
def test_a_pass_may_end_anywhere_and_the_next_goes_on_from_there(
    worlds: Sequence[World], random: Random
) -> None:
    """Writes fail one by one, processes end: the next pass begins with what has been written by then."""
    store, own = Store(), keys_in(*worlds)
    for world in worlds:
        for _ in store.bring(rendered(world), lambda stage: random.sample(stage, len(stage))):
            nobody_sees_itself(store, own)
            if random.random() < 0.3:
                break
    wanted = rendered(worlds[-1])
    store.settle(wanted)
    assert holds(store, wanted)


def settled(wanted: Rendered) -> Store:
    store = Store()
    store.settle(wanted)
    return store


def in_order(order: Sequence[int], stage: list[Write]) -> list[Write]:
    return [stage[number] for number in order if number < len(stage)]


def every_state(before: Rendered, after: Rendered) -> Iterator[Store]:
    """Yield every state between the two, for every order in which each stage may be written."""
    start = settled(before)
    widest = max((len(stage) for stage in stages(start.live(), after)), default=0)
    for order in permutations(range(widest)):
        store = deepcopy(start)
        yield from (store for _ in store.bring(after, partial(in_order, order)))


def large(number: int, size: int) -> dict[str, Offer]:
    return {
        f"m{n:02}": Offer(export((80, f"/{n:02}" + "x" * size * 1024)), service(80)) for n in range(number)
    }


ALL = fleet("a", "b", "c", "d")
TWO = fleet("a", "b")
LARGE = fleet(*large(12, 1), "d")
UNSERVED = {**ALL, "a": member("a", imports=frozenset())}
DRAINED = {**ALL, "b": member("b", drained=True)}
Side = tuple[Mapping[str, Offer], Mapping[str, Member]]
MOVES: list[tuple[str, Side, Side]] = [
    ("a second exporter", ({"a": WEB}, ALL), ({"a": WEB, "b": WEB}, ALL)),
    ("a third exporter", ({"a": WEB, "b": WEB}, ALL), ({"a": WEB, "b": WEB, "c": WEB}, ALL)),
    ("one exporter less", ({"a": WEB, "b": WEB, "c": WEB}, ALL), ({"a": WEB, "b": WEB}, ALL)),
    ("only one left", ({"a": WEB, "b": WEB}, ALL), ({"a": WEB}, ALL)),
    ("another one instead", ({"a": WEB}, ALL), ({"b": WEB}, ALL)),
    ("the only other one instead", ({"a": WEB}, TWO), ({"b": WEB}, TWO)),
    ("none left", ({"a": WEB, "b": WEB}, ALL), ({}, ALL)),
    ("the first", ({}, ALL), ({"a": WEB, "b": WEB}, ALL)),
    ("an exporter begins to import", ({"a": WEB, "b": WEB}, UNSERVED), ({"a": WEB, "b": WEB}, ALL)),
    ("a larger scope", ({"a": WEB, "b": scoped("c")}, ALL), ({"a": WEB, "b": WEB}, ALL)),
    ("a smaller scope", ({"a": WEB, "b": WEB}, ALL), ({"a": scoped("c"), "b": scoped("c")}, ALL)),
    (
        "two clusters that shared a rule, and one needs none any more",
        ({"a": scoped("c", "d"), "b": scoped("c", "d"), "c": WEB}, ALL),
        ({"a": WEB, "b": WEB, "c": WEB}, DRAINED),
    ),
    ("into several policies", (large(6, 10), LARGE), (large(12, 10), LARGE)),
    ("into fewer policies", (large(12, 10), LARGE), (large(6, 10), LARGE)),
]


@pytest.mark.parametrize(("_case", "before", "after"), MOVES, ids=[case for case, *_ in MOVES])
def test_in_a_typical_move_no_cluster_ever_sees_itself(_case: str, before: Side, after: Side) -> None:
    members = {**before[1], **after[1]}
    own = {name: {member.key} for name, member in members.items()}
    [first, second] = (render(KEY, UID, derived(*each)) for each in (before, after))
    assert first != second

    states = 0
    for store in every_state(first, second):
        nobody_sees_itself(store, own)
        states += 1
    assert states


@pytest.mark.parametrize(("_case", "before", "after"), MOVES, ids=[case for case, *_ in MOVES])
def test_after_a_typical_move_all_is_as_wanted(_case: str, before: Side, after: Side) -> None:
    store = Store()
    for each in (before, after, before):
        wanted = render(KEY, UID, derived(*each))
        store.settle(wanted)
        assert holds(store, wanted)
        assert list(stages(store.live(), wanted)) == []


BOTH = render(KEY, UID, derived({"a": WEB, "b": WEB}, ALL))
ONLY_A = render(KEY, UID, derived({"a": WEB}, ALL))
NONE = Rendered()


def kinds(stages: Iterator[Sequence[Write]]) -> list[set[str]]:
    return [
        {f"{'-' if wanted is None else ''}{(wanted or live or {})['kind']}" for live, wanted in stage}
        for stage in stages
    ]


def test_policies_come_before_the_template() -> None:
    order = [kind for stage in kinds(stages(Current(), BOTH)) for kind in sorted(stage)]

    assert order == ["OverridePolicy", "PropagationPolicy", "ServiceImport"]


def test_an_unneeded_override_is_deleted_after_the_template() -> None:
    assert kinds(stages(settled(BOTH).live(), ONLY_A)) == [
        {"PropagationPolicy"},
        {"ServiceImport"},
        {"-OverridePolicy"},
    ]


def test_overrides_and_template_go_at_once_where_exporters_stay() -> None:
    moved = replace(WEB, export=export((80, "/moved")))
    after = render(KEY, UID, derived({"a": moved, "b": moved}, ALL))
    live = settled(BOTH).live()
    [name] = live.overrides
    gone = replace(live, overrides={})
    empty = deepcopy(live.overrides[name])
    empty["spec"]["overrideRules"][0]["overriders"] = {}
    blank = replace(live, overrides={name: empty})

    assert kinds(stages(live, after)) == [{"OverridePolicy", "ServiceImport"}]
    assert (
        kinds(stages(gone, after)) == kinds(stages(blank, after)) == [{"OverridePolicy"}, {"ServiceImport"}]
    )


def test_without_importers_only_the_template_is_deleted() -> None:
    store = settled(BOTH)

    assert kinds(stages(store.live(), NONE)) == [{"-ServiceImport"}]
    assert kinds(stages(Current(), NONE)) == []


def test_policies_of_a_former_export_follow_their_template() -> None:
    live = settled(BOTH).live()
    without = replace(live, service_import=None)

    assert kinds(stages(live, NONE, export="another")) == [{"-ServiceImport"}]
    assert kinds(stages(without, NONE, export="another")) == [{"-PropagationPolicy", "-OverridePolicy"}]
    assert kinds(stages(without, NONE, export=UID)) == []


def test_an_object_that_is_too_large_changes_nothing() -> None:
    big = Offer(export((80, "/" + "x" * 300 * 1024)), service(80))
    refused = render(KEY, UID, derived({"a": big, "b": big}, ALL))

    assert refused.refused is not None
    assert list(stages(settled(BOTH).live(), refused)) == []
    assert list(stages(Current(), refused)) == []


@pytest.mark.parametrize("labels", [None, {}, {"app.kubernetes.io/managed-by": "flux"}, {"towpath": "yes"}])
@pytest.mark.parametrize("wanted", [BOTH, NONE])
def test_a_foreign_import_is_never_touched(labels: Any, wanted: Rendered) -> None:
    foreign = {"kind": "ServiceImport", "metadata": {"name": "web", "uid": "1", "labels": labels}, "spec": {}}

    assert is_foreign(foreign)
    assert list(stages(Current(foreign), wanted)) == []
    assert list(stages(replace(settled(BOTH).live(), service_import=foreign), wanted)) == []


LABELLED = {"name": "towpath-import-web", "labels": {**MANAGED_BY, "more": ""}}
EXPORT = {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "name": "web", "uid": "1"}


@pytest.mark.parametrize(
    ("metadata", "foreign"),
    [
        (LABELLED, False),
        ({**LABELLED, "ownerReferences": [EXPORT]}, False),
        ({**LABELLED, "labels": {}}, True),
        ({**LABELLED, "name": "mine"}, True),
        ({**LABELLED, "ownerReferences": [{**EXPORT, "name": "cart"}]}, True),
        ({**LABELLED, "ownerReferences": [{**EXPORT, "kind": "ConfigMap"}]}, True),
        ({**LABELLED, "ownerReferences": [{**EXPORT, "apiVersion": "multicluster.x-k8s.io/v1alpha1"}]}, True),
        ({**LABELLED, "ownerReferences": [EXPORT, {**EXPORT, "kind": "ConfigMap"}]}, True),
    ],
)
def test_ownership_follows_from_label_name_and_owner(metadata: dict[str, Any], foreign: bool) -> None:
    assert not is_foreign(None)
    assert is_foreign({"kind": "PropagationPolicy", "metadata": metadata}) is foreign
    assert is_foreign({"kind": "OverridePolicy", "metadata": metadata}) is foreign


GOING = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("kind", ["ServiceImport", "PropagationPolicy", "OverridePolicy"])
@pytest.mark.parametrize("wanted", [ONLY_A, NONE, render(KEY, UID, derived(dict.fromkeys("abc", WEB), ALL))])
def test_an_object_waiting_for_finalizers_is_left_alone(kind: str, wanted: Rendered) -> None:
    store = settled(BOTH)
    for (each, _), obj in store.objects.items():
        if each == kind:
            obj["metadata"]["deletionTimestamp"] = GOING

    touched = {(w or live or {})["kind"] for stage in stages(store.live(), wanted) for live, w in stage}
    assert kind not in touched


def test_a_terminating_override_with_a_needed_rule_is_kept() -> None:
    store = settled(render(KEY, UID, derived(dict.fromkeys("abc", WEB), ALL)))
    for (kind, _), obj in store.objects.items():
        if kind == "OverridePolicy":
            obj["metadata"]["deletionTimestamp"] = GOING

    assert kinds(stages(store.live(), BOTH)) == [{"ServiceImport"}]


@pytest.mark.parametrize("kind", ["ServiceImport", "PropagationPolicy", "OverridePolicy"])
def test_a_deleted_object_is_created_again_and_no_other(kind: str) -> None:
    store = settled(BOTH)
    store.objects = {place: obj for place, obj in store.objects.items() if place[0] != kind}

    assert kinds(stages(store.live(), BOTH)) == [{kind}]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ServiceImport", lambda obj: obj["spec"]["ports"].pop()),
        ("ServiceImport", lambda obj: obj["metadata"]["annotations"].clear()),
        ("ServiceImport", lambda obj: obj["metadata"]["ownerReferences"].clear()),
        ("PropagationPolicy", lambda obj: obj["spec"]["placement"]["clusterAffinity"]["clusterNames"].pop()),
        ("PropagationPolicy", lambda obj: obj["spec"].update(priority=0)),
        ("OverridePolicy", lambda obj: obj["spec"]["overrideRules"].pop()),
        ("OverridePolicy", lambda obj: obj["spec"]["overrideRules"][0]["targetCluster"].clear()),
        ("OverridePolicy", lambda obj: obj["spec"]["overrideRules"][0].pop("targetCluster")),
        ("OverridePolicy", lambda obj: obj["spec"].pop("overrideRules")),
    ],
)
def test_a_changed_object_is_restored_and_no_other(kind: str, change: Callable[[Any], Any]) -> None:
    store = settled(BOTH)
    [obj] = [obj for (each, _), obj in store.objects.items() if each == kind]
    change(obj)

    assert kinds(stages(store.live(), BOTH)) == [{kind}]


def test_fields_added_by_others_stay() -> None:
    store = settled(BOTH)
    for obj in store.objects.values():
        obj["metadata"]["annotations"] = {**obj["metadata"].get("annotations", {}), "theirs": "yes"}
        obj["spec"]["theirs"] = "yes"

    assert list(stages(store.live(), BOTH)) == []


def test_a_field_that_a_port_has_no_more_is_written() -> None:
    """Within a list a field has no visible owner: the digest beside it decides."""
    ports = port(80, "http", app="http"), port(80, "http")
    offers = (replace(WEB, service=service(entry)) for entry in ports)
    before, after = (derived({"a": offer, "b": offer}, ALL) for offer in offers)
    store = settled(render(KEY, UID, before))

    assert before.views["c"].digest != after.views["c"].digest
    assert {kind for stage in kinds(stages(store.live(), render(KEY, UID, after))) for kind in stage} == {
        "OverridePolicy",
        "ServiceImport",
    }
