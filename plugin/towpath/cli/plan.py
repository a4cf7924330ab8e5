"""``towpath plan``: what Towpath makes of manifests, without writing anything."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from towpath.cli.running import run
from towpath.errors import InvalidObject, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from towpath.model.manifest import Source
    from towpath.plan.read import Reading
    from towpath.plan.result import Plan, ServicePlan

Object = dict[str, Any]
DIFFERENT = 2
"""Exit code of ``-o diff`` when something would change."""
_REFUSED = 1
_STDIN = "-"


class Output(StrEnum):
    """How to print a plan."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"
    DIFF = "diff"


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
    against_live: Annotated[
        bool, typer.Option("--against-live", help="Put the files on top of what a Karmada has; reads only.")
    ] = False,
    kubeconfig: Annotated[
        str | None, typer.Option(envvar="KUBECONFIG", help="Of the live Karmada.", show_default=False)
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context in it; else the current one.")] = None,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Of objects that name none.")
    ] = "default",
    output: Annotated[
        Output,
        typer.Option(
            "--output", "-o", help="diff: what would change in the live Karmada; exit 2 if anything."
        ),
    ] = Output.TABLE,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=IP", help="What a gateway's name stands for, instead of asking DNS."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As if it were then (RFC 3339), for what has a grace."),
    ] = None,
) -> None:
    """Show what every cluster would import, what Towpath would write, and what to know. Writes nothing.

    Exit code 1: a file cannot be read, or says what is impossible.
    """
    from towpath.plan import result
    from towpath.plan.objects import is_namespace
    from towpath.plan.world import Builder

    live = against_live or output is Output.DIFF
    _check_files([*(files or ()), *([clusters] if clusters is not None else [])])
    if not files and not live:
        raise UsageError("nothing to plan: give manifests with -f, or --against-live")
    if live and kubeconfig is None:
        raise UsageError("a live Karmada is asked for: give its --kubeconfig, or set KUBECONFIG")
    if not is_namespace(namespace):
        raise UsageError(f"--namespace {namespace!r}: no namespace can be called so")
    known, now = _known(resolve or ()), _moment(at)
    given = [source for file in files or () for source in _load(file)]
    if files and not any(source.objects for source in given):
        names = ", ".join("stdin" if file == _STDIN else file for file in files)
        raise InvalidObject(f"{names}: no object in it")
    others = _load(clusters) if clusters else []
    there = _live(kubeconfig, context) if live else []
    reading = _read(there, given, others, namespace)
    with _naming():
        builder = Builder(reading, {**_looked_up(reading, known), **known}, now)
        overrides = [*reading.overrides.values()]
        made = result.make(builder.world(), builder.notes, overrides, builder.targets)
    _print(made, there if live else None, output)


def _check_files(files: Sequence[str]) -> None:
    if "" in files:
        raise UsageError("-f and --clusters: the name of a file is empty")
    if _STDIN in files and sys.stdin is None:
        raise UsageError("-f and --clusters: stdin is closed")
    if files.count(_STDIN) > 1:
        raise UsageError("-f and --clusters: there is one stdin, name it once")


def _live(kubeconfig: str | None, context: str | None) -> list[Object]:
    async def read() -> list[Object]:
        from towpath import __version__
        from towpath.karmada.client import Client
        from towpath.karmada.live import read_live

        user_agent = f"towpath/{__version__}"
        async with await Client.connect(kubeconfig, context=context, user_agent=user_agent) as client:
            return await read_live(client)

    return run(read())


def _load(file: str) -> list[Source]:
    from towpath.model import manifest

    with _naming():
        if file != _STDIN:
            found = manifest.sources(Path(file))
            if not found:
                suffixes = ", ".join(sorted(manifest.SUFFIXES))
                raise InvalidObject(f"{file}: the folder holds no {suffixes} file")
            return found
        text = manifest.decoded(sys.stdin.buffer.read(), "stdin")
        return [manifest.Source("stdin", manifest.parse(text, "stdin"))]


def _read(
    there: Iterable[Object], given: Iterable[Source], clusters: Sequence[Source], namespace: str
) -> Reading:
    """Read what is there, and on top of it what is given. ``clusters`` take the place of all others."""
    from towpath.plan.read import read_live, read_on

    reading = read_live(there)
    for source in given:
        with _naming(source.name):
            read_on(reading, source.objects, namespace=namespace)
    if clusters:
        reading.forget_clusters()
        for source in clusters:
            with _naming(source.name):
                read_on(reading, [obj for obj in source.objects if obj["kind"] == "Cluster"])
        if not reading.has_clusters:
            names = ", ".join(source.name for source in clusters)
            raise InvalidObject(f"{names}: no Cluster in it, neither Karmada's nor flomesh's")
    return reading


@contextmanager
def _naming(source: str = "") -> Iterator[None]:
    """Let errors begin with the file, and be one line whatever the file holds."""
    from towpath.text import one_line

    try:
        yield
    except InvalidObject as error:
        raise InvalidObject(one_line(f"{source}: {error}" if source else str(error))) from None


def _known(resolve: Sequence[str]) -> dict[str, str]:
    from ipaddress import AddressValueError, IPv4Address

    known = {}
    for text in resolve:
        name, _, ip = text.partition("=")
        try:
            known[name] = str(IPv4Address(ip))
        except AddressValueError:
            name = ""
        if not name:
            raise UsageError(f"--resolve {text!r}: write NAME=IP with an IPv4 address")
    return known


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
    raise UsageError(f"--at {at!r}: write a time like 2026-01-31T12:00:00Z")


def _looked_up(reading: Reading, known: Mapping[str, str]) -> dict[str, str]:
    """Ask DNS for the gateways' names. One without an answer is left out, and the plan says so."""
    from towpath.plan.world import hosts

    unknown = sorted(hosts(reading) - known.keys())
    if not unknown:
        return {}
    return run(_addresses(unknown))


async def _addresses(names: Sequence[str]) -> dict[str, str]:
    import asyncio

    from towpath.inventory import dns

    found = await asyncio.gather(*map(dns.addresses, names))
    return {name: ip for name, those in zip(names, found, strict=True) if (ip := dns.choose(those))}


def _print(made: Plan, there: Sequence[Object] | None, output: Output) -> None:
    """Print a plan and end with its exit code. ``there`` is what Karmada holds, None if none was asked."""
    import json

    from towpath.cli.output import write
    from towpath.model import manifest
    from towpath.plan import result
    from towpath.plan.diff import compared
    from towpath.text import one_line

    differing = None
    if there is not None:
        made, differing = compared(made, there)
    if output is Output.DIFF:
        write("".join(differing or ()))
        sys.stderr.writelines(f"note: {one_line(note)}\n" for note in made.notes)
    elif output is Output.TABLE:
        _show(made, differing)
    elif output is Output.YAML:
        write(manifest.dump(result.document(made)))
    else:
        write(json.dumps(result.document(made), indent=2) + "\n")
    sys.stdout.flush()
    if made.refusals:
        sys.stderr.writelines(f"error: {one_line(refusal)}\n" for refusal in made.refusals)
        raise typer.Exit(_REFUSED)
    if output is Output.DIFF and differing:
        raise typer.Exit(DIFFERENT)


def _show(made: Plan, differing: Sequence[str] | None) -> None:
    from towpath.cli.output import MemberRow, explanation, inventory, show, warnings
    from towpath.plan.result import explained
    from towpath.text import several

    parts: list[str | Table] = [
        inventory([MemberRow.of(member) for _, member in sorted(made.fleet.members.items())])
    ]
    for one in made.services:
        parts += ["", *explanation(explained(one, made.fleet))]
        parts += ["", _would_write(one)]
    if not made.services:
        parts += ["", "Nothing is exported."]
    for policy in made.traffic:
        spread, where = policy.applied.policy.lb_type.value, several(policy.applied.clusters) or "no cluster"
        parts += ["", f"GlobalTrafficPolicy {policy.applied.key}: {spread} in {where}"]
        parts += warnings(caution.finding for caution in policy.advice)[1:]
        if policy.following:
            parts.append(f"would write {_name(policy.following)}")
    parts += ["", *(f"note: {note}" for note in made.notes)] if made.notes else []
    if differing is not None:
        number = f"{len(differing)} object{'s' * (len(differing) != 1)}"
        parts += ["", f"{number} would change: -o diff shows how." if differing else "Nothing would change."]
    show(*parts)


def _would_write(one: ServicePlan) -> str:
    if one.rendered.refused:
        return "would write nothing: see the error"
    return "would write " + (", ".join(map(_name, one.objects)) or "nothing")


def _name(obj: Mapping[str, Any]) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"
