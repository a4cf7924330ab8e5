"""Registering the webhook with the apiserver and with Karmada, and removing the registration.

The webhook runs first, the registration follows. ``register`` writes the new address down as a candidate, so
that the webhook issues a certificate for it, and then asks the apiserver to call that address (``probe``).
Only when the webhook has answered are the settings and the configurations written, and everything is put back
as it was if any of this fails: a mistyped port leaves the registration that works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from towpath.errors import Conflict, NotFound, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.karmada.installation import NAMESPACE
from towpath.model import manifest
from towpath.model.ownership import is_own
from towpath.polling import until
from towpath.setup import probe
from towpath.setup.assets import deployed
from towpath.setup.install import Installed, put, put_all
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Interpreter, Settings
from towpath_webhook.registration.store import CONFIGURATIONS, SECRET, SETTINGS, Store

ANSWERS_WITHIN_SECONDS = 30.0
"""How long the webhook may take to create its CA, and then to answer."""


async def stored(client: Client) -> Settings | None:
    """Return the settings of the present registration."""
    return (await Store(client).read()).settings


async def register(
    client: Client,
    settings: Settings,
    *,
    ca: bytes | None = None,
    patience: float = ANSWERS_WITHIN_SECONDS,
    dry: bool = False,
) -> list[Installed]:
    """Write settings and configurations once the webhook has answered at its address.

    ``ca`` is given if the webhook's certificate has another origin. Raises Unreachable if it does not answer;
    the registration is then as it was before. A ``dry`` run reports what would be done, and does not probe.
    """
    known = await stored(client)
    settings = replace(settings, token=(known.token if known else "") or configurations.new_token())
    if dry:
        return await _write(
            client, settings, ca if ca is not None else await Store(client).bundle(), dry=True
        )
    async with _restored_on_failure(client):
        live = await _find(client, resources.CONFIG_MAPS, SETTINGS, NAMESPACE)
        present = (live or {}).get("data") or {}
        await put(client, resources.CONFIG_MAPS, _config_map(settings.as_candidate(present)))
        bundle = ca if ca is not None else await _bundle(client, patience)
        await probe.check(client, settings, bundle, patience)
        return await _write(client, settings, bundle, before=live)


async def _write(
    client: Client, settings: Settings, bundle: bytes, *, before: Object | None = None, dry: bool = False
) -> list[Installed]:
    """Write the settings, and the configurations that follow from them."""
    made = await put(client, resources.CONFIG_MAPS, _config_map(settings.dump()), dry=dry)
    if not dry:
        same = before is not None and before.get("data") == settings.dump()
        made = made._replace(how="created" if before is None else "unchanged" if same else "updated")
    done = [made]
    # One interpreter is added before the other is removed: where both exist, Karmada uses Lua.
    lua = _lua()
    if settings.interpreter is Interpreter.LUA:
        done += await put_all(client, lua, dry=dry)
    done += [
        await _put(client, configuration, dry=dry)
        for configuration in configurations.configurations(settings, bundle)
    ]
    if settings.interpreter is not Interpreter.WEBHOOK:
        interpreting = CONFIGURATIONS[configurations.INTERPRETING]
        done += await _take_out(client, interpreting, configurations.NAME, dry=dry)
    if settings.interpreter is not Interpreter.LUA:
        for customization in lua:
            done += await _take_out(
                client, resources.CUSTOMIZATIONS, customization["metadata"]["name"], dry=dry
            )
    return done


async def unregister(client: Client, *, dry: bool = False) -> list[Installed]:
    """Delete the configurations, after which the webhook is not called, and then the settings."""
    done = []
    for resource in CONFIGURATIONS.values():
        done += await _take_out(client, resource, configurations.NAME, dry=dry)
    return [*done, *await _take_out(client, resources.CONFIG_MAPS, SETTINGS, NAMESPACE, dry=dry)]


def _lua() -> list[Object]:
    return manifest.load(deployed("karmada") / "interpreter-lua.yaml")


def _config_map(data: dict[str, str]) -> Object:
    metadata = {"name": SETTINGS, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class _Before(NamedTuple):
    """An object as it was, None if it did not exist."""

    resource: Resource
    name: str
    namespace: str
    live: Object | None


@asynccontextmanager
async def _restored_on_failure(client: Client) -> AsyncIterator[None]:
    """Put the registration back as it was if the block fails or is interrupted."""
    places = [(resources.CONFIG_MAPS, SETTINGS, NAMESPACE)]
    places += [(resource, configurations.NAME, "") for resource in CONFIGURATIONS.values()]
    places += [(resources.CUSTOMIZATIONS, customization["metadata"]["name"], "") for customization in _lua()]
    before = [_Before(*place, await _find(client, *place)) for place in places]
    try:
        yield
    except BaseException:
        # Interpreters and configurations first: the settings decide what the webhook makes of them.
        for object_ in reversed(before):
            await asyncio.shield(_restore(client, object_))
        raise


async def _restore(client: Client, before: _Before) -> None:
    resource, name, namespace, wanted = before
    while True:
        live = await _find(client, resource, name, namespace)
        with suppress(Conflict):  # the webhook wrote in between: look again
            if live is None and wanted is not None:
                bare = {
                    key: wanted["metadata"][key]
                    for key in ("name", "namespace", "labels")
                    if key in wanted["metadata"]
                }
                await client.json("POST", resource.path(namespace), body={**wanted, "metadata": bare})
            elif live is not None and wanted is None and is_own(live):
                await client.delete(resource, name, namespace)
            elif live is not None and wanted is not None and _content(live) != _content(wanted):
                body = {**wanted, "metadata": live["metadata"]}
                await client.json("PUT", resource.path(namespace, name), body=body)
            return


def _content(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key != "metadata"}


async def _find(client: Client, resource: Resource, name: str, namespace: str = "") -> Object | None:
    try:
        return await client.get(resource, name, namespace)
    except NotFound:
        return None


async def _bundle(client: Client, patience: float) -> bytes:
    """Return the CAs that the webhook has made. Raises Unreachable if there are none in time."""

    def otherwise(_: bytes) -> Unreachable:
        return Unreachable(
            f"Secret {NAMESPACE}/{SECRET}: The webhook has created no CA within {patience:.0f} s. Start "
            "`towpath serve webhook` and run `towpath install` again, or pass --webhook-ca."
        )

    return await until(Store(client).bundle, bool, patience=patience, otherwise=otherwise)


async def _put(client: Client, configuration: Object, *, dry: bool) -> Installed:
    """Write one configuration as a whole, so that nothing is left of an older version or of an edit."""
    resource, name = CONFIGURATIONS[configuration["kind"]], configuration["metadata"]["name"]
    while True:
        live = await _find(client, resource, name)
        if live is None:
            if not dry:
                await client.json("POST", resource.path(), body=configuration)
            return Installed(resource, name, "created")
        if not is_own(live):
            return Installed(resource, name, "kept")
        right = configurations.repaired(live, configuration)
        if right is None:
            return Installed(resource, name, "unchanged")
        with suppress(Conflict):  # the webhook wrote in between: look again
            if not dry:
                await client.json("PUT", resource.path("", name), body=right)
            return Installed(resource, name, "updated")


async def _take_out(
    client: Client, resource: Resource, name: str, namespace: str = "", *, dry: bool
) -> list[Installed]:
    live = await _find(client, resource, name, namespace)
    if live is None:
        return []
    if not is_own(live):
        return [Installed(resource, name, "kept", namespace)]
    if not dry:
        await client.delete(resource, name, namespace)
    return [Installed(resource, name, "deleted", namespace)]
