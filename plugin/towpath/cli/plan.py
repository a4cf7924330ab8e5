"""``towpath plan``: what Towpath would do with manifests, without writing anything."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from towpath.cli import plan_input
from towpath.cli.plan_input import Output
from towpath.errors import InvalidObject, TowpathError, UsageError

if TYPE_CHECKING:
    from towpath.cli.plan_input import Object
    from towpath.plan.read import Reading
    from towpath.plan.result import Plan

DIFFERENT, FAILED = 1, 2
"""Exit codes, as those of diff: ``-o diff`` shows a change; an error."""


def plan(
    files: Annotated[
        list[str] | None,
        typer.Option("-f", "--file", metavar="FILE|DIR|-", help="Manifests, applied in this order."),
    ] = None,
    clusters: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR|-",
            help="Karmada or flomesh Clusters, instead of those in the files or of the live Karmada.",
        ),
    ] = None,
    live: Annotated[
        bool | None,
        typer.Option(
            "--against-live/--offline",
            help="Apply the files on top of what a Karmada holds (read only), or use the files alone.",
            show_default="live with --kubeconfig or -o diff",
        ),
    ] = None,
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Kubeconfig of the live Karmada; implies --against-live.",
            show_default="KUBECONFIG",
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Context in the kubeconfig; by default the current one.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Namespace of objects that name none.")
    ] = "default",
    everything: Annotated[
        bool, typer.Option("--all", help="Show every service of the live Karmada, not only what files touch.")
    ] = False,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="diff: changes in a live Karmada; reasons go to stderr.")
    ] = Output.TABLE,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=IP", help="Address of a gateway's DNS name, instead of asking DNS."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Evaluate at this time (RFC 3339); affects grace periods."),
    ] = None,
) -> None:
    """Show what each cluster would import, what Towpath would write, and warnings. Writes nothing.

    Against a live Karmada, only services that the files touch are shown; --all shows all of them.

    Exit codes are those of diff: 0 success, 1 -o diff shows a change, 2 an error: a file cannot be read, the
    apiserver would refuse an object, or the arguments are wrong.
    """
    with _failing():
        is_live = _is_live(live, named=kubeconfig is not None, diff=output is Output.DIFF)
        kubeconfig = kubeconfig or os.environ.get("KUBECONFIG")
        plan_input.check_files([*(files or ()), *([clusters] if clusters is not None else [])])
        _check(files, is_live, kubeconfig, namespace)
        known, now = plan_input.addresses_given(resolve or ()), _moment(at)
        given = plan_input.load_all(files or [])
        others = plan_input.load(clusters) if clusters else []
        there = plan_input.live_objects(kubeconfig, context) if is_live else []
        reading = plan_input.read_all(there, given, others, namespace)
        known = {**plan_input.addresses_resolved(reading, known), **known}
        with plan_input.naming():
            made = _made(reading, known, now)
            if is_live and given and not everything:
                made = _touched(made, there, reading, known, now)
    _print(made, there if is_live else None, output)


@contextmanager
def _failing() -> Iterator[None]:
    """Let every error end with the exit code of an error, also those that end other commands with 1."""
    try:
        yield
    except TowpathError as error:
        error.exit_code = FAILED
        raise
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        failed = InvalidObject(text)
        failed.exit_code = FAILED
        raise failed from None


def _is_live(live: bool | None, *, named: bool, diff: bool) -> bool:
    """Tell whether a Karmada is read: if told so, or else with a kubeconfig on the command line or a diff."""
    if live is None:
        return named or diff
    if diff and not live:
        raise UsageError("-o diff: A diff needs a live Karmada. Remove --offline.")
    return live


def _check(files: Sequence[str] | None, is_live: bool, kubeconfig: str | None, namespace: str) -> None:
    from towpath.plan.objects import is_namespace

    if not files and not is_live:
        raise UsageError("Nothing to plan. Give manifests with -f, or a live Karmada with --kubeconfig.")
    if is_live and kubeconfig is None:
        raise UsageError("--kubeconfig: Required for a live Karmada. Set it, or the variable KUBECONFIG.")
    if not is_namespace(namespace):
        raise UsageError(f"--namespace: Invalid value {namespace!r}: must be the name of a namespace.")


def _made(reading: Reading, known: dict[str, str], now: float) -> Plan:
    from towpath.plan import result
    from towpath.plan.world import Builder

    builder = Builder(reading, known, now)
    overrides = [*reading.overrides.values()]
    return result.make(builder.world(), builder.notes, overrides, builder.targets)


def _touched(
    made: Plan, there: Sequence[Object], reading: Reading, known: dict[str, str], now: float
) -> Plan:
    """Return what the files touch of a plan."""
    from towpath.plan.read import read_live
    from towpath.plan.result import touched

    return touched(_made(read_live(there), known, now), made, reading.given)


def _moment(at: str | None) -> float:
    from datetime import UTC, datetime

    from towpath.model.times import seconds

    if at is None:
        return time.time()
    try:
        moment = seconds(at)
        if moment is not None:
            datetime.fromtimestamp(moment, UTC)
            return moment
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"--at: Invalid value {at!r}. Write a time such as 2026-01-31T12:00:00Z.")


def _print(made: Plan, there: Sequence[Object] | None, output: Output) -> None:
    """Print a plan and end with its exit code. ``there`` is what Karmada holds, None if none was asked."""
    from towpath.cli.plan_output import show_plan
    from towpath.plan.diff import compared

    differing = None
    if there is not None:
        made, differing = compared(made, there)
    show_plan(made, differing, output)
    if made.refusals:
        raise typer.Exit(FAILED)
    if output is Output.DIFF and differing:
        raise typer.Exit(DIFFERENT)
