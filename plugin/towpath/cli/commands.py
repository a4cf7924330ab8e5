"""The commands, each imported when it is called: ``status`` does not wait for what ``install`` needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

PLACES = {
    "demo": "demo:demo",
    "install": "install:install",
    "uninstall": "install:uninstall",
    "status": "status:status",
    "explain": "explain:explain",
    "verify": "verify:verify",
    "members": "explain:members",
    "watch": "watch:watch",
    "plan": "plan:plan",
    "check": "check:check",
    "bundle": "bundle:bundle",
    "drain": "drain:drain",
    "undrain": "drain:undrain",
    "gateway": "gateway:app",
    "migrate": "migrate:app",
    "local": "local:app",
    "serve": "serve:app",
}
"""The module and the name in it of each command, in the order of the help."""


class Commands(TyperGroup):
    """A group that imports a command when it is asked for it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None if there is none of this name."""
        if cmd_name not in PLACES:  # then the error suggests one of all
            for name in PLACES:
                self.get_command(ctx, name)
        elif cmd_name not in self.commands:
            self.add_command(_load(cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)


def _load(name: str) -> Any:
    module, _, attribute = PLACES[name].partition(":")
    found = getattr(import_module(f"towpath.cli.{module}"), attribute)
    holder = typer.Typer()
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    return get_group(holder).commands[name]
