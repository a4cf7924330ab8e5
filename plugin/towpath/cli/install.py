"""``towpath install``: the CRDs and the plugin's permissions, into the Karmada apiserver."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from towpath import __version__
from towpath.cli.running import run


def install(
    kubeconfig: Annotated[
        Path, typer.Option(envvar="KUBECONFIG", help="Of an administrator of the Karmada apiserver.")
    ],
    context: Annotated[str | None, typer.Option(help="Context in it; else the current one.")] = None,
) -> None:
    """Install CRDs and permissions; CRDs of ErieCanal or FSM that are there already are kept."""
    run(_install(kubeconfig, context))


async def _install(kubeconfig: Path, context: str | None) -> None:
    from towpath import install as installing
    from towpath.karmada.client import Client

    async with await Client.connect(
        kubeconfig, context=context, user_agent=f"towpath/{__version__}"
    ) as client:
        for item in [*await installing.install(client), *await installing.share_crds(client)]:
            sys.stdout.write(f"{item.resource.kind.lower()}/{item.name} {item.how}\n")
