"""Towpath's webhook beside a local Karmada: the process, and its registration as ``install`` does it.

Server first, configuration after; the other way round when it ends.
"""

from __future__ import annotations

from towpath import __version__
from towpath.karmada.client import Client
from towpath.local import processes
from towpath.local.spec import WEBHOOK, Environment
from towpath.setup.webhook import register, unregister
from towpath_webhook.registration.configurations import Settings


async def start(env: Environment, karmada: Client) -> None:
    """Run the webhook, if it does not run, and register it."""
    await processes.ensure_running(env, WEBHOOK)
    await register(karmada, Settings(env.url(WEBHOOK), version=__version__))


async def stop(env: Environment, karmada: Client) -> None:
    """Take the registration out and end the webhook, as far as they are there."""
    await unregister(karmada)
    processes.stop(env, WEBHOOK)
