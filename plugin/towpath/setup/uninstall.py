"""Taking Towpath out of a Karmada: all that it made, and nothing of its users'.

It works with all of Towpath's processes down, and while they run. The order is what makes it safe. First the
configurations, so that nobody asks the webhook and anything can be edited. Then the permissions, so that a
plugin that still runs makes nothing anew. Then the imports, and their policies only when Karmada has taken
the imports from the members: without its OverridePolicy a member would see the full list. ServiceExports and
traffic policies stay, and the CRDs with them unless asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from towpath.errors import ApiError, NotFound, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client, Object, Resource
from towpath.karmada.leader import LEASES
from towpath.model.keys import Dialect
from towpath.model.ownership import EXPORT_PREFIX, FIELD_MANAGER, OWN_OBJECTS, TRAFFIC_PREFIX
from towpath.polling import until
from towpath.setup.install import CRDS, SHARING, Installed
from towpath.setup.webhook import unregister
from towpath_webhook.registration.store import NAMESPACE, SECRET, SECRETS

PATIENCE = 90.0
"""Seconds for one step: Karmada's controllers have to take imports from the members."""
_RBAC = "rbac.authorization.k8s.io"
PERMISSIONS = (
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource(_RBAC, "v1", "roles", "Role"),
)
CLUSTER_BINDINGS = Resource(
    "work.karmada.io", "v1alpha2", "clusterresourcebindings", "ClusterResourceBinding", namespaced=False
)
_CLAIMS = ("propagationpolicy.karmada.io/permanent-id", "clusterpropagationpolicy.karmada.io/permanent-id")
"""Labels of a binding that belongs to a policy."""


async def uninstall(
    client: Client, tell: Callable[[Installed], None], *, crds: bool = False, dry: bool = False
) -> None:
    """Take everything out, and ``tell`` of each object. ``crds``: Towpath's CRDs as well.

    With its CRD every ServiceExport goes. Raises Unreachable if Karmada does not do its part; what was done
    until then need not be done again. A ``dry`` run tells what would be deleted.
    """

    def told(items: Iterable[Installed]) -> None:
        for item in items:
            tell(item)

    told(await unregister(client, dry=dry))
    for resource in PERMISSIONS:
        told(await _clear(client, resource, dry=dry))
    told(await _secret(client, dry=dry))  # only now nobody makes it anew
    told(await _imports(client, dry=dry))
    for resource in (resources.OVERRIDE_POLICIES, resources.CUSTOMIZATIONS, LEASES):
        told(await _clear(client, resource, dry=dry))
    told(await _propagation(client, dry=dry))
    if crds:
        told(await _crds(client, dry=dry))
        return
    brought = [] if dry else await bindings_of_crds(client, await _ours(client, SHARING))
    told(await _clear(client, SHARING, dry=dry))
    await _unbind(client, CLUSTER_BINDINGS, brought)
    if not dry:
        await _unsay(client)


async def _secret(client: Client, *, dry: bool) -> list[Installed]:
    """Delete the webhook's CAs."""
    try:
        await client.get(SECRETS, SECRET, NAMESPACE)
    except NotFound:
        return []
    if not dry:
        await client.delete(SECRETS, SECRET, NAMESPACE)
    return [Installed(SECRETS, SECRET, "deleted", NAMESPACE)]


async def _clear(client: Client, resource: Resource, *, dry: bool) -> list[Installed]:
    """Delete every object of a kind that carries Towpath's label, and wait until all have gone."""
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
            except ApiError as error:  # an apiserver may still ask the webhook for a moment
                refusals.append(str(error))
        return left

    def otherwise(left: list[Object]) -> Unreachable:
        why = refusals[0] if refusals else "something holds it, perhaps Karmada's controllers do not run"
        first = _named(left[0])
        return Unreachable(f"{resource} {first.namespace}/{first.name} does not go: {why}")

    if not dry and objects:
        await until(look, lambda left: not left, patience=PATIENCE, otherwise=otherwise)
    return [Installed(resource, name, "deleted", namespace) for namespace, name in objects]


class _Name(NamedTuple):
    namespace: str
    name: str


def _named(obj: Object) -> _Name:
    return _Name(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


async def _ours(client: Client, resource: Resource) -> list[Object]:
    try:
        return await client.list(resource, selector=OWN_OBJECTS)
    except NotFound:
        return []  # the kind is not served: there can be none


async def _imports(client: Client, *, dry: bool) -> list[Installed]:
    """Delete the imports and wait until Karmada has taken them from the members."""
    done: list[Installed] = []
    for dialect in Dialect:
        done += await _clear(client, resources.service_imports(dialect), dry=dry)
    gone = {("ServiceImport", item.namespace, item.name) for item in done}

    def otherwise(left: list[Object]) -> Unreachable:
        first = _named(left[0])
        return Unreachable(
            f"Karmada has not taken {first.namespace}/{first.name} from the members in {PATIENCE:.0f} s: "
            "do its controllers run? Then uninstall again"
        )

    if not dry and gone:
        await until(
            lambda: _bindings(client, gone), lambda left: not left, patience=PATIENCE, otherwise=otherwise
        )
    return done


async def _bindings(client: Client, of: Collection[tuple[str, str, str]]) -> list[Object]:
    """Return the bindings of some objects of ours, each given by kind, namespace and name."""
    served = {dialect.api_version for dialect in Dialect}

    def is_of(resource: Object) -> bool:
        named = resource["kind"], resource.get("namespace", ""), resource["name"]
        return resource["apiVersion"] in served and named in of

    return [b for b in await client.list(resources.BINDINGS) if is_of(b["spec"]["resource"])]


async def _propagation(client: Client, *, dry: bool) -> list[Installed]:
    """Delete the derived policies, and the bindings that only a policy of ours had asked for."""
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
    """Delete the CRDs, in members as well where Karmada has brought them, and then what brought them."""
    if not dry:
        await release(client, await _ours(client, SHARING))
    return [*await _clear(client, CRDS, dry=dry), *await _clear(client, SHARING, dry=dry)]


async def release(client: Client, policies: Sequence[Object]) -> None:
    """Let what the policies have brought to members go there when it goes here; wait until that is so."""

    async def preserved() -> list[Object]:
        found = await bindings_of_crds(client, policies)
        return [b for b in found if b["spec"].get("preserveResourcesOnDeletion")]

    def otherwise(left: list[Object]) -> Unreachable:
        return Unreachable(
            f"Karmada still preserves {_named(left[0]).name} in members: do its controllers run?"
        )

    for policy in policies:
        released = {"spec": {"preserveResourcesOnDeletion": False}}
        path = SHARING.path("", policy["metadata"]["name"])
        await client.request("PATCH", path, body=released, content_type=MERGE)
    await until(preserved, lambda left: not left, patience=PATIENCE, otherwise=otherwise)


async def bindings_of_crds(client: Client, policies: Sequence[Object]) -> list[Object]:
    """Return the bindings of the CRDs that policies select."""
    selected = {one["name"] for policy in policies for one in policy["spec"]["resourceSelectors"]}
    if not selected:
        return []
    found = await client.list(CLUSTER_BINDINGS)
    return [b for b in found if b["spec"]["resource"]["name"] in selected]


async def _unbind(client: Client, resource: Resource, bindings: Sequence[Object]) -> None:
    """Delete bindings that no policy claims any more: Karmada would leave them, and what they brought."""
    for before in bindings:
        namespace, name = _named(before)
        try:
            binding = await client.get(resource, name, namespace)
        except NotFound:
            continue
        labels = binding["metadata"].get("labels") or {}
        if not any(claim in labels for claim in _CLAIMS):
            await client.delete(resource, name, namespace, uid=binding["metadata"]["uid"])


async def _unsay(client: Client) -> None:
    """Take back what Towpath said in the status of users' objects: nobody keeps it true any more."""
    kinds = (resources.service_exports, resources.traffic_policies, resources.flomesh_clusters)
    for resource in (kind(dialect) for kind in kinds for dialect in Dialect):
        try:
            told = await client.list(resource)
        except NotFound:
            continue
        for obj in told:
            meta = obj["metadata"]
            if any(entry.get("manager") == FIELD_MANAGER for entry in meta.get("managedFields", ())):
                named = {key: meta[key] for key in ("name", "namespace") if key in meta}
                nothing = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": named}
                await client.apply(resource, nothing, FIELD_MANAGER, subresource="status")
