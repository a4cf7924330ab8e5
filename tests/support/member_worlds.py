"""Random worlds of one member: mostly sensible, with few names that collide, and all that can be wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from random import Random
from typing import Any, NamedTuple, TypeVar

from tests.support.members import ck, export, imported, policy, service
from towpath.datapath.world import (
    PROXIES,
    MemberExport,
    MemberImport,
    MemberPolicy,
    ServiceName,
    Slice,
    SliceEndpoint,
    SlicePort,
    World,
)
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.service import Service

T = TypeVar("T")
NAMES = ("web", "api", "db", "a.dotted.name", "x" * 63)
NAMESPACES = ("shop", "bank")
CLUSTERS = ("c1", "c2", "c3", "", "ü", "a/b")
_PATHS = (
    "/web",
    "/web",
    "/web/",
    "/api",
    "/",
    "",
    "web",
    "/a//b",
    "/a b",
    "/a?b",
    "/%zz",
    "/ü",
    "/a/../b",
    "/" + "y" * 300,
    "/a\n",
    "/[x]",
    "/{x}",
)
_ADDRESSES = (
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "::1",
    "2001:db8::1",
    "fe80::1%eth0",
    "0.0.0.0",  # noqa: S104 - not to listen on
    "::",
    "224.0.0.1",
    "10.0.0.01",
    "host",
    "",
    "127.0.0.1",
)
_PORTS = (80, 80, 80, 81, 443, 5432, 0, -1, 65535, 65536, 1 << 40)
_PROTOCOLS = (None, None, None, "http", "grpc", "tcp", "TCP", "kubernetes.io/h2c", "", "mysql", "x\ny")
_PORT_NAMES = ("", "http", "grpc-x", "tcp", "tcp-db", "redis-0")
_WEIGHTS = (None, None, 0, 1, 2, 3, 50, 100, -1, (1 << 32) + 1, 10**15)
_PATTERNS = "ab/()[]*+?^$.|\\$1-{}"


class Item(NamedTuple):
    """An object of a world: the field of the world that holds it, its key and itself."""

    field: str
    key: Any
    value: Any


def items(random: Random) -> list[Item]:
    """Return the objects of a random world, in a random order."""
    found: list[Item] = []
    for namespace in NAMESPACES:
        for name in random.sample(NAMES, random.randrange(1, len(NAMES))):
            service_name = ServiceName(namespace, name)
            if random.random() < 0.9:
                found.append(Item("services", service_name, _service(random)))
            found += [
                Item("slices", (service_name, n), _slice(random, name)) for n in range(random.randrange(3))
            ]
            for dialect in random.sample(tuple(Dialect), random.choice((1, 1, 1, 2))):
                key = ServiceKey(dialect, namespace, name)
                found += _objects(random, key)
    proxies = Slice(PROXIES.name, "IPv4", (), tuple(_proxy(random, n) for n in range(random.randrange(4))))
    found.append(Item("slices", (PROXIES, 0), proxies))
    random.shuffle(found)
    return found


def world(found: Iterable[Item]) -> World:
    """Return the world that holds these objects."""
    made: dict[str, dict[Any, Any]] = {field.name: {} for field in fields(World)}
    for field, key, value in found:
        if field == "slices":
            owner, number = key
            made[field].setdefault(owner, {})[f"{owner.name}-{number}"] = value
        else:
            made[field][key] = value
    return World(**made)


def _objects(random: Random, key: ServiceKey) -> Iterable[Item]:
    if random.random() < 0.7:
        yield Item("imports", key, _import(random))
    if random.random() < 0.7:
        yield Item("policies", key, _policy(random))
    if random.random() < 0.7:
        yield Item("exports", key, _export(random))


def _service(random: Random) -> Service:
    numbers = random.sample((80, 81, 443, 5432), random.randrange(1, 4))
    original = service(*numbers, names=[random.choice(_PORT_NAMES) for _ in numbers])
    changes: Sequence[dict[str, Any]] = ({}, {}, {}, {}, {"cluster_ip": "None"}, {"type": "ExternalName"})
    return original.model_copy(update=random.choice(changes))


def _slice(random: Random, name: str) -> Slice:
    kind = random.choice(("IPv4", "IPv4", "IPv6", "FQDN"))
    addresses = {"IPv4": "10.1.0.%d", "IPv6": "2001:db8::%d", "FQDN": "host%d.example.org"}[kind]
    ports = [SlicePort(random.choice(_PORT_NAMES), random.choice((80, 8080))) for _ in range(2)]
    endpoints = tuple(
        SliceEndpoint(addresses % random.randrange(9), random.random() < 0.7, random.random() < 0.9)
        for _ in range(random.randrange(4))
    )
    return Slice(name, kind, tuple(ports), endpoints, published=random.random() < 0.1)


def _proxy(random: Random, number: int) -> SliceEndpoint:
    ready = random.random() < 0.8
    return SliceEndpoint(f"10.2.0.{number}", ready, ready, f"node-{number}")


def _import(random: Random) -> MemberImport:
    ports = [
        {
            "port": random.choice(_PORTS),
            "protocol": random.choice(("TCP", "TCP", "TCP", "UDP", "")),
            "name": random.choice(_PORT_NAMES),
            "appProtocol": random.choice(_PROTOCOLS),
            "endpoints": [_endpoint(random) for _ in range(random.randrange(5))],
        }
        for _ in range(random.randrange(1, 3))
    ]
    return imported(ports=ports, sessionAffinity=random.choice((None, "None", "ClientIP", "?")))


def _endpoint(random: Random) -> dict[str, Any]:
    address = random.choice(_ADDRESSES)
    target = {"host": address, "ip": address, "port": random.choice(_PORTS), "path": random.choice(_PATHS)}
    return {"clusterKey": random.choice((*map(ck, CLUSTERS), "", "////")), "target": target}


def _policy(random: Random) -> MemberPolicy:
    targets = [(random.choice(CLUSTERS), random.choice(_WEIGHTS)) for _ in range(random.randrange(4))]
    tiers = ",".join(
        f"{ck(random.choice(CLUSTERS))}={random.randrange(9)}" for _ in range(random.randrange(3))
    )
    kind = random.choice(("ActiveActive", "ActiveActive", "FailOver", "FailOver", "Locality"))
    return policy(kind, *targets, tiers=tiers)


def _export(random: Random) -> MemberExport:
    rules = [
        {
            "portNumber": random.choice(_PORTS),
            "path": random.choice(_PATHS),
            "pathType": random.choice(("Prefix", "Exact", "?")),
        }
        for _ in range(random.randrange(1, 4))
    ]
    more: dict[str, Any] = {}
    if random.random() < 0.5:
        pattern = "".join(random.choice(_PATTERNS) for _ in range(random.randrange(8)))
        more["pathRewrite"] = {"from": pattern, "to": random.choice(("/", "/$1", "", "/x y", "/\\1"))}
    return export(
        rules=rules,
        created=f"2026-01-0{random.randrange(1, 9)}T00:00:00Z",
        sessionSticky=random.random() < 0.2,
        loadBalancer=random.choice(
            ("RoundRobinLoadBalancer", "HashingLoadBalancer", "LeastWorkLoadBalancer")
        ),
        keep_path=random.random() < 0.2,
        **more,
    )
