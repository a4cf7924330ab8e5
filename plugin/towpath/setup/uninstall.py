"""Removing Towpath from a Karmada: everything it created, and nothing of its users.

Derived objects are recognized as the plugin recognizes them: the label alone proves nothing, since any user
can set it.

It works whether or not Towpath's processes run. The order makes it safe:

1. the marker of the installation, so that running plugins stop writing;
2. the webhook's configurations, so that it is not called and every object can be edited;
3. the data path, from every member, and its labels on members;
4. permissions and the admission policies that narrow them;
5. the imports and the routes, and their policies only when Karmada has removed them from the members: without
   its OverridePolicy a member would see the full list.

ServiceExports and traffic policies stay, and the CRDs with them unless asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from towpath.errors import ApiError, NotFound, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client, Object, Resource
from towpath.karmada.installation import INSTALLATION, NAMESPACE
from towpath.model.keys import Dialect
from towpath.model.ownership import EXPORT_PREFIX, OWN_OBJECTS, TRAFFIC_PREFIX, is_derived, is_marked, is_own
from towpath.polling import until
from towpath.setup.data_path import remove_data_path
from towpath.setup.install import SHARING, Installed
from towpath.setup.statuses import clear_statuses
from towpath.setup.webhook import unregister
from towpath_webhook.registration.store import SECRET

STEP_SECONDS = 90.0
"""How long one step may take: Karmada's controllers have to remove imports from the members."""
_PERMISSIONS = (
    resources.CLUSTER_ROLE_BINDINGS,
    resources.ROLE_BINDINGS,
    resources.CLUSTER_ROLES,
    resources.ROLES,
    resources.SERVICE_ACCOUNTS,
    resources.ADMISSION_POLICY_BINDINGS,
    resources.ADMISSION_POLICIES,
)
_RECOGNIZED_BY = {
    "ServiceImport": is_marked,
    "PropagationPolicy": is_derived,
    "OverridePolicy": is_derived,
    "HTTPRoute": is_marked,
    "Ingress": is_marked,
}
"""What tells a derived object of a kind from a user's with the same label."""
_CARRIED = (
    *map(resources.service_imports, Dialect),
    resources.HTTP_ROUTES,
    resources.INGRESSES,
)
"""What Karmada carries to members."""
_CLAIMS = ("propagationpolicy.karmada.io/permanent-id", "clusterpropagationpolicy.karmada.io/permanent-id")
"""Labels of a binding that belongs to a policy."""
_USERS_KINDS = (resources.service_exports, resources.traffic_policies, resources.flomesh_clusters)


async def uninstall(
    client: Client, report: Callable[[Installed], None], *, crds: bool = False, dry: bool = False
) -> Mapping[Resource, int]:
    """Remove everything and ``report`` each object; ``crds``: Towpath's CRDs as well, and all their objects.

    Returns how many objects of users were kept, by kind. Raises Unreachable if Karmada does not do its part;
    a second run continues there. A ``dry`` run reports what would be deleted.
    """

    def reported(items: Iterable[Installed]) -> None:
        for item in items:
            report(item)

    reported(await _by_name(client, resources.CONFIG_MAPS, INSTALLATION, dry=dry))
    reported(await unregister(client, dry=dry))
    reported(await remove_data_path(client, STEP_SECONDS, dry=dry))
    for resource in _PERMISSIONS:
        reported(await _clear(client, resource, dry=dry))
    # From here on, nothing creates the Secret again.
    reported(await _by_name(client, resources.SECRETS, SECRET, dry=dry))
    reported(await _carried(client, dry=dry))
    for resource in (resources.OVERRIDE_POLICIES, resources.CUSTOMIZATIONS, resources.LEASES):
        reported(await _clear(client, resource, dry=dry))
    reported(await _propagation(client, dry=dry))
    if crds:
        reported(await _crds(client, dry=dry))
        return {}
    propagated = [] if dry else await bindings_of_crds(client, await _ours(client, SHARING))
    reported(await _clear(client, SHARING, dry=dry))
    await _unbind(client, resources.CLUSTER_BINDINGS, propagated)
    return await users_objects(client) if dry else await clear_statuses(client)


async def users_objects(client: Client) -> dict[Resource, int]:
    """Return how many objects of Towpath's kinds users have, by kind."""
    counts = {}
    for resource in (kind(dialect) for kind in _USERS_KINDS for dialect in Dialect):
        try:
            counts[resource] = len(await client.list(resource))
        except NotFound:
            continue
    return counts


async def _by_name(client: Client, resource: Resource, name: str, *, dry: bool) -> list[Installed]:
    """Delete one object of Towpath's namespace."""
    try:
        await client.get(resource, name, NAMESPACE)
    except NotFound:
        return []
    if not dry:
        await client.delete(resource, name, NAMESPACE)
    return [Installed(resource, name, "deleted", NAMESPACE)]


async def _clear(client: Client, resource: Resource, *, dry: bool) -> list[Installed]:
    """Delete every object of a kind that is Towpath's, and wait until all have gone."""
    objects = {_named(obj): obj for obj in await _ours(client, resource)}
    refusals: list[str] = []

    async def look() -> list[Object]:
        left = await _ours(client, resource)
        refusals.clear()
        for obj in left:
            objects[_named(obj)] = obj
            if obj["metadata"].get("deletionTimestamp"):
                continue
            try:
                await client.delete(resource, obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
            except ApiError as error:  # an apiserver may call the webhook for another moment
                refusals.append(str(error))
        return left

    def otherwise(left: list[Object]) -> Unreachable:
        why = refusals[0] if refusals else "A finalizer holds it. Check that Karmada's controllers run."
        first = _named(left[0])
        return Unreachable(f"{resource} {first.namespace}/{first.name} cannot be deleted: {why}")

    if not dry and objects:
        await until(look, lambda left: not left, patience=STEP_SECONDS, otherwise=otherwise)
    return [Installed(resource, name, "deleted", namespace) for namespace, name in objects]


class _Name(NamedTuple):
    namespace: str
    name: str


def _named(obj: Object) -> _Name:
    return _Name(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


async def _ours(client: Client, resource: Resource) -> list[Object]:
    try:
        labelled = await client.list(resource, selector=OWN_OBJECTS)
    except NotFound:
        return []  # the kind is not served: there can be none
    return list(filter(_RECOGNIZED_BY.get(resource.kind, is_own), labelled))


async def _carried(client: Client, *, dry: bool) -> list[Installed]:
    """Delete imports and routes, and wait until Karmada has removed them from the members."""
    done: list[Installed] = []
    for resource in _CARRIED:
        done += await _clear(client, resource, dry=dry)
    gone = {(item.resource.kind, item.namespace, item.name) for item in done}

    def otherwise(left: list[Object]) -> Unreachable:
        first = left[0]["spec"]["resource"]
        return Unreachable(
            f"{first['kind']} {first.get('namespace', '')}/{first['name']}: Karmada has not removed it from "
            f"the members in {STEP_SECONDS:.0f} s. Check that Karmada's controllers run, and uninstall again."
        )

    if not dry and gone:
        await until(
            lambda: _bindings(client, gone), lambda left: not left, patience=STEP_SECONDS, otherwise=otherwise
        )
    return done


async def _bindings(client: Client, of: Collection[tuple[str, str, str]]) -> list[Object]:
    """Return the bindings of some objects of ours, each given by kind, namespace and name."""
    served = {resource.api_version for resource in _CARRIED}

    def is_of(resource: Object) -> bool:
        named = resource["kind"], resource.get("namespace", ""), resource["name"]
        return resource["apiVersion"] in served and named in of

    return [b for b in await client.list(resources.BINDINGS) if is_of(b["spec"]["resource"])]


async def _propagation(client: Client, *, dry: bool) -> list[Installed]:
    """Delete the derived policies, and the bindings that only a derived policy had asked for."""
    done = await _clear(client, resources.PROPAGATION_POLICIES, dry=dry)
    followed = {
        (kind, item.namespace, item.name.removeprefix(prefix))
        for kind, prefix in (("ServiceExport", EXPORT_PREFIX), ("GlobalTrafficPolicy", TRAFFIC_PREFIX))
        for item in done
        if item.name.startswith(prefix)
    }
    if followed and not dry:
        await _unbind(client, resources.BINDINGS, await _bindings(client, followed))
    return done


async def _crds(client: Client, *, dry: bool) -> list[Installed]:
    """Delete the CRDs, in members as well where Karmada has propagated them, and then that policy."""
    if not dry:
        await release(client, await _ours(client, SHARING))
    return [*await _clear(client, resources.CRDS, dry=dry), *await _clear(client, SHARING, dry=dry)]


async def release(client: Client, policies: Sequence[Object]) -> None:
    """Let Karmada delete in members what the policies have propagated, and wait until it would."""

    async def preserved() -> list[Object]:
        found = await bindings_of_crds(client, policies)
        return [b for b in found if b["spec"].get("preserveResourcesOnDeletion")]

    def otherwise(left: list[Object]) -> Unreachable:
        return Unreachable(
            f"ClusterResourceBinding {_named(left[0]).name}: Karmada still preserves it in members. Check "
            "that Karmada's controllers run."
        )

    for policy in policies:
        released = {"spec": {"preserveResourcesOnDeletion": False}}
        path = SHARING.path("", policy["metadata"]["name"])
        await client.request("PATCH", path, body=released, content_type=MERGE)
    await until(preserved, lambda left: not left, patience=STEP_SECONDS, otherwise=otherwise)


async def bindings_of_crds(client: Client, policies: Sequence[Object]) -> list[Object]:
    """Return the bindings of the CRDs that policies select."""
    selected = {selector["name"] for policy in policies for selector in policy["spec"]["resourceSelectors"]}
    if not selected:
        return []
    found = await client.list(resources.CLUSTER_BINDINGS)
    return [b for b in found if b["spec"]["resource"]["name"] in selected]


async def _unbind(client: Client, resource: Resource, bindings: Sequence[Object]) -> None:
    """Delete bindings that no policy claims any more: Karmada would keep them and what they brought."""
    for before in bindings:
        namespace, name = _named(before)
        try:
            binding = await client.get(resource, name, namespace)
        except NotFound:
            continue
        labels = binding["metadata"].get("labels") or {}
        if not any(claim in labels for claim in _CLAIMS):
            await client.delete(resource, name, namespace, uid=binding["metadata"]["uid"])
