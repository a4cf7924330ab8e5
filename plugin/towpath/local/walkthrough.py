"""The walk-through of the Karmada documentation as data: its manifests, and what they must lead to.

The manifests are applied literally and in order, the PropagationPolicy ``httpbin`` three times under one
name, each time with other selectors. Only on a Karmada with members of other names are ``cluster-1`` to
``cluster-3`` replaced by those, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.karmada.client import Object
from towpath.model import manifest
from towpath.setup.assets import deployed

PLAYERS = ("cluster-1", "cluster-2", "cluster-3")
"""The members of the text: 1 and 3 run httpbin, 2 is the client."""
NAMESPACES = ("httpbin", "curl")
GATEWAYS = {"cluster-1": "10.0.2.4", "cluster-2": "10.0.2.5", "cluster-3": "10.0.2.6"}
URL = "http://httpbin.httpbin:8080"
"""What the client of the text calls."""
CLUSTERS, HTTPBIN, EXPORT, CURL, TRAFFIC = (
    "00-clusters",
    "01-httpbin",
    "02-export",
    "03-curl",
    "04-global-traffic-policy",
)


@dataclass(frozen=True)
class Seen:
    """What one member holds of the walk-through, as the table at the end shows it.

    ``imports`` is None without a ServiceImport; else ``(cluster key, ip, port, path)`` of each endpoint.
    """

    service: bool = False
    export: bool = False
    imports: tuple[tuple[str, str, int, str], ...] | None = None
    traffic: str | None = None


def steps(members: Sequence[str] = PLAYERS) -> dict[str, list[Object]]:
    """Return the objects of each step, by its file's name, with the given members in the players' place."""
    names = dict(zip(PLAYERS, members, strict=True))
    folder = deployed("walkthrough")
    return {
        path.stem: [_renamed(obj, names) for obj in manifest.load(path)]
        for path in sorted(folder.glob("*.yaml"))
    }


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, str):
        head, slash, last = value.rpartition("/")
        return f"{head}{slash}{names.get(last, last)}"
    return value


def expected(members: Sequence[str] = PLAYERS, *, data_path: bool = False) -> dict[str, Seen]:
    """Return what each member must hold in the end. With the data path, the import brings the Service along.

    The text asks all three to export, but by a policy whose name it uses again for another kind. So nothing
    selects the export any more, and after a moment it goes where its Service is (DESIGN, rule 9).
    """
    first, client, third = members

    def endpoint(player: str, name: str) -> tuple[str, str, int, str]:
        return f"default/default/default/{name}", GATEWAYS[player], 80, "/httpbin"

    first_endpoint, third_endpoint = endpoint("cluster-1", first), endpoint("cluster-3", third)
    return {
        first: Seen(service=True, export=True, imports=(third_endpoint,)),
        client: Seen(
            service=data_path,
            imports=tuple(sorted((first_endpoint, third_endpoint))),
            traffic="ActiveActive",
        ),
        third: Seen(service=True, export=True, imports=(first_endpoint,)),
    }


def read_import(obj: Object | None) -> tuple[tuple[str, str, int, str], ...] | None:
    """Return the endpoints of a ServiceImport as ``Seen`` has them.

    One that is not as the text has it (port, protocol, type, account) reads as no endpoints.
    """
    if obj is None:
        return None
    spec = obj["spec"]
    ports = spec["ports"]
    as_told = (
        spec.get("type") == "ClusterSetIP"
        and spec.get("serviceAccountName") == "*"
        and [(p["port"], p.get("protocol")) for p in ports] == [(8080, "TCP")]
    )
    if not as_told:
        return ()
    return tuple(
        (e["clusterKey"], e["target"]["ip"], e["target"]["port"], e["target"]["path"])
        for e in ports[0]["endpoints"]
    )
