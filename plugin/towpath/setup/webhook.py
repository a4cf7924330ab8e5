"""Making the apiserver and Karmada ask the webhook, and ending that. Server first, configurations after.

Whether the webhook answers is asked where it counts: of the apiserver, which is given a configuration that
concerns one object with a label of its own, and then that object, as a dry run. So address, name resolution
and trust are proven before anything of users depends on them.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from towpath.errors import ApiError, Conflict, NotFound, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.model import manifest
from towpath.model.keys import Dialect
from towpath.model.ownership import is_own
from towpath.polling import until
from towpath.setup.assets import deployed
from towpath.setup.install import MANAGER, Installed, put, put_all
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Interpreter, Settings
from towpath_webhook.registration.store import CONFIG_MAPS, CONFIGURATIONS, NAMESPACE, SECRET, SETTINGS, Store

PATIENCE = 30.0
"""Seconds that the webhook has to make its CA, and to answer."""


async def stored(client: Client) -> Settings | None:
    """Return the settings of an earlier registration."""
    return (await Store(client).see()).settings


async def register(
    client: Client,
    settings: Settings,
    *,
    ca: bytes | None = None,
    patience: float = PATIENCE,
    dry: bool = False,
) -> list[Installed]:
    """Write down the settings and, once the webhook answers, its configurations.

    ``ca`` is given if others make the webhook's certificate. Raises Unreachable, with nothing registered, if
    it does not answer. A ``dry`` run tells what would be done, without asking the webhook.
    """
    done = [await put(client, CONFIG_MAPS, _config_map(settings), dry=dry)]
    bundle = ca if ca is not None else await _bundle(client, 0 if dry else patience, dry=dry)
    if not dry:
        await _check(client, settings, bundle, patience)
    # The other interpreter goes when this one is there: where both are, Karmada asks Lua.
    lua = manifest.load(deployed("karmada") / "interpreter-lua.yaml")
    if settings.interpreter is Interpreter.LUA:
        done += await put_all(client, lua, dry=dry)
    done += [await _put(client, one, dry=dry) for one in configurations.configurations(settings, bundle)]
    if settings.interpreter is not Interpreter.WEBHOOK:
        done += await _take_out(
            client, CONFIGURATIONS[configurations.INTERPRETING], configurations.NAME, dry=dry
        )
    if settings.interpreter is not Interpreter.LUA:
        for one in lua:
            done += await _take_out(client, resources.CUSTOMIZATIONS, one["metadata"]["name"], dry=dry)
    return done


async def unregister(client: Client, *, dry: bool = False) -> list[Installed]:
    """Delete the configurations, then nobody asks the webhook any more, and what `install` knows of them."""
    done = []
    for resource in CONFIGURATIONS.values():
        done += await _take_out(client, resource, configurations.NAME, dry=dry)
    return [*done, *await _take_out(client, CONFIG_MAPS, SETTINGS, NAMESPACE, dry=dry)]


def _config_map(settings: Settings) -> Object:
    metadata = {"name": SETTINGS, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings.dump()}


async def _bundle(client: Client, patience: float, *, dry: bool) -> bytes:
    """Return the CAs that the webhook has made. Raises Unreachable if it has made none in time."""

    async def look() -> bytes:
        return await Store(client).bundle()

    def otherwise(_: bytes) -> Unreachable:
        return Unreachable(
            f"the webhook has made no CA in {patience:.0f} s (Secret {NAMESPACE}/{SECRET}): start "
            "`towpath serve webhook` with its kubeconfig and install again, or give --webhook-ca"
        )

    return await until(look, lambda found: dry or bool(found), patience=patience, otherwise=otherwise)


async def _check(client: Client, settings: Settings, bundle: bytes, patience: float) -> None:
    """Return once the apiserver reaches the webhook. Raises Unreachable with what it says otherwise."""
    probe = configurations.probe(settings, bundle)
    mutating = CONFIGURATIONS[configurations.MUTATING]
    where = settings.dump()

    def otherwise(said: str) -> Unreachable:
        return Unreachable(
            f"the webhook does not answer the apiserver at {where.get('url') or where['service']}: {said}; "
            "nothing asks it yet: start `towpath serve webhook` there, then install again"
        )

    await client.apply(mutating, probe, MANAGER)
    try:
        await until(lambda: _probe(client), lambda said: not said, patience=patience, otherwise=otherwise)
    finally:
        await client.delete(mutating, probe["metadata"]["name"])


async def _probe(client: Client) -> str:
    """Return what is in the way, empty if the apiserver has asked the webhook."""
    clusters = resources.flomesh_clusters(Dialect.FLOMESH)
    try:
        answer = await client.request(
            "POST", clusters.path(), query=[("dryRun", "All")], body=configurations.probed()
        )
    except ApiError as error:
        return str(error).rpartition("failed calling webhook ")[2]
    spec: dict[str, Any] = json.loads(answer)["spec"]
    return "it was not asked" if spec.get("kubeconfig") else ""


async def _put(client: Client, configuration: Object, *, dry: bool) -> Installed:
    """Write one configuration, whole: what an older version or somebody else added to it must go."""
    resource, name = CONFIGURATIONS[configuration["kind"]], configuration["metadata"]["name"]
    while True:
        try:
            live = await client.get(resource, name)
        except NotFound:
            if not dry:
                await client.json("POST", resource.path(), body=configuration)
            return Installed(resource, name, "created")
        if not is_own(live):
            return Installed(resource, name, "kept")
        right = configurations.repaired(live, configuration)
        if right is None:
            return Installed(resource, name, "unchanged")
        with suppress(Conflict):  # the webhook itself was quicker: look again
            if not dry:
                await client.json("PUT", resource.path("", name), body=right)
            return Installed(resource, name, "updated")


async def _take_out(
    client: Client, resource: Resource, name: str, namespace: str = "", *, dry: bool
) -> list[Installed]:
    try:
        live = await client.get(resource, name, namespace)
    except NotFound:
        return []
    if not is_own(live):
        return [Installed(resource, name, "kept", namespace)]
    if not dry:
        await client.delete(resource, name, namespace)
    return [Installed(resource, name, "deleted", namespace)]
