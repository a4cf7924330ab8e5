"""Gathering the evidence: the only part of the checks that calls the apiserver. Nothing is stored.

Dry runs stand in for what can be seen in an answer alone: the clock of the apiserver, and whether it reaches
the webhook.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from towpath.errors import ApiError, NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.karmada.discovery import Discovery
from towpath.karmada.installation import INSTALLATION, NAMESPACE
from towpath.model import manifest
from towpath.model.installation import PathScope
from towpath.model.keys import Dialect
from towpath.model.ownership import is_own
from towpath.model.times import seconds
from towpath.setup.assets import deployed
from towpath.setup.checks.evidence import Evidence, Object, Pair, Permission
from towpath.setup.install import objects_of
from towpath.setup.requirements import BINDINGS
from towpath_webhook.registration import configurations
from towpath_webhook.registration.store import CONFIGURATIONS, Store

_OTHER_VERSIONS = ("multicluster.x-k8s.io/v1alpha1", "net.gke.io/v1")
"""Other API versions of ServiceExport and ServiceImport."""
_EXPORTS = ("serviceexports", "ServiceExport")
_IMPORTS = ("serviceimports", "ServiceImport")
_FAILED = "failed calling webhook "
_NOT_CALLED = "the apiserver has not called it"


async def gather(client: Client) -> Evidence:
    """Return the evidence. Raises ApiError if the apiserver cannot be read."""
    store = Store(client)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task
        version = run(client.json("GET", "/version"))
        bindings = run(_find(client, resources.CRDS, BINDINGS))
        marker = run(_find(client, resources.CONFIG_MAPS, INSTALLATION, NAMESPACE))
        left, leases = run(gather_leftovers(client)), run(_listed(client, resources.LEASES))
        state, bundle = run(store.read()), run(store.bundle())
        clock, answer = run(_server_time(client)), run(_hook_answer(client))
        definitions = run(_pairs(client, manifest.load(deployed("crds"))))
        permissions = run(_permissions(client))
        exports = run(_of_groups(client, *_EXPORTS))
    stored, settings = state.result(), state.result().settings
    paths = PathScope.of((marker.result() or {}).get("data") or {})
    return replace(
        left.result(),
        now=time.time(),
        version=str(version.result().get("gitVersion", "")),
        bindings=bindings.result(),
        installed=_version(marker.result()),
        server_time=clock.result(),
        definitions=definitions.result(),
        objects=await _pairs(client, objects_of(paths)),
        permissions=permissions.result(),
        leases=tuple(lease for lease in leases.result() if _is_ours(lease)),
        settings=settings,
        damage=stored.damage,
        configurations=await _configurations(client, settings, bundle.result()) if settings else (),
        hook_answer=answer.result() if settings else "",
        authorities=tuple(authority.certificate.not_valid_after_utc for authority in stored.authorities),
        exports=exports.result(),
    )


async def gather_running(client: Client) -> Evidence | None:
    """Return the evidence about the processes alone; None if the user may not read it."""
    store = Store(client)
    try:
        marker, leases, clock, stored, bundle, answer = await asyncio.gather(
            _find(client, resources.CONFIG_MAPS, INSTALLATION, NAMESPACE),
            _listed(client, resources.LEASES, NAMESPACE),
            _server_time(client),
            store.read(),
            store.bundle(),
            _hook_answer(client),
        )
    except ApiError:
        return None
    settings = stored.settings
    return Evidence(
        time.time(),
        installed=_version(marker),
        server_time=clock,
        leases=tuple(lease for lease in leases if _is_ours(lease)),
        settings=settings,
        damage=stored.damage,
        configurations=await _configurations(client, settings, bundle) if settings else (),
        hook_answer=answer if settings else "",
    )


async def gather_leftovers(client: Client) -> Evidence:
    """Return the evidence about what another control plane has left in Karmada."""
    members, imports, clusters = await asyncio.gather(
        _listed(client, resources.CLUSTERS),
        _of_groups(client, *_IMPORTS),
        asyncio.gather(*(_listed(client, resources.flomesh_clusters(dialect)) for dialect in Dialect)),
    )
    flomesh = tuple(cluster for listed in clusters for cluster in listed)
    return Evidence(time.time(), members=members, imports=imports, flomesh_clusters=flomesh)


def _version(marker: Object | None) -> str | None:
    """Return the installed version; None if Towpath is not installed."""
    return None if marker is None else str((marker.get("data") or {}).get("version", ""))


def _is_ours(lease: Object) -> bool:
    """Tell whether a lease is the plugin's: its candidates label it."""
    return is_own(lease)


async def _find(client: Client, resource: Resource, name: str, namespace: str = "") -> Object | None:
    try:
        return await client.get(resource, name, namespace)
    except NotFound:
        return None


async def _listed(client: Client, resource: Resource, namespace: str = "") -> tuple[Object, ...]:
    try:
        return tuple(await client.list(resource, namespace))
    except NotFound:
        return ()


async def _of_groups(client: Client, plural: str, kind: str) -> Mapping[str, tuple[Object, ...]]:
    versions = (*(dialect.api_version for dialect in Dialect), *_OTHER_VERSIONS)
    parts = (version.split("/") for version in versions)
    kinds = [Resource(group, version, plural, kind) for group, version in parts]
    found = await asyncio.gather(*(_listed(client, resource) for resource in kinds))
    return {resource.group: objects for resource, objects in zip(kinds, found, strict=True) if objects}


async def _pairs(client: Client, wanted: Iterable[Object]) -> tuple[Pair, ...]:
    """Return each object with what is there: found all at once, and each group is discovered once before."""
    discovery, objects = Discovery(client), tuple(wanted)
    served = [await _served(discovery, obj) for obj in objects]

    async def pair(obj: Object, resource: Resource | None) -> Pair:
        metadata = obj["metadata"]
        if resource is None:
            return Pair(obj, None)
        return Pair(obj, await _find(client, resource, metadata["name"], metadata.get("namespace", "")))

    return tuple(await asyncio.gather(*map(pair, objects, served)))


async def _served(discovery: Discovery, obj: Object) -> Resource | None:
    try:
        return await discovery.of(obj)
    except NotFound:
        return None


async def _configurations(
    client: Client, settings: configurations.Settings, bundle: bytes
) -> tuple[Pair, ...]:
    wanted = configurations.configurations(settings, bundle)
    found = await asyncio.gather(
        *(
            _find(client, CONFIGURATIONS[configuration["kind"]], configuration["metadata"]["name"])
            for configuration in wanted
        )
    )
    return tuple(map(Pair, wanted, found))


async def _server_time(client: Client) -> float | None:
    """Return the apiserver's clock: a dry run of a creation says when that would be."""
    name = f"towpath-check-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}}
    path, query = resources.CONFIG_MAPS.path(NAMESPACE), [("dryRun", "All")]
    try:
        answer = await client.json("POST", path, query=query, body=body)
    except ApiError:
        return None
    return seconds(str(answer["metadata"].get("creationTimestamp", "")))


async def _hook_answer(client: Client) -> str:
    """Return why the webhook does not answer, empty if it does.

    A dry run creates a ServiceExport without the one field that the webhook fills in.
    """
    name, export = f"towpath-check-{secrets.token_hex(4)}", resources.service_exports(Dialect.FLOMESH)
    rule = {"portNumber": 80, "path": f"/{name}"}
    body = {
        "apiVersion": export.api_version,
        "kind": export.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"rules": [rule]},
    }
    try:
        answer = await client.json("POST", export.path("default"), query=[("dryRun", "All")], body=body)
    except ApiError as error:
        _, failed, message = str(error).partition(_FAILED)
        return message if failed else str(error)
    filled = answer["spec"]["rules"][0].get("pathType")
    return "" if filled else _NOT_CALLED


async def _permissions(client: Client) -> tuple[Permission, ...]:
    """Ask the apiserver about each verb that rbac.yaml gives to the plugin and the webhook."""
    wanted = [
        (f"towpath-{part}", rule, obj["metadata"].get("namespace", ""))
        for part in ("plugin", "webhook")
        for obj in manifest.load(deployed("karmada") / "rbac.yaml")
        if obj["kind"] in {"ClusterRole", "Role"} and obj["metadata"]["name"] == f"towpath-{part}"
        for rule in obj["rules"]
    ]
    questions = [
        (account, namespace, group, resource, verb, (rule.get("resourceNames") or [""])[0])
        for account, rule, namespace in wanted
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    return tuple(await asyncio.gather(*(_permission(client, *question) for question in questions)))


async def _permission(
    client: Client, account: str, namespace: str, group: str, resource: str, verb: str, name: str
) -> Permission:
    plural, _, subresource = resource.partition("/")
    attributes = {"namespace": namespace, "group": group, "resource": plural, "verb": verb, "name": name}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{account}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {**attributes, "subresource": subresource},
        },
    }
    answer = await client.json("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
    where = f"{resource}.{group}" if group else resource
    return Permission(account, verb, where, bool((answer.get("status") or {}).get("allowed")))
