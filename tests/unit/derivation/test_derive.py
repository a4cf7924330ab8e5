"""The imports of each cluster: examples, and properties of every world."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import FEW, of_one_dialect, shuffled, turned, worlds
from tests.support.worlds import (
    HEADLESS,
    KEY,
    WEB,
    condition,
    derived,
    endpoints,
    fleet,
    key_of,
    member,
    offered,
    port,
    scoped,
    service,
)
from tests.support.worlds import world as world_of
from towpath.derivation.derive import Derived, derive, exporters_of, why_not_importing
from towpath.derivation.render import Rendered, render
from towpath.derivation.warnings import advise
from towpath.model.cluster import Fleet, Member
from towpath.model.export import RELEASED, WHEN_UNREACHABLE, Export
from towpath.model.keys import Dialect
from towpath.model.times import seconds
from towpath.model.world import Offer, World
from towpath.rules.paths import normal_path
from towpath.rules.reasons import Advice, ChainReason, NotImportedReason


def views(result: Derived) -> dict[str, dict[int, list[str]]]:
    return {name: endpoints(view) for name, view in result.views.items()}


@pytest.mark.parametrize(
    ("offers", "members", "imports", "everything"),
    [
        pytest.param({"a": WEB}, "ab", {"b": "a"}, "a", id="a single exporter imports nothing"),
        pytest.param({"a": WEB, "c": WEB}, "abc", {"a": "c", "b": "ac", "c": "a"}, "ac", id="all from all"),
        pytest.param(
            {"a": scoped("b"), "d": WEB},
            "abcd",
            {"a": "d", "b": "ad", "c": "d"},
            "ad",
            id="target clusters limit the importers",
        ),
        pytest.param(
            {"a": scoped("b"), "b": scoped("a")},
            "abc",
            {"a": "b", "b": "a"},
            "ab",
            id="the template has the full list even if no view has",
        ),
    ],
)
def test_a_cluster_imports_from_others_and_never_from_itself(
    offers: dict[str, Offer], members: str, imports: dict[str, str], everything: str
) -> None:
    seen = derived(offers, fleet(*members))

    assert views(seen) == {name: {80: list(exporters)} for name, exporters in imports.items()}
    assert seen.everything is not None
    assert endpoints(seen.everything) == {80: list(everything)}


def test_members_that_do_not_serve_the_import_api_are_left_out() -> None:
    members = fleet("a", "c") | {"b": member("b", imports=frozenset({Dialect.MULTICLUSTER}))}

    assert list(derived({"a": WEB}, members).views) == ["c"]


def test_the_oldest_export_wins_by_age_and_then_by_key() -> None:
    members = fleet("a", "b", "c") | {"c": member("c", region="a-region")}
    same = derived({"a": WEB, "b": WEB, "c": WEB}, members)
    aged = derived({"a": WEB, "b": replace(WEB, created="2026-01-01T00:00:00Z"), "c": WEB}, members)
    younger = derived(
        {"a": WEB, "b": replace(WEB, created="2026-01-01T00:00:00Z"), "c": WEB},
        members,
        created="2026-01-02T00:00:00Z",
    )

    assert same.exporters == ("c", "a", "b")
    assert aged.exporters == ("c", "a", "b")
    assert younger.exporters == ("b", "c", "a")


UNIMPORTED: list[tuple[NotImportedReason | None, Mapping[str, Offer], Member]] = [
    (NotImportedReason.NOT_SERVED, {"b": WEB}, member("a", imports=frozenset())),
    (NotImportedReason.NO_NAMESPACE, {"b": WEB}, member("a")),
    (NotImportedReason.RELEASED, {"b": WEB}, member("a")),
    (NotImportedReason.NO_EXPORTER, {"b": Offer(WEB.export, None)}, member("a")),
    (NotImportedReason.ONLY_EXPORTER, {"a": WEB}, member("a")),
    (NotImportedReason.OUT_OF_SCOPE, {"a": WEB, "b": scoped("c")}, member("a")),
    (
        NotImportedReason.PORTS_CLASH,
        {"a": replace(WEB, service=service(port(80, "http"))), "b": WEB},
        member("a"),
    ),
    (None, {"a": WEB, "b": WEB}, member("a")),
    (None, {"b": scoped("a")}, member("a")),
    (None, {"a": scoped("b"), "b": WEB}, member("a")),
    (None, {"b": WEB}, member("a", drained=True, unreachable_since=0.0)),
]


def test_a_scope_that_leaves_no_importer_names_the_keys_to_add() -> None:
    alone, nobody = derived({"a": WEB}, fleet("a")), derived({"a": scoped("z")}, fleet("a", "b", "c"))

    warning = f"{key_of('b')}, {key_of('c')}: {Advice.NO_IMPORTER_IN_SCOPE.text}"
    assert nobody.conditions[0].message == f"Exported by a. {warning}"
    assert alone.conditions[0].message == "Exported by a."


@pytest.mark.parametrize(("reason", "offers", "importer"), UNIMPORTED)
def test_a_member_that_does_not_import_has_one_reason(
    reason: NotImportedReason | None, offers: Mapping[str, Offer], importer: Member
) -> None:
    members = fleet("b", "c") | {"a": importer}
    places = frozenset("bc") if reason is NotImportedReason.NO_NAMESPACE else None
    annotations = {RELEASED: "a"} if reason is NotImportedReason.RELEASED else {}
    exported = offered(offers, namespaced=places, annotations=annotations)
    seen = derived(offers, members, namespaced=places, annotations=annotations)

    assert why_not_importing(exported, seen, importer, members) is reason
    assert ("a" not in seen.views) == bool(reason)


def test_the_table_has_every_reason_not_to_import() -> None:
    assert {reason for reason, _, _ in UNIMPORTED} == {*NotImportedReason, None}


@pytest.mark.parametrize(
    ("annotations", "times"),
    [
        ({}, "since 2026-01-01T00:00:00Z, kept until 2026-01-01T00:05:00Z"),
        ({WHEN_UNREACHABLE: "Keep"}, "since 2026-01-01T00:00:00Z, kept"),
        (
            {WHEN_UNREACHABLE: "WithdrawAfter=1h"},
            "since 2026-01-01T00:00:00Z, kept until 2026-01-01T01:00:00Z",
        ),
    ],
)
def test_a_lost_exporter_in_its_grace_is_reported(annotations: dict[str, str], times: str) -> None:
    since = seconds("2026-01-01T00:00:00Z")
    assert since is not None
    members = fleet("b", "c") | {"a": member("a", unreachable_since=since)}
    seen = derived({"a": WEB, "b": WEB}, members, since, annotations=annotations)

    message = f"a (ExporterLost {times}): {ChainReason.EXPORTER_LOST.text}"
    assert seen.conditions[0].message == f"Exported by a, b. {message}"


def test_members_without_the_namespace_are_reported() -> None:
    seen = derived({"a": WEB}, fleet("a", "b", "c"), namespaced=frozenset("ab"))

    message = f"Not imported by c (NoNamespace): {NotImportedReason.NO_NAMESPACE.text}"
    assert seen.conditions[0].message == f"Exported by a. {message}"


def test_only_members_that_have_the_namespace_import() -> None:
    members = fleet("a", "b", "c")
    exported = offered({"a": WEB}, namespaced=frozenset("ab"))
    seen = derive(world_of(members, exported)).services[exported.key]

    assert [*seen.views] == ["b"]
    assert why_not_importing(exported, seen, members["c"], members) is NotImportedReason.NO_NAMESPACE
    assert why_not_importing(exported, seen, members["b"], members) is None


RESERVED = ["kube-system", "kube-x", "karmada-system", "karmada-cluster", "karmada-es-a"]


@pytest.mark.parametrize("namespace", RESERVED)
def test_nothing_of_a_reserved_namespace_is_exported(namespace: str) -> None:
    exported = offered({"a": WEB}, key=KEY._replace(namespace=namespace))
    seen = derive(world_of(fleet("a", "b"), exported)).services[exported.key]

    assert (seen.exporters, dict(seen.views)) == ((), {})
    assert seen.conditions[0].reason == "NamespaceReserved"


def test_a_cluster_joined_under_several_names_is_reported() -> None:
    members = {name: member(name, uid="x" if name in "ac" else name) for name in "abc"}
    exported = offered({"a": WEB})
    seen = derive(world_of(members, exported)).services[exported.key]

    found = advise(exported, seen, Fleet(members))
    assert [c.detail for c in found if c.reason is Advice.JOINED_TWICE] == ["a, c"]
    assert not any(c.reason is Advice.JOINED_TWICE for c in advise(exported, seen, Fleet(fleet("a", "b"))))


def test_a_cluster_that_joined_twice_is_reported() -> None:
    """The case 10: it imports from itself under its other name."""
    members = {n: member(n, uid=i) for n, i in (("east", "1"), ("east-alias", "1"), ("west", "2"), ("x", ""))}
    first = condition(derived({"east": WEB}, members), "Valid")
    other = condition(derived({"west": WEB}, members), "Valid")

    assert (first.reason, other.reason) == ("Valid", "Valid")
    assert "east, east-alias: One cluster is joined to Karmada under several names" in first.message
    assert "joined" not in other.message
    found = advise(offered({"east": WEB}), derived({"east": WEB}, members), Fleet(members))
    assert [c.detail for c in found if c.reason is Advice.JOINED_TWICE] == ["east, east-alias"]


def test_the_exports_of_a_cluster_can_be_read_again() -> None:
    members = fleet("a", "b")
    exported = offered({"a": WEB, "b": HEADLESS, "c": WEB})
    seen = derived(exported.offers, members)

    [again] = exporters_of(exported, seen.exporters, Fleet(members))
    assert again.member is members["a"]
    assert [number.port for number, _ in again.offered] == [80]


def rendered(world: World) -> dict[str, Rendered]:
    made = derive(world)
    return {
        str(key): render(key, exported.uid, made.services[key]) for key, exported in world.services.items()
    }


@given(worlds, st.randoms(use_true_random=False))
@FEW
def test_the_order_in_which_things_were_seen_does_not_matter(world: World, random: Random) -> None:
    other = turned(world, random)

    assert derive(other) == derive(world)
    assert {key: json.dumps(result.objects) for key, result in rendered(other).items()} == {
        key: json.dumps(result.objects) for key, result in rendered(world).items()
    }


@given(worlds)
@FEW
def test_the_same_world_gives_the_same_whoever_made_its_objects(world: World) -> None:
    once = derive(world)

    assert derive(world) == once
    assert derive(deepcopy(world)) == once


def listed_otherwise(offer: Offer, random: Random) -> Offer:
    if offer.service is None:
        return offer
    ports = {"ports": tuple(shuffled(offer.service.ports, random))}
    targets = {"target_clusters": tuple(shuffled(offer.export.target_clusters, random))}
    return replace(
        offer,
        service=offer.service.model_copy(update=ports),
        export=offer.export.model_copy(update=targets),
    )


@given(worlds, st.randoms(use_true_random=False))
@FEW
def test_the_order_of_ports_and_target_clusters_does_not_matter(world: World, random: Random) -> None:
    services = {
        key: replace(
            exported, offers={name: listed_otherwise(o, random) for name, o in exported.offers.items()}
        )
        for key, exported in world.services.items()
    }

    assert derive(replace(world, services=services)) == derive(world)


def turned_rules(offer: Offer) -> Offer:
    last = {rule.port_number: rule for rule in offer.export.rules}
    return replace(offer, export=offer.export.model_copy(update={"rules": tuple(reversed(last.values()))}))


@given(worlds)
@FEW
def test_the_order_of_rules_is_only_the_order_of_ports(world: World) -> None:
    def ports(view: Any) -> Any:
        return {entry["port"]: entry for entry in view.dump()["ports"]}

    services = {
        key: replace(exported, offers={name: turned_rules(offer) for name, offer in exported.offers.items()})
        for key, exported in world.services.items()
        if all(
            len(o.export.rules) == len({r.port_number for r in o.export.rules})
            for o in exported.offers.values()
        )
    }
    world = replace(world, services={key: world.services[key] for key in services})
    before, after = derive(world), derive(replace(world, services=services))
    for key, result in after.services.items():
        was = before.services[key]
        assert (result.exporters, result.excluded) == (was.exporters, was.excluded)
        assert {n: ports(v) for n, v in result.views.items()} == {n: ports(v) for n, v in was.views.items()}


@given(worlds)
@FEW
def test_no_view_holds_its_own_cluster(world: World) -> None:
    for result in derive(world).services.values():
        for name, view in result.views.items():
            own = world.members[name].key
            assert own not in {e.cluster_key for p in view.ports for e in p.endpoints}


@given(worlds)
@FEW
def test_the_exporter_of_an_endpoint_has_the_importer_in_scope(world: World) -> None:
    by_key = {member.key: member for member in world.members.values()}
    for key, result in derive(world).services.items():
        for name, view in result.views.items():
            assert key.dialect in world.members[name].imports
            for number, endpoint in ((p.port, e) for p in view.ports for e in p.endpoints):
                exporter = by_key[endpoint.cluster_key]
                offer = world.services[key].offers[exporter.name]
                targets, target = offer.export.target_clusters, endpoint.target
                assert exporter.name in result.exporters
                assert not targets or world.members[name].key in targets
                assert (target.ip, target.port) == (exporter.gateway_ip, exporter.gateway_port)
                assert target.path == normal_path(last_path(offer.export, number))
                assert offer.service is not None
                assert number in {p.port for p in offer.service.ports}


def last_path(export: Export, number: int) -> str:
    *_, last = (rule.path for rule in export.rules if rule.port_number == number)
    return last


@given(worlds)
@FEW
def test_every_cluster_takes_part_or_has_a_reason(world: World) -> None:
    for key, result in derive(world).services.items():
        service = world.services[key]
        assert sorted([*result.exporters, *result.excluded]) == sorted(service.offers)
        assert (result.everything is None) == (not result.exporters)
        for name, importer in world.members.items():
            reason = why_not_importing(service, result, importer, world.members)
            assert (name in result.views) == (reason is None)


@given(worlds)
@FEW
def test_a_pure_importer_in_every_scope_sees_every_endpoint(world: World) -> None:
    for key, result in derive(world).services.items():
        exports = [world.services[key].offers[name].export for name in result.exporters]
        for name, view in result.views.items():
            in_all = all(
                world.members[name].key in (e.target_clusters or [world.members[name].key]) for e in exports
            )
            if in_all and name not in result.exporters:
                assert view == result.everything


@given(worlds)
@FEW
def test_a_view_makes_a_valid_service_with_sorted_endpoints(world: World) -> None:
    for result in derive(world).services.values():
        for view in result.views.values():
            numbers, names = [p.port for p in view.ports], [p.name or "" for p in view.ports]
            assert len(set(numbers)) == len(numbers) > 0
            assert len(set(names)) == len(names)
            assert all(names) or len(names) == 1
            for offers in (p.endpoints for p in view.ports):
                keys = [endpoint.cluster_key for endpoint in offers]
                assert keys == sorted(set(keys)) != []


@given(of_one_dialect)
@FEW
def test_both_dialects_give_the_same_but_for_the_group(world: World) -> None:
    swap = {Dialect.FLOMESH: Dialect.MULTICLUSTER, Dialect.MULTICLUSTER: Dialect.FLOMESH}
    other = World(
        {
            name: member.model_copy(
                update={"imports": frozenset(swap[dialect] for dialect in member.imports)}
            )
            for name, member in world.members.items()
        },
        {
            (renamed := key._replace(dialect=swap[key.dialect])): replace(exported, key=renamed)
            for key, exported in world.services.items()
        },
        now=world.now,
    )
    made, remade = derive(world).services, derive(other).services

    for (key, result), (renamed, same) in zip(made.items(), remade.items(), strict=True):
        assert same == result
        text = json.dumps(render(key, "uid", result).objects)
        mine, theirs = (f'"{dialect.api_version}"' for dialect in (key.dialect, renamed.dialect))
        assert json.dumps(render(renamed, "uid", same).objects) == text.replace(mine, theirs)
