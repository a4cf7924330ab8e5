"""What must stay the same over restarts and be the same on all nodes: listener ports, and holders of paths.

Every imported port gets a listener port. It starts from a hash of the name, so that agents that know
nothing yet agree mostly by themselves; what is given once stays given, which is why the allocation is kept
in the member. Where there are not enough, each namespace has its share: one with few imports loses nothing to
one with many, which gives back what is beyond its share. A path of the gateway belongs to the export that
has it already, else to the oldest one that claims it: no later object, and no change of an older one, takes
it away.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from towpath.datapath.world import MemberExport
from towpath.model.keys import ServiceKey
from towpath.model.service import Service
from towpath.rules.paths import normal_path

MAX_RECORDED_BYTES = 900_000
"""An apiserver accepts a ConfigMap of 1 MiB."""


class ImportedPort(NamedTuple):
    """A port of an imported Service."""

    namespace: str
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}"


class PathClaim(NamedTuple):
    """A path of the gateway and how it matches."""

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True)
class Allocation:
    """Who has what. ``ports`` holds also what is not in use now, ``paths`` only what is."""

    ports: Mapping[ImportedPort, int] = field(default_factory=dict)
    paths: Mapping[PathClaim, ServiceKey] = field(default_factory=dict)


def merged(stored: Allocation, ours: Allocation) -> Allocation:
    """Return what is stored, and what we have given and nobody knows of yet."""
    taken = set(stored.ports.values())
    new = {key: port for key, port in ours.ports.items() if port not in taken}
    return Allocation({**new, **stored.ports}, {**ours.paths, **stored.paths})


def allocate_ports(
    wanted: Collection[ImportedPort], known: Mapping[ImportedPort, int], first: int, count: int
) -> dict[ImportedPort, int]:
    """Return the known ports and one for each wanted. One that is missing is beyond its namespace's share.

    A port whose import has gone is given to another one only when no other port is free.
    """
    given: dict[ImportedPort, int] = {}
    taken: set[int] = set()
    for key, port in sorted(known.items()):
        if first <= port < first + count and port not in taken:
            given[key] = port
            taken.add(port)
    new = sorted({key for key in wanted if key not in given})
    if len(new) > count - len(taken):
        served = _shared(wanted, given, count)
        given = {key: port for key, port in given.items() if key in served}
        taken = set(given.values())
        new = [key for key in new if key in served]
    for key in new:
        given[key] = _free(key, taken, first, count)
        taken.add(given[key])
    return given


def _shared(
    wanted: Collection[ImportedPort], given: Collection[ImportedPort], count: int
) -> frozenset[ImportedPort]:
    """Return which of the wanted get a port: in each namespace those first that have one."""
    places: dict[str, list[ImportedPort]] = {}
    for key in set(wanted):
        places.setdefault(key.namespace, []).append(key)
    served: list[ImportedPort] = []
    # Beginning with the smallest: what one does not need is shared among those that need more.
    smallest_first = sorted(places.items(), key=lambda item: (len(item[1]), item[0]))
    for left, (_, keys) in zip(range(len(places), 0, -1), smallest_first, strict=True):
        share = (count - len(served)) // left
        served += sorted(keys, key=lambda key: (key not in given, key))[:share]
    return frozenset(served)


def recorded(allocation: Allocation) -> Allocation:
    """Return what of an allocation is kept in the member: one object holds it, whose size is limited.

    Where there is not enough room, each namespace has its share. What is beyond that is given by age and by
    name again, once no agent knows it.
    """
    sizes: dict[str, dict[ImportedPort | PathClaim, int]] = {}
    for port in allocation.ports:
        sizes.setdefault(port.namespace, {})[port] = _size(str(port))
    for claim, holder in allocation.paths.items():
        sizes.setdefault(holder.namespace, {})[claim] = _size(str(claim)) + len(str(holder))
    if sum(sum(found.values()) for found in sizes.values()) <= MAX_RECORDED_BYTES:
        return allocation
    kept: set[ImportedPort | PathClaim] = set()
    room = MAX_RECORDED_BYTES
    smallest_first = sorted(sizes.items(), key=lambda item: (sum(item[1].values()), item[0]))
    for left, (_, found) in zip(range(len(sizes), 0, -1), smallest_first, strict=True):
        share = room // left
        for entry, size in sorted(found.items(), key=lambda item: str(item[0])):
            if size > share:
                break
            share, room = share - size, room - size
            kept.add(entry)
    return Allocation(
        {port: number for port, number in allocation.ports.items() if port in kept},
        {claim: holder for claim, holder in allocation.paths.items() if claim in kept},
    )


def _size(text: str) -> int:
    """Return how many bytes an entry takes at most, with its value and what stands between entries."""
    return 16 + len(json.dumps(text))


def _free(key: ImportedPort, taken: Collection[int], first: int, count: int) -> int:
    start = int.from_bytes(blake2b(str(key).encode(), digest_size=8).digest()) % count
    return next(first + at for step in range(count) if first + (at := (start + step) % count) not in taken)


def tunnel_host(namespace: str, name: str, port: int) -> str:
    """Return the authority by which a gateway knows the port of a Service in a CONNECT request."""
    return f"{name}.{namespace}.tunnel.towpath.io:{port}"


def claims_of(export: MemberExport) -> tuple[PathClaim, ...]:
    """Return the path of each rule of an export."""
    return tuple(PathClaim(normal_path(rule.path), rule.path_type) for rule in export.export.rules)


def valid_claims(export: MemberExport, service: Service | None) -> frozenset[PathClaim]:
    """Return the paths that an export claims. A rule that names no port of the Service claims nothing."""
    ports = {port.port for port in service.ports} if service is not None else set()
    numbers = (rule.port_number for rule in export.export.rules)
    return frozenset(
        claim for claim, number in zip(claims_of(export), numbers, strict=True) if number in ports
    )


def allocate_paths(
    exports: Mapping[ServiceKey, MemberExport],
    claims: Mapping[ServiceKey, frozenset[PathClaim]],
    known: Mapping[PathClaim, ServiceKey],
) -> dict[PathClaim, ServiceKey]:
    """Return who holds each path that is claimed."""
    held: dict[PathClaim, ServiceKey] = {}
    for key in sorted(exports, key=lambda key: (exports[key].created, key)):
        for claim in claims[key]:
            held.setdefault(claim, key)
    return held | {claim: key for claim, key in known.items() if claim in claims.get(key, ())}
