"""The page docs/cli.md: every command with its options, from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


def page() -> str:
    """Return the page in Markdown."""
    from towpath.cli import app

    command = get_command(app)
    return "\n".join(_lines(command, typer.Context(command, info_name="towpath"))) + "\n"


def _lines(command: object, context: typer.Context) -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "`make docs` generates this page from the command line. Exit codes: 0 success, 1 failure, 2 wrong"
    yield "usage, 130 interrupted."
    yield from _command(command, context)


def _command(command: object, context: typer.Context) -> Iterator[str]:
    """Yield the section of a command, or those of the commands of a group."""
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _command(found, typer.Context(found, info_name=name, parent=context))
    elif isinstance(command, TyperCommand):
        yield from ("", f"## {context.command_path}", "", *(command.help or "").strip().splitlines(), "")
        yield from ("| option | meaning |", "| --- | --- |")
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in parameter.opts:
                yield f"| `{_cell(record[0])}` | {_cell(record[1])} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
