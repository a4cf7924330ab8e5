"""A worked case: events in order, and what each cluster imports after the last.

| file | what |
| --- | --- |
| ``input.yaml`` | ``clusters`` known from the start, ``dns``, and ``steps`` |
| ``expected-<cluster>.yaml`` | that member's ServiceImports as ErieCanal leaves them; comment only = none |
| ``desired-<cluster>.yaml`` | the same where ErieCanal's result is a defect: it wins |

The steps only say which world there is in the end: who has joined, and what each member has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from towpath.model.cluster import FlomeshCluster, Member, changed
from towpath.model.export import Export
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.service import Service
from towpath.model.view import View
from towpath.model.world import ExportedService, Offer, World
from towpath.rules.gateway import with_flomesh_cluster

Object = Mapping[str, Any]
Name = tuple[str, str]
"""Namespace and name."""


@dataclass
class _Cluster:
    """What one member has at the moment."""

    exports: dict[Name, tuple[str, Object]] = field(default_factory=dict)
    """Each with the number of the step that created it, as its age."""
    services: dict[Name, Object] = field(default_factory=dict)


@dataclass
class Fleet:
    """All members, as the steps leave them."""

    dns: Mapping[str, str]
    members: dict[str, Member] = field(default_factory=dict)
    clusters: dict[str, _Cluster] = field(default_factory=dict)

    def join(self, cluster: Object) -> None:
        name, spec = cluster["metadata"]["name"], FlomeshCluster.parse(cluster.get("spec") or {}, "Cluster")
        member = with_flomesh_cluster(Member(name=name, imports=frozenset(Dialect)), spec)
        self.members[name] = changed(member, resolved=self.dns.get(member.gateway_host, ""))
        self.clusters.setdefault(name, _Cluster())

    def take(self, number: int, step: Object) -> None:
        """Apply one step. Raises ValueError for one that is not known."""
        match step["op"]:
            case "join":
                self.join(step["clusterObject"])
            case "leave":
                self.members.pop(step["cluster"])
                self.clusters.pop(step["cluster"])
            case "export":
                cluster = self.clusters[step["cluster"]]
                export = step["serviceExport"]
                age, _ = cluster.exports.get(_name(export), (f"{number:06}", None))
                cluster.exports[_name(export)] = (age, export)
                if step.get("service"):
                    cluster.services[_name(step["service"])] = step["service"]
            case "delete":
                _remove(self.clusters[step["cluster"]].exports, step.get("serviceExport"))
            case "deleteService":
                _remove(
                    self.clusters[step["cluster"]].services, step.get("service", step.get("serviceExport"))
                )
            case other:
                raise ValueError(f"step {number}: there is no op {other!r}")

    def world(self, dialect: Dialect) -> World:
        names = {name for cluster in self.clusters.values() for name in cluster.exports}
        services = (self._service(ServiceKey(dialect, *name)) for name in sorted(names))
        return World(self.members, {service.key: service for service in services})

    def _service(self, key: ServiceKey) -> ExportedService:
        name = (key.namespace, key.name)
        offers = {}
        for member, cluster in self.clusters.items():
            if name in cluster.exports:
                age, export = cluster.exports[name]
                service = cluster.services.get(name)
                spec = Service.parse(service["spec"], "Service") if service else None
                offers[member] = Offer(Export.parse(export["spec"], "ServiceExport"), spec, created=age)
        return ExportedService(key, "uid", offers)


def _remove(objects: dict[Name, Any], which: Object | None) -> None:
    """Remove one object, or all there are if the step does not say which."""
    if which is None:
        objects.clear()
    else:
        objects.pop(_name(which), None)


def _name(obj: Object) -> Name:
    meta = obj.get("metadata", obj)
    return (meta.get("namespace", "default"), meta["name"])


def world_of(case: Path, dialect: Dialect) -> World:
    """Return the world that a case's steps lead to."""
    document = yaml.safe_load((case / "input.yaml").read_text())
    fleet = Fleet(document.get("dns") or {})
    for cluster in document.get("clusters") or ():
        fleet.join(cluster)
    for number, step in enumerate(document["steps"], 1):
        fleet.take(number, step)
    return fleet.world(dialect)


def wanted(case: Path) -> dict[str, dict[Name, object]]:
    """Return the imports of each cluster, in a form that can be compared."""
    files = {file.stem.removeprefix("expected-"): file for file in case.glob("expected-*.yaml")}
    files |= {file.stem.removeprefix("desired-"): file for file in case.glob("desired-*.yaml")}
    return {cluster: dict(_imports(file)) for cluster, file in sorted(files.items())}


def _imports(file: Path) -> Iterator[tuple[Name, object]]:
    for obj in yaml.safe_load_all(file.read_text()):
        if obj:
            yield _name(obj), comparable(obj["spec"])


def comparable(spec: Object) -> object:
    """Return the relevant fields of a spec: ports in order, endpoints as a set, absent fields empty."""
    ports = [
        {
            "port": port["port"],
            "protocol": port.get("protocol", "TCP"),
            "name": port.get("name", ""),
            "appProtocol": port.get("appProtocol", ""),
            "endpoints": {e["clusterKey"]: e["target"] for e in port["endpoints"]},
        }
        for port in spec["ports"]
    ]
    account = spec.get("serviceAccountName", "")
    return {"type": spec.get("type"), "serviceAccountName": account, "ports": ports}


def shown(view: View) -> object:
    """Return a view in the same form."""
    return comparable(view.dump())
