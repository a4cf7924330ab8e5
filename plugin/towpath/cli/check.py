"""``towpath check``: whether a Karmada is ready for Towpath, and an installation complete."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from towpath.cli import answers
from towpath.cli import kubeconfig as options
from towpath.cli.answers import connected
from towpath.cli.output import Output, print_document, show, table
from towpath.cli.running import run
from towpath.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from towpath.setup.checks.evidence import Result

FAILED = 1
"""The exit code if a check fails. Warnings do not change it."""


def check(
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    output: answers.Form = Output.TABLE,
) -> None:
    """Check a Karmada before and after an installation: each result is OK, Warn or Fail, with the fix.

    Nothing is changed. Exit codes: 0 no check fails, 1 a check fails, 2 wrong usage.
    """
    from towpath.setup.checks.evidence import Level

    results = run(_check(answers.where(None, None, None, None, None, kubeconfig, context)))
    if output is Output.TABLE:
        _show(results)
    else:
        named = ("check", "level", "subject", "text")
        print_document({"results": [dict(zip(named, map(str, r), strict=True)) for r in results]}, output)
    if any(result.level is Level.FAIL for result in results):
        sys.stdout.flush()
        raise typer.Exit(FAILED)


async def _check(asked: answers.Where) -> tuple[Result, ...]:
    from towpath.setup.checks.gather import gather
    from towpath.setup.checks.run import judge

    async with connected(asked) as client:
        return judge(await gather(client))


def _show(results: Sequence[Result]) -> None:
    rows = table("check", "result", "subject", "")
    for result in results:
        rows.add_row(*map(one_line, (result.check, result.level.value, result.subject, result.text)))
    show(rows)
