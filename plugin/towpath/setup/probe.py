"""Asking the apiserver whether it reaches the webhook at an address.

The apiserver gets a webhook configuration that concerns one ConfigMap with a nonce as its label, and then
that ConfigMap as a dry run. The configuration points at a path that no other configuration names, where the
webhook copies the nonce into an annotation. So an annotation with the nonce proves address, name resolution
and trust, and no webhook that is registered already can give that answer.
"""

from __future__ import annotations

import json
import secrets

from towpath.errors import ApiError, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.karmada.installation import NAMESPACE
from towpath.polling import until
from towpath.setup.install import MANAGER
from towpath_webhook.admission.probe import ANSWER
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Settings

_FAILED = "failed calling webhook "
_NOT_CALLED = "the apiserver has not called it"


async def check(client: Client, settings: Settings, bundle: bytes, patience: float) -> None:
    """Return once the apiserver reaches the webhook. Raises Unreachable with the apiserver's message."""
    nonce = secrets.token_hex(8)
    configuration = configurations.probe(settings, bundle, nonce)
    where = settings.dump()

    def otherwise(text: str) -> Unreachable:
        return Unreachable(
            f"The apiserver cannot call the webhook at {where.get('url') or where['service']}: {text}. Start "
            "`towpath serve webhook` there and run `towpath install` again. The registration is unchanged."
        )

    await client.apply(resources.MUTATING_WEBHOOKS, configuration, MANAGER)
    try:
        await until(
            lambda: _attempt(client, nonce), lambda text: not text, patience=patience, otherwise=otherwise
        )
    finally:
        await client.delete(resources.MUTATING_WEBHOOKS, configuration["metadata"]["name"])


async def _attempt(client: Client, nonce: str) -> str:
    """Return what is in the way, empty if the webhook has answered."""
    path, query = resources.CONFIG_MAPS.path(NAMESPACE), [("dryRun", "All")]
    try:
        answer = await client.request("POST", path, query=query, body=configurations.probed(nonce))
    except ApiError as error:
        return str(error).rpartition(_FAILED)[2].rstrip(".")
    annotations = json.loads(answer)["metadata"].get("annotations") or {}
    return "" if annotations.get(ANSWER) == nonce else _NOT_CALLED
