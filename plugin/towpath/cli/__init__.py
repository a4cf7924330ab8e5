"""The command line: a module for each command, and one place where an error becomes a line and an exit code.

Exit codes: 0 success, 1 failure (the line names the problem and the fix), 2 wrong usage, 130 interrupted. A
traceback is a bug.
"""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from towpath import __version__
from towpath.cli.commands import Commands
from towpath.errors import TowpathError

app = typer.Typer(
    name="towpath",
    cls=Commands,
    help="Multi-cluster services for Karmada.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
_INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        sys.stdout.write(f"towpath {__version__}\n")
        raise typer.Exit


def main() -> NoReturn:
    """Run the command line and exit."""
    # Ended by a supervisor or a closed terminal, a command cleans up as it does on Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        app(prog_name=program())
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            _say("interrupted")
        raise
    except Exception as error:
        known = next((e for e in _leaves(error) if isinstance(e, TowpathError | OSError)), None)
        if known is None:
            raise
        _say(f"error: {_line(known)}")
        sys.exit(known.exit_code if isinstance(known, TowpathError) else 1)
    sys.exit(0)


def program() -> str:
    """Return what the user has called: ``kubectl`` finds its plugins by the name ``kubectl-towpath``."""
    return "kubectl towpath" if Path(sys.argv[0]).name.startswith("kubectl-") else "towpath"


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside task groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        problem = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return f"{error.filename}: {problem}" if error.filename else problem
    return str(error)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
