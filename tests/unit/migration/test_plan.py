"""Which imports Karmada can take over without losing an endpoint, as a table of worlds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.worlds import KEY, UID, WEB, derived, fleet, key_of
from towpath.derivation.render import render
from towpath.derivation.stages import Current, carried
from towpath.migration.held import Endpoint, HeldImport, MemberState, endpoints_of, held_import
from towpath.migration.plan import ImportPlan, State, plan, ready, unknown_clusters
from towpath.migration.world import KnownService, World
from towpath.model.keys import Dialect, ServiceKey
from towpath.rules.reasons import MigrationReason

OTHER = KEY._replace(dialect=Dialect.MULTICLUSTER)


def at(cluster: str, port: int = 80, path: str = "/web") -> Endpoint:
    """Return the endpoint of a cluster."""
    return Endpoint(port, key_of(cluster), f"10.0.0.{ord(cluster)}", 80, path)


A, B, C = map(at, "abc")
KEYS = {key_of(name): name for name in "abc"}


def known(*endpoints: Endpoint, **more: Any) -> KnownService:
    """Return a service that Karmada brings to member c with these endpoints."""
    exporters = frozenset(e.cluster_key.rpartition("/")[2] for e in endpoints)
    return replace(KnownService({"c": frozenset(endpoints)}, exporters=exporters), **more)


def exporting(cluster: str, *keys: ServiceKey) -> MemberState:
    return MemberState(cluster, exports=frozenset(keys))


def holding(*endpoints: Endpoint, **more: Any) -> HeldImport:
    return HeldImport(frozenset(endpoints), **more)


def world(
    held: HeldImport, service: KnownService | None, *members: MemberState, key: ServiceKey = KEY
) -> World:
    """Return a world in which member c holds an import; a and b export unless other members are given."""
    others = members or (exporting("a", KEY), exporting("b", KEY))
    return World(KEYS, {key: service} if service else {}, (*others, MemberState("c", imports={KEY: held})))


def of_c(here: World) -> ImportPlan:
    return plan(here)[-1].imports[0]


MISSING: dict[MigrationReason, tuple[World, str]] = {
    MigrationReason.NO_EXPORT: (world(holding(A), None), ""),
    MigrationReason.OTHER_GROUP: (world(holding(A), known(A), key=OTHER), "multicluster.flomesh.io"),
    MigrationReason.UNKNOWN_CLUSTER: (world(holding(at("z")), known(A)), ""),
    MigrationReason.EXCLUDED: (
        world(holding(A, B), known(A, excluded={"b": "No gateway is known."})),
        "No gateway is known",
    ),
    MigrationReason.NOT_PROPAGATED: (world(holding(A, B), known(A)), ""),
    MigrationReason.MOVED: (world(holding(at("a", path="/old")), known(A)), A.text),
    MigrationReason.OTHER_PORT: (world(holding(at("a", 81)), known(A)), "80"),
    MigrationReason.NOT_OFFERED: (world(holding(A, B), known(A, exporters=frozenset("ab"))), ""),
    MigrationReason.NOT_IMPORTED: (
        world(holding(A), known(A, carried={}, not_importing={"c": "No namespace."})),
        "No namespace",
    ),
}


@pytest.mark.parametrize("reason", MigrationReason)
def test_a_missing_endpoint_blocks_with_its_reason(reason: MigrationReason) -> None:
    here, detail = MISSING[reason]
    made = of_c(here)

    assert made.state is State.BLOCKED
    assert [(missing.reason, missing.detail) for missing in made.missing] == [(reason, detail)]
    assert made.missing[0].text.endswith(reason.text)
    assert not ready(plan(here), here, force=False)


def test_an_import_is_ready_when_every_endpoint_is_there() -> None:
    here = world(
        holding(A, settings={"type": "ClusterSetIP"}), known(A, B, settings={"serviceAccountName": "*"})
    )
    made = of_c(here)

    assert (made.state, made.held, made.added, made.missing) == (State.READY, (A,), (B,), ())
    assert made.changes == ("serviceAccountName: none -> *", "type: ClusterSetIP -> none")
    assert ready(plan(here), here, force=False) == {KEY: frozenset("c")}


def test_an_endpoint_of_a_cluster_that_exports_no_more_may_go() -> None:
    here = world(holding(A, B), known(A), exporting("a", KEY), exporting("b"))
    made = of_c(here)

    assert (made.state, made.stale, made.missing) == (State.READY, (B,), ())


def test_an_endpoint_that_a_user_has_drained_may_go() -> None:
    made = of_c(world(holding(A, B), known(A, excluded={"b": "Drained."}, drained=frozenset("b"))))

    assert (made.state, made.stale, made.missing) == (State.READY, (B,), ())


@pytest.mark.parametrize(
    "member", [MemberState("b", problem="No answer."), exporting("b", KEY)], ids=["unread", "exports"]
)
def test_an_endpoint_that_may_still_be_exported_stays(member: MemberState) -> None:
    made = of_c(world(holding(A, B), known(A), exporting("a", KEY), member))

    assert (made.state, made.stale) == (State.BLOCKED, ())
    assert [missing.endpoint for missing in made.missing] == [B]


def test_a_cluster_that_exports_in_the_other_group_only_is_stale() -> None:
    made = of_c(world(holding(A, B), known(A), exporting("a", KEY), exporting("b", OTHER)))

    assert (made.state, made.stale) == (State.READY, (B,))


def test_what_karmada_manages_or_others_were_left_is_not_judged() -> None:
    managed = of_c(world(holding(at("z"), managed=True), known(A)))
    left = of_c(world(holding(at("z")), known(A, released=frozenset("c"))))

    assert (managed.state, left.state) == (State.MANAGED, State.RELEASED)
    assert (managed.missing, left.missing) == ((), ())


def test_force_takes_over_only_where_karmada_has_an_import() -> None:
    missing, nothing = world(holding(A, B), known(A)), world(holding(A), known(A, carried={}))

    assert ready(plan(missing), missing, force=True) == {KEY: frozenset("c")}
    assert ready(plan(nothing), nothing, force=True) == {}


def test_an_empty_import_is_ready_where_karmada_has_any() -> None:
    assert of_c(world(holding(), known(A))).state is State.READY
    assert of_c(world(holding(), None)).state is State.BLOCKED


def test_cluster_keys_without_a_member_are_named() -> None:
    assert unknown_clusters(world(holding(A, at("z")), known(A))) == (key_of("z"),)


IMPORT: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "type": "ClusterSetIP",
        "ports": [
            {
                "port": 80,
                "endpoints": [
                    {
                        "clusterKey": key_of("a"),
                        "target": {"host": "x", "ip": "10.0.0.97", "port": 80, "path": path},
                    }
                ],
            }
            for path in ("/web", "web/", "/web/")
        ],
    },
}


def test_endpoints_are_compared_as_fsm_uses_them() -> None:
    """ErieCanal writes a port twice where two rules name it, and paths as the user has typed them."""
    assert held_import(IMPORT) == holding(A, settings={"type": "ClusterSetIP"})


@pytest.mark.parametrize("spec", [{}, {"ports": None}, {"ports": []}, {"ports": [{"port": 80}]}])
def test_an_import_without_endpoints_holds_nothing(spec: Mapping[str, Any]) -> None:
    assert held_import({"metadata": {"labels": {"karmada.io/managed": "true"}}, "spec": spec}) == holding(
        managed=True
    )


def test_what_is_carried_follows_template_and_overrides() -> None:
    members, offers = fleet("a", "b", "c"), {"a": WEB, "b": WEB}
    expected = derived(offers, members)
    made = render(KEY, UID, expected)
    overrides = {policy["metadata"]["name"]: policy for policy in made.overrides}

    def endpoints(ports: Iterable[Mapping[str, Any]]) -> set[Endpoint]:
        return set(endpoints_of(ports))

    given = carried(Current(made.service_import, made.propagation, overrides))
    assert {name: endpoints(ports) for name, ports in given.items()} == {
        name: endpoints(view.dump()["ports"]) for name, view in expected.views.items()
    }
    assert carried(Current(None, made.propagation, overrides)) == {}
