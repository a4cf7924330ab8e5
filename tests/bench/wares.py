"""What the benchmarks apply, and the result they expect in the members."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.plane import MEMBERS, NAMESPACE, Right
from towpath.karmada import resources
from towpath.karmada.client import Object, Resource
from towpath.local.walkthrough import GATEWAYS
from towpath.model.keys import Dialect
from towpath.model.ownership import VIEW_ANNOTATION

EXPORTERS = (MEMBERS[0], MEMBERS[2])
EXPORTS = resources.service_exports(Dialect.FLOMESH)
IMPORTS = resources.service_imports(Dialect.FLOMESH)


def _object(resource: Resource, name: str, **body: Any) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        **body,
    }


def selectors(of: Object) -> list[Object]:
    return [{"apiVersion": of["apiVersion"], "kind": of["kind"], "name": of["metadata"]["name"]}]


def policy(name: str, of: Object, members: Sequence[str] = MEMBERS) -> Object:
    """Return the PropagationPolicy that takes an object to members."""
    placement = {"clusterAffinity": {"clusterNames": list(members)}}
    spec = {"resourceSelectors": selectors(of), "placement": placement}
    return _object(resources.PROPAGATION_POLICIES, name, spec=spec)


def overrides(name: str, of: Object, values: Mapping[str, Mapping[str, Any]]) -> Object:
    """Return the OverridePolicy that replaces fields of an object, by path, with those of each member."""
    rules = [
        {
            "targetCluster": {"clusterNames": [member]},
            "overriders": {
                "plaintext": [
                    {"path": path, "operator": "replace", "value": value} for path, value in own.items()
                ]
            },
        }
        for member, own in values.items()
    ]
    spec = {"resourceSelectors": selectors(of), "overrideRules": rules}
    return _object(resources.OVERRIDE_POLICIES, name, spec=spec)


def ports(*exporters: str, path: str) -> list[Object]:
    """Return the ports of the import of a service that is exported by these members, under this path."""
    endpoints = [
        {
            "clusterKey": f"default/default/default/{member}",
            "target": {"host": GATEWAYS[member], "ip": GATEWAYS[member], "port": 80, "path": path},
        }
        for member in exporters
    ]
    return [{"port": 8080, "protocol": "TCP", "endpoints": endpoints}]


def views(*exporters: str, path: str) -> dict[str, list[Object]]:
    """Return the ports that each member imports."""
    return {member: ports(*(e for e in exporters if e != member), path=path) for member in MEMBERS}


def config_map(name: str, data: str) -> Object:
    return _object(resources.CONFIG_MAPS, name, data={"ports": data})


def service(name: str) -> Object:
    spec = {"ports": [{"port": 8080, "protocol": "TCP"}], "selector": {"app": name}}
    return _object(resources.SERVICES, name, spec=spec)


def export(name: str, path: str) -> Object:
    rule = {"portNumber": 8080, "path": path, "pathType": "Prefix"}
    return _object(EXPORTS, name, spec={"serviceAccountName": "*", "rules": [rule]})


def service_import(name: str, ports: list[Object]) -> Object:
    """Return an import with the digest of its view, which members report as they do of a derived one."""
    made = _object(IMPORTS, name, spec=import_spec(ports))
    made["metadata"]["annotations"] = {VIEW_ANNOTATION: digest(ports)}
    return made


def digest(ports: list[Object]) -> str:
    return hashlib.sha256(json.dumps(ports).encode()).hexdigest()[:16]


def import_spec(ports: list[Object]) -> Object:
    return {"type": "ClusterSetIP", "serviceAccountName": "*", "ports": ports}


def holds(data: str) -> Right:
    return lambda obj: obj is not None and obj["data"] == {"ports": data}


def imports(ports: list[Object]) -> Right:
    return lambda obj: obj is not None and obj["spec"] == import_spec(ports)


def present(obj: Object | None) -> bool:
    return obj is not None


def absent(obj: Object | None) -> bool:
    return obj is None


def applied(*members: str, reported: bool) -> Right:
    """Return the judgement that a binding has its template applied in all these members.

    ``reported``: and that it holds what each member reports of its copy.
    """

    def right(binding: Object | None) -> bool:
        copies = (binding or {}).get("status", {}).get("aggregatedStatus", ())
        there = (c for c in copies if c.get("applied") and (c.get("status") or not reported))
        return {copy["clusterName"] for copy in there}.issuperset(members)

    return right
