"""Output of answers: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from towpath.text import one_line

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.table import Table


class Output(StrEnum):
    """Format of an answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


_PIPE_WIDTH = 1000
"""Columns where there is no terminal: so wide that a line stays a line for grep."""
_MIN_TEXT_WIDTH = 30
"""Columns that a text has at least, however wide the columns beside it are."""
_MAX_WRITE_CHARACTERS = 2**24


def write(text: str) -> None:
    """Write to stdout, whatever characters its encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    # In pieces, because of one write of more than 2 GiB only the beginning arrives.
    for start in range(0, len(text), _MAX_WRITE_CHARACTERS):
        piece = text[start : start + _MAX_WRITE_CHARACTERS]
        sys.stdout.write(piece.encode(encoding, "backslashreplace").decode(encoding))


def document(answer: Message) -> dict[str, Any]:
    """Return a message of the contract as its JSON."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(answer, always_print_fields_with_no_presence=True)


def print_document(answer: Mapping[str, Any], output: Output) -> None:
    """Print an answer for programs."""
    if output is Output.YAML:
        from towpath.model import manifest

        write(manifest.dump(answer))
        return
    import json

    write(json.dumps(answer, indent=2) + "\n")


def show(*parts: str | Table) -> None:
    """Print texts, each on one line, and tables, one below the other.

    Only the last column of a table wraps, and only between words: a key that is cut in two cannot be copied.
    A table that needs more than the terminal has is left to the terminal to wrap.
    """
    from rich.console import Console
    from rich.measure import Measurement

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        for part in parts:
            if isinstance(part, str):
                console.print(one_line(part), soft_wrap=True)
            else:
                _keep_words(part)
                needed = Measurement.get(console, console.options.update(width=_PIPE_WIDTH), part).minimum
                console.width = max(width or console.width, needed)
                console.print(part)
    write("".join(f"{line.rstrip()}\n" for line in capture.get().split("\n")[:-1]))


def _keep_words(rows: Table) -> None:
    for column in rows.columns[:-1]:
        column.no_wrap = True
    last = rows.columns[-1]
    cells = [str(cell) for cell in last.cells]
    longest_word = max((len(word) for cell in cells for word in cell.split()), default=0)
    last.min_width = max(longest_word, min(_MIN_TEXT_WIDTH, max(map(len, cells), default=0)))


def table(*columns: str) -> Table:
    """Return an empty table."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
