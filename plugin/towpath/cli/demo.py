"""``towpath demo``: the walk-through, on a local Karmada of its own or on one that the user has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from towpath.errors import UsageError

_PARTS = 3
"""Members that the walk-through needs."""


def demo(
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="An existing Karmada. By default, a local one is booted.", show_default=False),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context in the kubeconfig.")] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(help="Member to play on; give three.", show_default="cluster-1 cluster-2 cluster-3"),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running and print how to inspect it.")
    ] = False,
    nodes: Annotated[
        bool | None,
        typer.Option(
            "--nodes/--no-nodes",
            help="Whether the members of the local Karmada run pods; by default where this machine can.",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the local Karmada.", show_default=False)
    ] = None,
) -> None:
    """Play the walk-through on a real Karmada and show what each cluster holds."""
    from towpath.cli import demo_run

    if member and len(member) != _PARTS:
        raise UsageError(f"The walk-through needs three members. Give --member {_PARTS} times.")
    if kubeconfig is None:
        if context or member:
            raise UsageError("--context and --member need --kubeconfig.")
        demo_run.on_local(root, keep=keep, nodes=nodes)
    else:
        if root or keep or nodes is not None:
            raise UsageError("--root, --keep and --nodes apply to the local Karmada, not to --kubeconfig.")
        demo_run.on_theirs(kubeconfig, context, member)
