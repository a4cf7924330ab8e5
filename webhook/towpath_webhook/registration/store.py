"""Storage of the CAs, settings and configurations of the webhook in Karmada. It decides nothing.

This is the only module of the webhook that calls an apiserver, and no request waits for its calls. Objects
are written with the resourceVersion that was read: of several webhooks one succeeds, and the others read its
result."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from towpath.errors import InvalidObject, NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.model.ownership import MANAGED_BY
from towpath.pki import Identity
from towpath_webhook.registration import configurations as registration
from towpath_webhook.registration.configurations import Object, Settings, split_pem

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
class StoredState:
    """The objects in Karmada. ``secret`` is None if it does not exist; there are no authorities if it is
    invalid."""

    secret: Object | None
    authorities: tuple[Identity, ...]
    settings: Settings | None
    configurations: tuple[Object, ...]
    damage: str = ""
    candidates: tuple[str, ...] = ()
    """Names of an address that ``towpath install`` is trying."""


class Store:
    """Reads and writes through a client of the Karmada apiserver. Calls raise ApiError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self) -> StoredState:
        """Return everything."""
        secret, settings, *found = await asyncio.gather(
            self._find(resources.SECRETS, SECRET, NAMESPACE),
            self._find(resources.CONFIG_MAPS, SETTINGS, NAMESPACE),
            *(self._find(resource, registration.NAME) for resource in CONFIGURATIONS.values()),
        )
        damage, parsed = "", None
        authorities: tuple[Identity, ...] = ()
        candidates: tuple[str, ...] = ()
        try:
            authorities = _authorities(secret or {})
            data = (settings or {}).get("data") or {}
            candidates = registration.candidate_names(data)
            present = registration.stated(data)
            parsed = Settings.parse(present) if present or (settings and not candidates) else None
        except InvalidObject as error:
            damage = str(error)
        return StoredState(
            secret,
            authorities,
            parsed,
            tuple(c for c in found if c and registration.is_ours(c)),
            damage,
            candidates,
        )

    async def bundle(self) -> bytes:
        """Return the CAs of the webhook's certificate in PEM; empty if there are none yet."""
        secret = await self._find(resources.SECRETS, SECRET, NAMESPACE)
        return _decoded(secret or {}, _CERTIFICATES)

    async def write_authorities(self, authorities: Sequence[Identity], secret: Object | None) -> None:
        """Replace the CAs that were read. Raises Conflict if another writer was first."""
        pems = {
            _CERTIFICATES: b"".join(authority.certificate_pem for authority in authorities),
            _KEYS: b"".join(authority.key_pem for authority in authorities),
        }
        data = {key: base64.b64encode(pem).decode() for key, pem in pems.items()}
        if secret is not None:
            await self._client.json(
                "PUT",
                resources.SECRETS.path(NAMESPACE, SECRET),
                body={**secret, "data": {**secret.get("data", {}), **data}},
            )
            return
        labels = dict(MANAGED_BY)
        metadata = {"name": SECRET, "namespace": NAMESPACE, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        await self._client.json("POST", resources.SECRETS.path(NAMESPACE), body=body)

    async def replace(self, configuration: Object) -> None:
        """Replace the configuration that was read. Raises Conflict, or NotFound if it was deleted."""
        resource = CONFIGURATIONS[configuration["kind"]]
        await self._client.json("PUT", resource.path("", registration.NAME), body=configuration)

    async def _find(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        try:
            return await self._client.get(resource, name, namespace)
        except NotFound:
            return None


def _authorities(secret: Object) -> tuple[Identity, ...]:
    certificates = split_pem(_decoded(secret, _CERTIFICATES))
    keys = _KEY.findall(_decoded(secret, _KEYS))
    if len(certificates) != len(keys):
        raise InvalidObject(
            f"Secret {NAMESPACE}/{SECRET}: It has {len(certificates)} certificates and {len(keys)} keys. "
            f"Delete it."
        )
    return tuple(map(Identity.read, certificates, keys))


def _decoded(secret: Object, key: str) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, ""))
    except ValueError as error:
        raise InvalidObject(
            f"Secret {NAMESPACE}/{SECRET}: {key} is not Base64: {error}. Delete the Secret."
        ) from None
