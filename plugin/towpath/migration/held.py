"""What members hold: their ServiceImports, who has written them, and what they export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from towpath.errors import InvalidObject
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.traffic import TrafficPolicy
from towpath.rules.paths import normal_path

Object = Mapping[str, Any]
_MANAGED_LABEL = "karmada.io/managed"
_SETTINGS = ("type", "serviceAccountName")


class Endpoint(NamedTuple):
    """An endpoint of one port: by what FSM identifies it and where it connects to."""

    port: int
    cluster_key: str
    ip: str
    gateway_port: int
    path: str

    @property
    def text(self) -> str:
        """The endpoint for people."""
        return f"{self.port} {self.cluster_key} {self.ip}:{self.gateway_port}{self.path}"


@dataclass(frozen=True)
class HeldImport:
    """A ServiceImport in a member. ``managed``: Karmada owns it. ``settings`` are its fields beside ports."""

    endpoints: frozenset[Endpoint] = frozenset()
    managed: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MemberState:
    """What one member holds, as read from ``source``; ``problem`` is why it could not be read.

    ``own_exports`` are the digests of the exports that Karmada does not manage, and ``own_policies`` are such
    traffic policies, None where one cannot be read.
    """

    cluster: str
    source: str = ""
    problem: str = ""
    imports: Mapping[ServiceKey, HeldImport] = field(default_factory=dict)
    exports: frozenset[ServiceKey] = frozenset()
    own_exports: Mapping[ServiceKey, str] = field(default_factory=dict)
    own_policies: Mapping[ServiceKey, TrafficPolicy | None] = field(default_factory=dict)

    def is_managed(self, key: ServiceKey) -> bool:
        """Tell whether Karmada owns the import of a service."""
        held = self.imports.get(key)
        return held is not None and held.managed


def held_import(obj: Object) -> HeldImport:
    """Return what a ServiceImport holds. An endpoint that occurs twice is one."""
    spec = obj.get("spec") or {}
    return HeldImport(frozenset(endpoints_of(spec.get("ports") or ())), is_managed(obj), settings_of(spec))


def is_managed(obj: Object) -> bool:
    """Tell whether Karmada owns an object in a member."""
    return (obj["metadata"].get("labels") or {}).get(_MANAGED_LABEL) == "true"


def own_policy(obj: Object) -> TrafficPolicy | None:
    """Return what a GlobalTrafficPolicy says, None if it cannot be read."""
    try:
        return TrafficPolicy.parse(obj.get("spec") or {}, "GlobalTrafficPolicy")
    except InvalidObject:
        return None


def endpoints_of(ports: Iterable[Object]) -> Iterator[Endpoint]:
    """Yield the endpoints of the ports of an import. Paths are compared as FSM uses them."""
    for port in ports:
        for endpoint in port.get("endpoints") or ():
            target = endpoint["target"]
            path = normal_path(target["path"])
            yield Endpoint(port["port"], endpoint["clusterKey"], target["ip"], target["port"], path)


def settings_of(spec: Object) -> Mapping[str, str]:
    """Return the fields of an import beside its ports."""
    return {name: str(spec[name]) for name in _SETTINGS if spec.get(name)}


def key_of(obj: Object, dialect: Dialect) -> ServiceKey:
    """Return the service of an object."""
    return ServiceKey(dialect, obj["metadata"]["namespace"], obj["metadata"]["name"])
