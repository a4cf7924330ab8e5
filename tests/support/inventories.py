"""An inventory with given objects, as if read from a Karmada; it cannot call an apiserver."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import msgspec

from towpath.derivation.index import Incremental
from towpath.derivation.render import Rendered, render
from towpath.inventory.inventory import Inventory
from towpath.karmada.reflector import Reflector
from towpath.karmada.wire import Name
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.ownership import MANAGED_BY
from towpath.rules.gateway_route import RouteKind

Object = dict[str, Any]
GROUP = Dialect.FLOMESH.api_version
_version = itertools.count(1)


class NoCalls:
    """Stands where a client of the apiserver would be used, and is not."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"an API call: {name}")


def knowing(*objects: Object, world: Incremental | None = None, client: object = None) -> Inventory:
    """Return an inventory that has heard of these objects; ``world`` takes the place of its own."""
    made = Inventory(client or NoCalls(), lambda _: None)  # type: ignore[arg-type]
    if world is not None:
        made.world = world
    tell(made, *objects)
    return made


def tell(inventory: Inventory, *objects: Object) -> None:
    """Let an inventory hear of objects as they are now."""
    watched = inventory.watched
    users: list[Reflector[Any]] = [*watched.user_policies, *watched.user_overrides]
    # Two reflectors read policies: one those of users, and one those that are derived.
    derived = {_type(reflector): reflector for reflector in watched.reflectors if reflector not in users}
    reflectors = derived | {_type(reflector): reflector for reflector in users}
    for obj in objects:
        meta = {**obj["metadata"], "resourceVersion": str(next(_version))}
        raw = msgspec.json.encode({**obj, "metadata": meta})
        by_type = derived if meta.get("labels", {}).items() >= MANAGED_BY.items() else reflectors
        by_type[obj["apiVersion"], obj["kind"]].learn(raw)


def _type(reflector: Reflector[Any]) -> tuple[str, str]:
    return reflector.resource.api_version, reflector.resource.kind


def forget(inventory: Inventory, obj: Object) -> None:
    """Let an inventory hear that an object of a user is gone."""
    name = Name(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    for reflector in inventory.watched.reflectors:
        if _type(reflector) == (obj["apiVersion"], obj["kind"]):
            reflector._remove(name, next(_version))


def deleting(obj: Object) -> Object:
    """Return an object whose deletion was requested and that a finalizer keeps."""
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": "2026-01-02T00:00:00Z"}}


def metadata(name: str, namespace: str = "shop", **more: object) -> Object:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "uid": f"uid-of-{name}", **more}


def cluster(
    name: str,
    gateway: str = "",
    *,
    serves: Iterable[str] = (GROUP,),
    routes: Iterable[RouteKind] = RouteKind,
    **spec: object,
) -> Object:
    """Return a Ready member; its gateway has an address of its own unless one is given."""
    gateway = gateway or f"10.0.0.{sum(map(ord, name)) % 250}:80"
    served = [(version, "ServiceImport") for version in serves]
    served += [(kind.api_version, str(kind)) for kind in routes]
    return {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": metadata(name, "", annotations={"towpath.io/gateway": gateway}),
        "spec": spec,
        "status": {
            "apiEnablements": [
                {"groupVersion": version, "resources": [{"kind": kind, "name": f"{kind.lower()}s"}]}
                for version, kind in served
            ]
        },
    }


def annotated(obj: Object, **annotations: str) -> Object:
    """Return an object with annotations of Towpath."""
    own = {f"towpath.io/{name}": text for name, text in annotations.items()}
    return {
        **obj,
        "metadata": {**obj["metadata"], "annotations": {**obj["metadata"].get("annotations", {}), **own}},
    }


def clusters(*names: str) -> list[Object]:
    return [cluster(name) for name in names]


def export(
    name: str = "web",
    *rules: tuple[int, str],
    targets: Iterable[str] = (),
    version: str = GROUP,
    created: str = "2026-01-01T00:00:00Z",
    **meta: Any,
) -> Object:
    spec: Object = {
        "rules": [{"portNumber": port, "path": path} for port, path in rules or ((80, f"/{name}"),)]
    }
    if targets:
        spec["targetClusters"] = list(targets)
    return {
        "apiVersion": version,
        "kind": "ServiceExport",
        "metadata": metadata(name, creationTimestamp=created, **{"generation": 1, **meta}),
        "spec": spec,
    }


def service(name: str = "web", *ports: Mapping[str, object], **meta: Any) -> Object:
    """Return a Service that some policy has claimed."""
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, **meta),
        "spec": {"ports": list(ports or ({"port": 80},))},
    }
    return claimed(obj, propagation("some"))


def policy(name: str = "web", kind: str = "ActiveActive", *targets: Mapping[str, object]) -> Object:
    return {
        "apiVersion": GROUP,
        "kind": "GlobalTrafficPolicy",
        "metadata": metadata(name),
        "spec": {"lbType": kind, "targets": list(targets)},
    }


def binding(template: Object, *clusters: str, reported: Mapping[str, Object] | None = None) -> Object:
    """Return Karmada's binding of a template that all clusters have; ``reported`` is the status of copies."""
    meta = template["metadata"]
    return {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": metadata(f"{meta['name']}-{template['kind'].lower()}"),
        "spec": {
            "resource": {
                "apiVersion": template["apiVersion"],
                "kind": template["kind"],
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
            "clusters": [{"name": name} for name in clusters],
        },
        "status": {"aggregatedStatus": aggregated({name: {} for name in clusters} | dict(reported or {}))},
    }


def aggregated(reported: Mapping[str, Object]) -> list[Object]:
    return [{"clusterName": name, "status": status, "applied": True} for name, status in reported.items()]


def invalid(message: str) -> Object:
    """Return the status of a copy that its cluster refuses."""
    return {"conditions": [{"type": "Valid", "status": "False", "reason": "Bad", "message": message}]}


def exported(name: str = "web", *clusters: str, **more: Any) -> list[Object]:
    """Return an export and its Service, both claimed by a policy and bound to clusters."""
    of_both = propagation("user")
    made, behind = claimed(export(name, **more), of_both), claimed(service(name), of_both)
    return [made, behind, binding(made, *clusters), binding(behind, *clusters)]


def key(name: str = "web") -> ServiceKey:
    return ServiceKey(Dialect.FLOMESH, "shop", name)


def propagation(name: str, *selectors: Mapping[str, object], kind: str = "PropagationPolicy") -> Object:
    """Return a user's policy."""
    return {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": kind,
        "metadata": metadata(name, "shop" if kind == "PropagationPolicy" else ""),
        "spec": {"resourceSelectors": list(selectors)},
    }


def claimed(obj: Object, by: Object) -> Object:
    """Return a template as the policy that has claimed it, in the place of others, leaves it."""
    prefix, meta = f"{by['kind'].lower()}.karmada.io", by["metadata"]
    notes = {
        name: text for name, text in obj["metadata"].get("annotations", {}).items() if "karmada" not in name
    }
    notes[f"{prefix}/name"] = meta["name"]
    if "namespace" in meta:
        notes[f"{prefix}/namespace"] = meta["namespace"]
    return {**obj, "metadata": {**obj["metadata"], "annotations": notes}}


def rendered(inventory: Inventory, now: float = 1_800_000_000.0) -> Rendered:
    """Return the objects that are derived for the export ``web``."""
    service, derived = inventory.world.services.get(key()), inventory.world.derived(key(), now)
    assert service is not None, "there is no such export"
    assert derived is not None, "it is not derived"
    return render(key(), service.uid, derived)


def carry(inventory: Inventory, digests: Mapping[str, str] | None = None) -> None:
    """Write what is derived for ``web``, and let members report: without ``digests`` what they should."""
    made = rendered(inventory)
    for obj in made.objects:
        stored = {**obj, "metadata": {**obj["metadata"], "uid": f"uid-of-{obj['kind']}"}}
        by = propagation("towpath-import-web")
        tell(inventory, claimed(stored, by) if obj["kind"] == "ServiceImport" else stored)
    meta = {**metadata("web"), "uid": "uid-of-ServiceImport"}
    template = {"apiVersion": GROUP, "kind": "ServiceImport", "metadata": meta}
    held = made.digests if digests is None else digests
    reported: dict[str, Object] = {name: {"view": digest} for name, digest in held.items()}
    tell(inventory, binding(template, *held, reported=reported))
