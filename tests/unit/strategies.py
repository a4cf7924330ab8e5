"""Worlds for properties, as rich as real ones; few names, so that they collide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.unit.worlds import KEY
from towpath.model.cluster import DRAIN_ANNOTATION, Member
from towpath.model.export import WHEN_UNREACHABLE, Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey, cluster_key
from towpath.model.service import EXTERNAL_NAME, Service, ServicePort
from towpath.model.traffic import TrafficPolicy
from towpath.model.world import AppliedPolicy, ExportedService, Offer, World

T = TypeVar("T")

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties over whole worlds, each of which takes milliseconds to make."""

NAMES = ("a", "b", "c", "d")
STRANGER = "gone"
"""A cluster with an offer that is no member."""
PLACES = (("default", "default", "default"), ("eu", "eu-1", "g"))
KEYS = tuple(
    ServiceKey(dialect, namespace, name)
    for dialect in Dialect
    for namespace in ("shop", "bank")
    for name in ("web", "api")
)


def mostly(usual: T, *rare: T, weight: int = 3) -> st.SearchStrategy[T]:
    """Return what is usual in nearly all cases: a world in which nothing works proves little."""
    return st.sampled_from([usual] * weight * len(rare) + list(rare))


_LOST: list[Mapping[str, object]] = [
    {"unreachable_since": since} for since in (0.0, 1.0, 100.0, 250.0, 300.0, 400.0)
]
_TROUBLES: list[Mapping[str, object]] = [
    *_LOST,
    {"gateway_host": "10.0.0.9"},  # several may have it
    {"gateway_port": 8080},
    {"gateway_host": "gw.example.test", "resolved": "10.0.2.1"},
    {"gateway_host": "gw.example.test"},
    {"gateway_host": "127.0.0.1"},
    {"gateway_host": "fe80::1"},
    {"gateway_host": ""},
    {"drained": True},
    {"drained": True, "unreachable_since": 1.0},
]


def members_of(name: str) -> st.SearchStrategy[Member]:
    usual = {"name": name, "gateway_host": f"10.0.1.{ord(name)}"}
    return st.builds(
        lambda place, imports, trouble: Member.model_validate(
            {
                **usual,
                "imports": imports,
                **dict(zip(("region", "zone", "group"), place, strict=True)),
                **trouble,
            }
        ),
        st.sampled_from(PLACES),
        mostly(frozenset(Dialect), *(frozenset({one}) for one in Dialect), frozenset()),
        mostly({}, *_TROUBLES, weight=2),
    )


_every_member = {name: members_of(name) for name in NAMES}
fleets = st.one_of(
    *[st.fixed_dictionaries(_every_member)] * 3, st.fixed_dictionaries({}, optional=_every_member)
).map(dict)


def _port_lists() -> list[tuple[ServicePort, ...]]:
    """Return what an apiserver takes: all are named if several, names and protocols with numbers are unique."""
    named = [
        ServicePort(port=number, protocol=protocol, name=name, app_protocol=app)
        for number, protocol in ((80, "TCP"), (81, "TCP"), (80, "UDP"))
        for name, app in (("http", None), ("grpc", "grpc"), ("http", "http"))
    ]
    single = [(ServicePort(port=80),), (ServicePort(port=81),), *((one,) for one in named)]
    several = [
        those
        for number in (2, 3)
        for those in permutations(named, number)
        if len({one.name for one in those}) == len({(one.port, one.protocol) for one in those}) == number
    ]
    return single * (len(several) // len(single) + 1) + several


services = st.builds(
    lambda ports, more: Service.model_validate({"ports": ports, **more}),
    st.sampled_from(_port_lists()),
    mostly(
        {},
        *[{"cluster_ip": "None"}] * 2,
        {"type": EXTERNAL_NAME},
        {"type": "LoadBalancer", "cluster_ip": "10.96.0.1"},
        {"session_affinity": "ClientIP", "session_affinity_config": {"clientIP": {"timeoutSeconds": 60}}},
        {"session_affinity": "ClientIP", "session_affinity_config": {"clientIP": {"timeoutSeconds": 9}}},
        {"internal_traffic_policy": "Local"},
        {"traffic_distribution": "PreferClose"},
        weight=1,
    ),
)
_cluster_keys = [cluster_key(*place, name) for place in PLACES for name in NAMES]
_rules = st.sampled_from(
    [
        ExportRule(port_number=number, path=path, path_type=kind)
        for kind in ("Prefix", "Prefix", "Exact")
        for number in (80, 80, 81)
        for path in ("/x", "x/", "/y", "/z/1", "")
    ]
)
exports = st.builds(
    lambda rules, targets, account: Export(
        rules=tuple(rules), target_clusters=tuple(targets), service_account_name=account
    ),
    st.one_of(*[st.lists(_rules, min_size=1, max_size=3)] * 7, st.just([])),
    st.just([]) | st.lists(st.sampled_from([*_cluster_keys, "x/y/z/gone"]), max_size=6),
    mostly("", "*"),
)
created = st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])


@st.composite
def _offers(draw: st.DrawFn) -> dict[str, Offer]:
    """Return what each cluster has: mostly the template's objects, elsewhere overridden ones."""
    template = Offer(draw(exports), draw(services))
    return {
        name: replace(draw(_overridden(template)), created=draw(created))
        for name in draw(st.lists(st.sampled_from([*NAMES * 3, STRANGER]), min_size=1, unique=True))
    }


def _overridden(template: Offer) -> st.SearchStrategy[Offer]:
    return st.one_of(
        *[st.just(template)] * 4,
        exports.map(lambda own: replace(template, export=own)),
        *[services.map(lambda own: replace(template, service=own))] * 2,
        st.sampled_from(
            [
                replace(template, service=None),
                replace(template, going=True),
                replace(template, refused=""),
                replace(template, refused="the path is taken"),
            ]
        ),
    )


offers = _offers()
annotations = st.fixed_dictionaries(
    {},
    optional={
        WHEN_UNREACHABLE: st.sampled_from(
            ["Keep", "Withdraw", "WithdrawAfter=5m", "WithdrawAfter=1m40s", "WithdrawAfter=soon", "keep", ""]
        ),
        DRAIN_ANNOTATION: st.sampled_from(
            ["a", "a, b", cluster_key(*PLACES[0], "b"), "true", "false", "", "nobody", " ,"]
        ),
    },
)
some_names = st.frozensets(st.sampled_from([*NAMES, STRANGER]))


def exported(key: ServiceKey) -> st.SearchStrategy[ExportedService]:
    return st.builds(
        ExportedService,
        st.just(key),
        st.just(f"uid-{key.dialect.name}-{key.namespace}-{key.name}"),
        offers,
        created=created,
        annotations=annotations,
        serving=some_names,
        selected=st.booleans(),
    )


def applied(key: ServiceKey) -> st.SearchStrategy[AppliedPolicy]:
    return st.builds(
        AppliedPolicy,
        st.just(key),
        st.just("gtp"),
        st.just(TrafficPolicy()),
        clusters=some_names,
        selected=st.booleans(),
    )


times = st.sampled_from([0.0, 1.0, 100.0, 299.0, 300.0, 350.0, 700.0, 10_000.0])


@st.composite
def _worlds(draw: st.DrawFn, among: Sequence[ServiceKey], *, most: int) -> World:
    keys = draw(st.lists(st.sampled_from(among), min_size=1, max_size=most, unique=True))
    others = draw(st.lists(st.sampled_from(among), max_size=2, unique=True))
    return World(
        draw(fleets),
        {key: draw(exported(key)) for key in keys},
        {key: draw(applied(key)) for key in others},
        now=draw(times),
    )


worlds = _worlds(KEYS, most=4)
"""Any world: both dialects, several namespaces and services."""
of_one_dialect = _worlds([key for key in KEYS if key.dialect is Dialect.FLOMESH], most=3)
of_one_service = _worlds([KEY], most=1)


@st.composite
def moved(draw: st.DrawFn, world: World) -> World:
    """Return a world of one service that differs in a few things: as it is a moment later."""
    members, [service] = dict(world.members), world.services.values()
    offers = dict(service.offers)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(NAMES))
        match draw(st.sampled_from(["member", "left", "offer", "gone", "scope", "other"])):
            case "member":
                members[name] = draw(members_of(name))
            case "left":
                members.pop(name, None)
            case "offer":
                offers |= {name: offer for other, offer in draw(_offers()).items() if other == name}
            case "gone":
                offers.pop(name, None)
            case "scope":  # what everybody has of the template
                export = draw(exports)
                offers = {other: replace(offer, export=export) for other, offer in offers.items()}
            case _:
                service = replace(service, annotations=draw(annotations), created=draw(created))
    later = world.now + draw(st.sampled_from([0.0, 100.0, 1000.0]))
    return World(members, {service.key: replace(service, offers=offers)}, now=later)
