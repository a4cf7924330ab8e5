"""Where the webhook's CAs, its settings and its configurations lie in Karmada. Thin: it decides nothing.

The one module of the webhook that talks to an apiserver, with the plugin's client; none of its calls is made
while a request waits for its answer. What lies there is written with the resourceVersion that was read, so
of several webhooks one wins and the others see what it wrote.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from towpath.errors import InvalidObject, NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.pki import Identity
from towpath_webhook.admission.match_conditions import MANAGED_BY, TOWPATH
from towpath_webhook.registration import configurations as registration
from towpath_webhook.registration.configurations import Object, Settings, blocks

NAMESPACE = resources.SYSTEM_NAMESPACE
SECRET, SETTINGS = "towpath-webhook-ca", "towpath-webhook"
CONFIGURATIONS = {
    registration.MUTATING: resources.MUTATING_WEBHOOKS,
    registration.VALIDATING: resources.VALIDATING_WEBHOOKS,
    registration.INTERPRETING: resources.INTERPRETER_WEBHOOKS,
}
_CERTIFICATES, _KEYS = "ca.crt", "ca.key"
_KEY = re.compile(rb"-----BEGIN EC PRIVATE KEY-----.+?-----END EC PRIVATE KEY-----", re.DOTALL)


@dataclass(frozen=True)
class Seen:
    """What lies in Karmada. ``secret`` None: nobody has made one; it has no authorities if it is damaged."""

    secret: Object | None
    authorities: tuple[Identity, ...]
    settings: Settings | None
    configurations: tuple[Object, ...]
    damage: str = ""
    candidates: tuple[str, ...] = ()
    """Names of an address that ``towpath install`` is trying."""


class Store:
    """Reads and writes with a client of the Karmada apiserver. Calls raise ApiError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def see(self) -> Seen:
        """Read everything."""
        secret, settings, *found = await asyncio.gather(
            self._find(resources.SECRETS, SECRET, NAMESPACE),
            self._find(resources.CONFIG_MAPS, SETTINGS, NAMESPACE),
            *(self._find(resource, registration.NAME) for resource in CONFIGURATIONS.values()),
        )
        damage, read = "", None
        authorities: tuple[Identity, ...] = ()
        candidates: tuple[str, ...] = ()
        try:
            authorities = _authorities(secret or {})
            data = (settings or {}).get("data") or {}
            candidates = registration.candidate_names(data)
            present = registration.stated(data)
            read = Settings.parse(present) if present or (settings and not candidates) else None
        except InvalidObject as error:
            damage = str(error)
        return Seen(
            secret,
            authorities,
            read,
            tuple(c for c in found if c and registration.is_ours(c)),
            damage,
            candidates,
        )

    async def bundle(self) -> bytes:
        """Return the CAs of the webhook's certificates as PEM; empty if there are none yet."""
        secret = await self._find(resources.SECRETS, SECRET, NAMESPACE)
        return _decoded(secret or {}, _CERTIFICATES)

    async def keep(self, authorities: Sequence[Identity], secret: Object | None) -> None:
        """Write the CAs over those that were read. Raises Conflict if others were quicker."""
        pems = {
            _CERTIFICATES: b"".join(one.certificate_pem for one in authorities),
            _KEYS: b"".join(one.key_pem for one in authorities),
        }
        data = {key: base64.b64encode(pem).decode() for key, pem in pems.items()}
        if secret is not None:
            await self._client.json(
                "PUT",
                resources.SECRETS.path(NAMESPACE, SECRET),
                body={**secret, "data": {**secret.get("data", {}), **data}},
            )
            return
        labels = {MANAGED_BY: TOWPATH}
        metadata = {"name": SECRET, "namespace": NAMESPACE, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        await self._client.json("POST", resources.SECRETS.path(NAMESPACE), body=body)

    async def put_back(self, configuration: Object) -> None:
        """Write a configuration over the one that was read. Raises Conflict, or NotFound if it has gone."""
        resource = CONFIGURATIONS[configuration["kind"]]
        await self._client.json("PUT", resource.path("", registration.NAME), body=configuration)

    async def _find(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        try:
            return await self._client.get(resource, name, namespace)
        except NotFound:
            return None


def _authorities(secret: Object) -> tuple[Identity, ...]:
    certificates = blocks(_decoded(secret, _CERTIFICATES))
    keys = _KEY.findall(_decoded(secret, _KEYS))
    if len(certificates) != len(keys):
        raise InvalidObject(
            f"Secret {NAMESPACE}/{SECRET}: {len(certificates)} certificates, but {len(keys)} keys"
        )
    return tuple(map(Identity.read, certificates, keys))


def _decoded(secret: Object, key: str) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, ""))
    except ValueError as error:
        raise InvalidObject(f"Secret {NAMESPACE}/{SECRET}: {key}: {error}") from None
