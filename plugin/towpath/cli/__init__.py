"""The command line: a module for each command, and one place where an error becomes a line and an exit code.

Exit codes: 0 success, 1 failure (the line names the problem and the fix), 2 wrong usage, 130 interrupted. A
traceback is a bug.
"""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import typer

from towpath import __version__
from towpath.cli.demo import demo
from towpath.cli.explain import explain, members
from towpath.cli.install import install, uninstall
from towpath.cli.local import app as local
from towpath.cli.plan import plan
from towpath.cli.serve import app as serve
from towpath.errors import TowpathError

app = typer.Typer(
    name="towpath",
    help="Multi-cluster services for Karmada.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(install)
app.command()(uninstall)
app.command()(members)
app.command()(explain)
app.command()(plan)
app.add_typer(local, name="local")
app.add_typer(serve, name="serve")

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
        app(prog_name="towpath")
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
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return f"{error.filename}: {what}" if error.filename else what
    return str(error)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
