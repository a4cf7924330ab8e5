"""Fields in which the exporters of one service disagree, and the condition Conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.support.strategies import FEW, worlds
from tests.support.worlds import (
    HEADLESS,
    KEY,
    WEB,
    condition,
    derived,
    endpoints,
    export,
    fleet,
    member,
    offered,
    port,
    reasons,
    service,
    world,
)
from towpath.derivation.derive import derive
from towpath.model.condition import CONFLICT, Condition
from towpath.model.service import Service
from towpath.model.world import Offer, World
from towpath.rules.reasons import ConditionReason, Conflicting, ExclusionReason

OLD, NEW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
AGREED = Condition(CONFLICT, "False", ConditionReason.NO_CONFLICTS, "The exporting clusters agree.")


def conflict(oldest: Offer, *others: Offer, members: str = "abcd") -> Condition:
    """Return the condition Conflict of a service that ``a`` has exported longest."""
    offers = dict(zip("bcd", (replace(offer, created=NEW) for offer in others), strict=False))
    return condition(derived({**offers, "a": replace(oldest, created=OLD)}, fleet(*members)), CONFLICT)


def web(**more: Any) -> Offer:
    return replace(WEB, service=service(80, **more))


def sticky(seconds: int) -> Offer:
    return web(session_affinity="ClientIP", session_affinity_config={"clientIP": {"timeoutSeconds": seconds}})


def using(field: str, value: str, many: str = "1/2") -> str:
    return (
        f'Conflicting {field}. Using "{value}" from oldest service export in "a". {many} clusters disagree.'
    )


STICKY = web(session_affinity="ClientIP")
UNION = "Conflicting ports. Using the union of all ports."
DISAGREEING: list[tuple[Conflicting, Offer, Sequence[Offer], str]] = [
    (Conflicting.TYPE, WEB, [HEADLESS], using("type", "ClusterSetIP")),
    (Conflicting.TYPE, HEADLESS, [WEB, HEADLESS, WEB], using("type", "Headless", "2/4")),
    (
        Conflicting.PORTS,
        WEB,
        [Offer(export((80, "/web"), (81, "/x")), service(port(80, "http"), port(81, "x")))],
        UNION
        + ' Left out: 80/TCP "http" of "b", which conflicts with 80/TCP.'
        + ' Left out: 81/TCP "x" of "b", which conflicts with 80/TCP. 1/2 clusters disagree.',
    ),
    (
        Conflicting.PORTS,
        replace(WEB, service=service(port(80, "http"))),
        [
            Offer(export((80, "/w"), (81, "/x")), service(port(80, "http"), port(81, "x"))),
            Offer(export((81, "/w")), service(port(81, "http"))),
        ],
        f'{UNION} Left out: 81/TCP "http" of "c", which conflicts with 81/TCP "x". 2/3 clusters disagree.',
    ),
    (
        Conflicting.PORTS,
        replace(WEB, service=service(port(80, protocol="UDP"))),
        [WEB],
        f'{UNION} Left out: 80/TCP of "b", which conflicts with 80/UDP. 1/2 clusters disagree.',
    ),
    (
        Conflicting.PORTS,
        replace(WEB, service=service(port(80, app="http"))),
        [WEB],
        f"{UNION} 1/2 clusters disagree.",
    ),
    (
        Conflicting.SESSION_AFFINITY,
        web(),
        [web(session_affinity="ClientIP")],
        using("sessionAffinity", "None"),
    ),
    (Conflicting.SESSION_AFFINITY_CONFIG, sticky(60), [sticky(9)], using("sessionAffinityConfig", "60")),
    (
        Conflicting.SESSION_AFFINITY_CONFIG,
        STICKY,
        [sticky(9)],
        using("sessionAffinityConfig", ""),
    ),
    (
        Conflicting.INTERNAL_TRAFFIC_POLICY,
        web(internal_traffic_policy="Local"),
        [WEB],
        using("internalTrafficPolicy", "Local"),
    ),
    (
        Conflicting.TRAFFIC_DISTRIBUTION,
        WEB,
        [web(traffic_distribution="PreferClose"), WEB],
        using("trafficDistribution", "", "1/3"),
    ),
    (
        Conflicting.SERVICE_ACCOUNT,
        replace(WEB, export=export((80, "/web"), account="*")),
        [WEB],
        using("serviceAccountName", "*"),
    ),
]


@pytest.mark.parametrize(("reason", "oldest", "others", "message"), DISAGREEING)
def test_differences_of_exporters_are_reported_as_the_kep_does(
    reason: Conflicting, oldest: Offer, others: Sequence[Offer], message: str
) -> None:
    assert conflict(oldest, *others) == Condition(CONFLICT, "True", reason.value, message)


def test_a_path_that_another_service_has_is_a_conflict_too() -> None:
    older = offered({"a": WEB}, key=KEY._replace(name="api"), created=OLD)
    made = derive(world(fleet("a", "b"), older, offered({"a": WEB, "b": WEB}, created=NEW))).services

    assert condition(made[KEY], CONFLICT) == Condition(
        CONFLICT,
        "True",
        Conflicting.PATH.value,
        'Conflicting path. "/web" on the gateway of "a" was claimed earlier by service export "shop/api".',
    )
    assert condition(made[older.key], CONFLICT) == AGREED


def test_the_table_has_everything_to_disagree_on() -> None:
    assert {reason for reason, *_ in DISAGREEING} == set(Conflicting) - {Conflicting.PATH}


@pytest.mark.parametrize("like", [WEB, HEADLESS, sticky(60), *(oldest for _, oldest, _, _ in DISAGREEING)])
def test_equal_objects_of_any_kind_are_no_conflict(like: Offer) -> None:
    assert like.service is not None
    copied = Offer(like.export.model_copy(), like.service.model_copy())

    assert conflict(like, copied, like) == AGREED


@pytest.mark.parametrize(("oldest", "others"), [(oldest, others) for _, oldest, others, _ in DISAGREEING])
def test_a_conflict_clears_by_itself(oldest: Offer, others: Sequence[Offer]) -> None:
    alike = [replace(offer, export=oldest.export, service=oldest.service) for offer in others]

    assert conflict(oldest, *others, members="a") == AGREED, "a cluster that is no member does not disagree"
    assert conflict(oldest, *(replace(offer, going=True) for offer in others)) == AGREED
    assert conflict(oldest, *alike) == AGREED


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(service(port(81, "x"), 80), id="a port that is not exported"),
        pytest.param(service(80, type="LoadBalancer", cluster_ip="10.96.0.9"), id="how a cluster exposes it"),
        pytest.param(
            Service.parse({"ports": [{"port": 80, "nodePort": 30080, "targetPort": 8080}]}, "it"),
            id="nodePort and targetPort",
        ),
    ],
)
def test_a_difference_that_no_importer_sees_is_no_conflict(same: Service) -> None:
    assert conflict(WEB, replace(WEB, service=same)) == AGREED


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(export((80, "/other")), id="the path"),
        pytest.param(export((80, "/web"), targets=("x/y/z/a",)), id="the scope"),
        pytest.param(export((80, "/web"), (80, "/web")), id="a rule twice"),
        pytest.param(export((99, "/w"), (80, "/web")), id="a rule without a port"),
    ],
)
def test_exports_may_differ_in_what_is_each_clusters_own(same: object) -> None:
    assert conflict(WEB, replace(WEB, export=same)) == AGREED  # type: ignore[arg-type]


def test_everything_is_reported_at_once_in_a_fixed_order() -> None:
    younger = Offer(
        export((81, "/web"), account="*"),
        service(
            81,
            cluster_ip="None",
            session_affinity="ClientIP",
            session_affinity_config={"clientIP": {"timeoutSeconds": 9}},
            internal_traffic_policy="Local",
            traffic_distribution="PreferClose",
        ),
        created=NEW,
    )
    older = offered({"b": WEB}, key=KEY._replace(name="api"), created=OLD)
    contested = offered({"a": WEB, "b": replace(WEB, created=NEW), "c": younger}, created=NEW)
    made = derive(world(fleet("a", "b", "c", "d"), older, contested)).services[KEY]

    answer = condition(made, CONFLICT)
    assert answer.reason == ",".join(reason.value for reason in Conflicting)
    assert answer.reason == (
        "TypeConflict,PortConflict,SessionAffinityConflict,SessionAffinityConfigConflict,"
        "InternalTrafficPolicyConflict,TrafficDistributionConflict,ServiceAccountConflict,PathConflict"
    )
    assert answer.message.count("Conflicting ") == len(Conflicting)
    assert reasons(made) == {"b": ExclusionReason.PATH_CLAIMED, "c": ExclusionReason.TYPE_CONFLICT}


@pytest.mark.parametrize(("first", "second"), [(WEB, HEADLESS), (HEADLESS, WEB)])
def test_exporters_of_another_type_than_the_oldest_are_left_out(first: Offer, second: Offer) -> None:
    offers = {"a": replace(second, created=NEW), "b": replace(first, created=OLD), "c": first}
    made = derived(offers, fleet("a", "b", "c", "d"), created="2026-03-01T00:00:00Z")

    assert made.exporters == ("b", "c")
    assert reasons(made) == {"a": ExclusionReason.TYPE_CONFLICT}
    assert endpoints(made.views["a"]) == {80: ["b", "c"]}
    assert {view.type for view in made.views.values()} == {"ClusterSetIP" if first is WEB else "Headless"}


def test_the_winner_of_today_decides_not_that_of_yesterday() -> None:
    offers = {"a": replace(HEADLESS, created=OLD), "b": replace(WEB, created=NEW)}

    assert derived(offers, fleet("a", "b", "c")).views["c"].type == "Headless"
    drained = fleet("b", "c") | {"a": member("a", drained=True)}
    assert derived(offers, drained).views["c"].type == "ClusterSetIP"


def fields(oldest: Offer) -> Mapping[str, object]:
    [view] = derived({"a": oldest}, fleet("a", "b")).views.values()
    return {name: value for name, value in view.dump().items() if name != "ports"}


@pytest.mark.parametrize(
    ("oldest", "imported"),
    [
        (WEB, {"type": "ClusterSetIP"}),
        (HEADLESS, {"type": "Headless"}),
        (replace(WEB, export=export((80, "/web"), account="*")), {"serviceAccountName": "*"}),
        (web(session_affinity="ClientIP"), {"sessionAffinity": "ClientIP"}),
        (
            sticky(60),
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
        ),
        (web(internal_traffic_policy="Local", traffic_distribution="PreferClose"), {}),
    ],
)
def test_the_import_has_what_the_oldest_exporter_has(oldest: Offer, imported: Mapping[str, object]) -> None:
    assert fields(oldest) == {"type": "ClusterSetIP", **imported}


@given(worlds)
@FEW
def test_only_exporters_that_differ_disagree(world: World) -> None:
    for key, result in derive(world).services.items():
        named = condition(result, CONFLICT).reason.split(",")
        offers = [world.services[key].offers[name] for name in result.exporters]
        otherwise = ExclusionReason.TYPE_CONFLICT in reasons(result).values()
        assert len(set(named)) == len(named)
        assert (Conflicting.TYPE in named) == otherwise
        if not otherwise and all(
            (each.export, each.service) == (offers[0].export, offers[0].service) for each in offers
        ):
            assert named in [[ConditionReason.NO_CONFLICTS], [Conflicting.PATH]]
