"""Worlds for properties, as rich as real ones; few names, so that they collide.

What there can be is listed, the usual more than once and at both ends, since hypothesis likes ends: a world
in which nothing works proves little. Drawing from a list is also much faster than building anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations, product
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support.worlds import KEY
from towpath.model.claim import ClaimRecord
from towpath.model.cluster import DRAIN_ANNOTATION, Member
from towpath.model.export import WHEN_UNREACHABLE, Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey, cluster_key
from towpath.model.service import EXTERNAL_NAME, Service, ServicePort
from towpath.model.traffic import TrafficPolicy
from towpath.model.world import AppliedPolicy, ExportedService, Offer, World

T = TypeVar("T")

FEW = settings(max_examples=settings().max_examples * 2 // 5, suppress_health_check=[HealthCheck.too_slow])
"""For properties over whole worlds, each of which takes milliseconds to make."""
FEWER = settings(FEW, max_examples=FEW.max_examples // 2)
"""For properties over whole histories of worlds."""

NAMES = ("a", "b", "c", "d")
STRANGER = "gone"
"""A cluster with an offer that is no member."""
PLACES = (("default", "default", "default"), ("eu", "eu-1", "g"))
KEYS = tuple(
    ServiceKey(dialect, namespace, name)
    for namespace in ("shop", "bank")
    for name in ("web", "api", "db")
    for dialect in Dialect
)


def mostly(usual: T, *rare: T, weight: int = 2) -> list[T]:
    """Return a list of all values, in which the usual one comes ``weight`` times as often as all others."""
    half = [usual] * (weight * max(len(rare), 1) // 2)
    return [*half, usual, *rare, *half]


_TROUBLES: list[Mapping[str, object]] = mostly(
    {},
    *({"unreachable_since": since} for since in (0.0, 1.0, 100.0, 250.0, 300.0, 400.0)),
    {"gateway_host": "10.0.0.9"},  # several may have it
    {"gateway_port": 8080},
    {"gateway_host": "gw.example.test", "resolved": "10.0.2.1"},
    {"gateway_host": "gw.example.test"},
    {"gateway_host": "127.0.0.1"},
    {"gateway_host": "fe80::1"},
    {"gateway_host": ""},
    {"drained": True},
    {"drained": True, "unreachable_since": 1.0},
    {"data_path": True},
)
_SERVED = mostly(frozenset(Dialect), *(frozenset({single}) for single in Dialect), frozenset(), weight=4)


def _members(name: str) -> list[Member]:
    usual = {"name": name, "gateway_host": f"10.0.1.{ord(name)}"}
    return [
        Member.model_validate(
            {**usual, "region": region, "zone": zone, "group": group, "imports": served, **trouble}
        )
        for (region, zone, group), served, trouble in product(PLACES, _SERVED, _TROUBLES)
    ]


MEMBERS = {name: st.sampled_from(_members(name)) for name in NAMES}
_missing = st.sampled_from(mostly((), NAMES[:1], NAMES[1:3], NAMES, weight=4))
fleets: st.SearchStrategy[dict[str, Member]] = st.builds(
    lambda every, missing: {name: member for name, member in every.items() if name not in missing},
    st.fixed_dictionaries(MEMBERS),
    _missing,
)


def _port_lists() -> list[tuple[ServicePort, ...]]:
    """Return lists that are valid: unique names, all named if several, one number a protocol once."""
    named = [
        ServicePort(port=number, protocol=protocol, name=name, app_protocol=app)
        for number, protocol in ((80, "TCP"), (81, "TCP"), (80, "UDP"))
        for name, app in (("http", None), ("grpc", "grpc"), ("http", "http"))
    ]
    several = [
        chosen
        for number in (2, 3)
        for chosen in permutations(named, number)
        if len({port.name for port in chosen})
        == len({(port.port, port.protocol) for port in chosen})
        == number
    ]
    single = [(ServicePort(port=80),), (named[0],), (ServicePort(port=81),), *((port,) for port in named)]
    return [*single * 2, *several, *single[:2]]


_SORTS: list[Mapping[str, object]] = mostly(
    {},
    {"cluster_ip": "None"},
    {"type": EXTERNAL_NAME},
    {"type": "LoadBalancer", "cluster_ip": "10.96.0.1"},
    {"session_affinity": "ClientIP", "session_affinity_config": {"clientIP": {"timeoutSeconds": 60}}},
    {"session_affinity": "ClientIP", "session_affinity_config": {"clientIP": {"timeoutSeconds": 9}}},
    {"internal_traffic_policy": "Local"},
    {"traffic_distribution": "PreferClose"},
)
services: st.SearchStrategy[Service] = st.sampled_from(
    [Service.model_validate({"ports": ports, **sort}) for sort, ports in product(_SORTS, _port_lists())]
)
_rules = st.sampled_from(
    [
        ExportRule(port_number=number, path=path, path_type=kind)
        for number in (80, 80, 81, 80)
        for path in ("/x", "x/", "/y", "/z", "/z/1", "", "/v", "/w", "/x")
        for kind in ("Prefix", "Exact", "Prefix")
    ]
)
_CLUSTER_KEYS = [*(cluster_key(*place, name) for place in PLACES for name in NAMES[:3]), "x/y/z/no"]
_scopes = st.sampled_from(mostly((), *permutations(_CLUSTER_KEYS, 3)))
exports: st.SearchStrategy[Export] = st.builds(
    lambda rules, targets, account: Export(
        rules=tuple(rules), target_clusters=targets, service_account_name=account
    ),
    st.lists(_rules, max_size=3).map(lambda drawn: drawn or [ExportRule(port_number=80, path="/w")]),
    _scopes,
    st.sampled_from(mostly("", "*", weight=8)),
)
created = st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
_without_rules = Export(service_account_name="*")
_differences = st.sampled_from(
    mostly("", "export", "service", "both", "service", "unbound", "going", "refused", "no rules")
)
_bound = st.lists(st.sampled_from([*NAMES, STRANGER, *NAMES]), min_size=2, max_size=5, unique=True)


@st.composite
def _offers(draw: st.DrawFn) -> dict[str, Offer]:
    """Return the objects of each cluster: mostly the template's objects, elsewhere overridden ones."""
    template = Offer(draw(exports), draw(services))
    return {name: draw(_offer(template)) for name in draw(_bound)}


@st.composite
def _offer(draw: st.DrawFn, template: Offer) -> Offer:
    difference, change = draw(_differences), dict[str, Any]()
    if difference in {"export", "both"}:
        change["export"] = draw(exports)
    if difference in {"service", "both"}:
        change["service"] = draw(services)
    match difference:
        case "unbound":
            change["service"] = None
        case "going":
            change["going"] = True
        case "refused":
            change["refused"] = "the path is taken"
        case "no rules":
            change["export"] = _without_rules
    return replace(template, created=draw(created), **change)


offers = _offers()
annotated = st.fixed_dictionaries(
    {},
    optional={
        WHEN_UNREACHABLE: st.sampled_from(
            ["Keep", "Withdraw", "WithdrawAfter=5m", "WithdrawAfter=1m40s", "WithdrawAfter=soon", "keep", ""]
        ),
        DRAIN_ANNOTATION: st.sampled_from(
            ["false", "a", "a, b", cluster_key(*PLACES[0], "b"), "true", "no-such-cluster", " ,", ""]
        ),
    },
)
some_names = st.frozensets(st.sampled_from([*NAMES, STRANGER]))


_claimed = st.sampled_from(
    mostly(
        None,
        (),
        *(
            (ClaimRecord(path, "Prefix", since, clusters),)
            for path in ("/x", "/w")
            for since in ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
            for clusters in (NAMES, NAMES[:1])
        ),
        weight=6,
    )
)


_shown = st.frozensets(st.tuples(st.sampled_from(NAMES), st.sampled_from(("/x", "/w"))), max_size=2)


@st.composite
def exported(draw: st.DrawFn, key: ServiceKey) -> ExportedService:
    claimed = draw(_claimed)
    return ExportedService(
        key,
        f"uid-{key.dialect.name}-{key.namespace}-{key.name}",
        draw(offers),
        created=draw(created),
        annotations=draw(annotated),
        serving=draw(some_names),
        selected=draw(st.booleans()),
        claimed=claimed,
        untouched=claimed == () and draw(st.booleans()),
        shown=draw(_shown) if claimed == () else frozenset(),
    )


times = st.sampled_from([0.0, 1.0, 100.0, 299.0, 300.0, 350.0, 700.0, 10_000.0])
policies = st.builds(
    lambda key, clusters, selected: AppliedPolicy(key, "uid-gtp", TrafficPolicy(), clusters, selected),
    st.sampled_from(KEYS),
    some_names,
    st.booleans(),
)


@st.composite
def _worlds(draw: st.DrawFn, among: Sequence[ServiceKey], *, most: int) -> World:
    keys = draw(st.lists(st.sampled_from(among), min_size=1, max_size=most, unique=True))
    return World(draw(fleets), {key: draw(exported(key)) for key in keys}, now=draw(times))


worlds = _worlds(KEYS, most=3)
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
                members[name] = draw(MEMBERS[name])
            case "left":
                members.pop(name, None)
            case "offer":
                offers[name] = draw(_offer(Offer(draw(exports), draw(services))))
            case "gone":
                offers.pop(name, None)
            case "scope":  # what everybody has of the template
                export = draw(exports)
                offers = {other: replace(offer, export=export) for other, offer in offers.items()}
            case _:
                service = replace(service, annotations=draw(annotated), created=draw(created))
    later = world.now + draw(st.sampled_from([0.0, 100.0, 1000.0]))
    return World(members, {service.key: replace(service, offers=offers)}, now=later)


def shuffled(items: Iterable[T], random: Random) -> list[T]:
    turned = list(items)
    random.shuffle(turned)
    return turned


def turned(world: World, random: Random) -> World:
    """Return the same world, seen in another order."""

    def service(original: ExportedService) -> ExportedService:
        annotations = dict(shuffled(original.annotations.items(), random))
        return replace(
            original, offers=dict(shuffled(original.offers.items(), random)), annotations=annotations
        )

    members = dict(shuffled(world.members.items(), random))
    return World(
        members,
        {key: service(original) for key, original in shuffled(world.services.items(), random)},
        now=world.now,
    )
