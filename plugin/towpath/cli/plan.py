"""``towpath plan``: what Towpath makes of manifests, without writing anything."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from towpath.cli.running import run
from towpath.errors import InvalidObject, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from towpath.plan.outcome import Plan, ServicePlan
    from towpath.plan.reading import Reading

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
        Path | None,
        typer.Option(
            help="Karmada or flomesh Clusters, instead of those in the files or of the live Karmada."
        ),
    ] = None,
    against_live: Annotated[
        bool, typer.Option("--against-live", help="Put the files on top of what a Karmada has; reads only.")
    ] = False,
    kubeconfig: Annotated[
        Path | None, typer.Option(envvar="KUBECONFIG", help="Of the live Karmada.", show_default=False)
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context in it; else the current one.")] = None,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Of objects that name none.")
    ] = "default",
    output: Annotated[
        Output, typer.Option("--output", "-o", help="diff is against the live Karmada: exit 2 if it differs.")
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
    """Show what every cluster would import, what Towpath would write, and what to know. Writes nothing."""
    from towpath.plan import outcome
    from towpath.plan.world import Builder

    live = against_live or output is Output.DIFF
    if not files and not live:
        raise UsageError("nothing to plan: give manifests with -f, or --against-live")
    if live and kubeconfig is None:
        raise UsageError("a live Karmada is asked for: give its --kubeconfig, or set KUBECONFIG")
    known, now = _known(resolve or ()), _moment(at)
    given = [obj for file in files or () for obj in _load(file)]
    there = _live(kubeconfig, context) if live else []
    reading = _read(there, given, clusters, namespace)
    builder = Builder(reading, {**_looked_up(reading, known), **known}, now)
    made = outcome.make(builder.world(), builder.notes)
    if output is Output.DIFF:
        _differ(made, there)
    elif output is Output.TABLE:
        _show(made)
    else:
        _dump(outcome.document(made), output)
    if made.refused:
        raise typer.Exit(_REFUSED)


def _live(kubeconfig: Path | None, context: str | None) -> list[dict[str, Any]]:
    from towpath.cli.live import read_live

    return run(read_live(kubeconfig, context))


def _read(
    there: Sequence[dict[str, Any]], given: Sequence[dict[str, Any]], clusters: Path | None, namespace: str
) -> Reading:
    """Read what is there, and on top of it what is given."""
    from towpath import manifests
    from towpath.plan.reading import read, read_on

    reading = read(there)
    read_on(reading, given, namespace=namespace)
    if clusters:
        reading.forget_clusters()
        read_on(reading, manifests.load(clusters))
    return reading


def _differ(made: Plan, there: Sequence[dict[str, Any]]) -> None:
    from towpath.cli.live import derived_in
    from towpath.plan.difference import difference

    text = difference(made, derived_in(there))
    sys.stdout.write(text)
    for note in made.notes:
        sys.stderr.write(f"note: {note}\n")
    if text:
        raise typer.Exit(DIFFERENT)


def _dump(document: dict[str, Any], output: Output) -> None:
    from towpath import manifests

    if output is Output.YAML:
        sys.stdout.write(manifests.dump(document))
    else:
        import json

        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _load(file: str) -> list[dict[str, Any]]:
    from towpath import manifests

    if file != _STDIN:
        return manifests.load(Path(file))
    try:
        return manifests.parse(sys.stdin.buffer.read().decode(), "stdin")
    except UnicodeDecodeError as error:
        raise InvalidObject(f"stdin: not text in UTF-8 ({error.reason} at byte {error.start})") from error


def _known(resolve: Sequence[str]) -> dict[str, str]:
    from ipaddress import AddressValueError, IPv4Address

    known = {}
    for text in resolve:
        name, _, ip = text.partition("=")
        try:
            known[name] = str(IPv4Address(ip))
        except AddressValueError:
            raise UsageError(f"--resolve {text!r}: write NAME=IP with an IPv4 address") from None
    return known


def _moment(at: str | None) -> float:
    from towpath.model.times import seconds

    if at is None:
        return time.time()
    moment = seconds(at)
    if moment is None:
        raise UsageError(f"--at {at!r}: write a time like 2026-01-31T12:00:00Z")
    return moment


def _looked_up(reading: Reading, known: Mapping[str, str]) -> dict[str, str]:
    """Ask DNS for the gateways' names. One without an answer is left out, and the plan says so."""
    import socket

    from towpath.plan.world import hosts

    found = {}
    for host in sorted(hosts(reading) - known.keys()):
        try:
            found[host] = sorted(info[4][0] for info in socket.getaddrinfo(host, None, socket.AF_INET))[0]
        except OSError:
            continue
    return {host: str(ip) for host, ip in found.items()}


def _show(made: Plan) -> None:
    from towpath.cli.printing import explanation, members_table, show, warnings
    from towpath.rpc import convert

    parts: list[str | Table] = [members_table(convert.members_message(made.fleet.members))]
    for one in made.services:
        parts += ["", *explanation(convert.explanation(one.service, one.derived, made.fleet))]
        parts += ["", _would_write(one)]
    if not made.services:
        parts += ["", "Nothing is exported."]
    for policy in made.traffic:
        key, spread = policy.applied.key, policy.applied.policy.lb_type.value
        where = ", ".join(sorted(policy.applied.clusters)) or "no cluster"
        parts += ["", f"GlobalTrafficPolicy {key.namespace}/{key.name}: {spread} in {where}"]
        parts += warnings([convert.warning(c) for c in policy.cautions])[1:]
        if policy.following:
            parts.append(f"would write {_name(policy.following)}")
    parts += ["", *(f"note: {note}" for note in made.notes)] if made.notes else []
    show(*parts)


def _would_write(one: ServicePlan) -> str:
    if one.rendered.refused:
        return f"would write nothing: {one.rendered.refused.message}"
    return "would write " + (", ".join(map(_name, one.objects)) or "nothing")


def _name(obj: Mapping[str, Any]) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"
