"""Towpath's webhook beside a local Karmada: the process, and the registration that makes Karmada ask it.

Server first, configuration after; the other way round when it ends. In between the configuration's
``failurePolicy: Ignore`` lets everything pass, with the time a refused connection takes.
"""

from __future__ import annotations

from towpath.karmada.client import Client, Resource
from towpath.local import processes
from towpath.local.boot import MANAGER
from towpath.local.spec import WEBHOOK, Environment
from towpath_webhook import registration

CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)


async def start(env: Environment, karmada: Client) -> None:
    """Run the webhook, if it does not run, and register it."""
    await processes.ensure_running(env, WEBHOOK)
    ca = (env.pki / "ca.crt").read_bytes()
    await karmada.apply(CONFIGURATIONS, registration.configuration(env.url(WEBHOOK), ca), MANAGER)


async def stop(env: Environment, karmada: Client) -> None:
    """Take the registration out and end the webhook, as far as they are there."""
    await karmada.delete(CONFIGURATIONS, registration.NAME)
    processes.stop(env, WEBHOOK)
