"""Output of ``towpath migrate``: the steps, and the imports of each member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towpath.cli.output import show, table
from towpath.text import one_line, several

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.table import Table

    from towpath.migration.own import Own
    from towpath.migration.plan import ImportPlan, MemberPlan
    from towpath.migration.steps import Step


def print_steps(steps: Iterable[Step]) -> None:
    """Print the numbered steps."""
    rows = table("step", "state", "")
    for step in steps:
        _add(rows, f"{step.number}.", step.progress.value, step.title)
        if step.detail:
            _add(rows, "", "", f"   {step.detail}")
    show(rows)


def print_plan(plans: Sequence[MemberPlan]) -> None:
    """Print the members, and each import with what would change."""
    rows = table("cluster", "read by", "imports", "")
    for planned in plans:
        states = sorted({held.state for held in planned.imports})
        counts = [f"{len(planned.in_state(state))} {state.value}" for state in states]
        member = planned.member
        _add(rows, member.cluster, member.source, ", ".join(counts) or "none", member.problem)
    show("", rows)
    details = table("cluster", "service", "state", "")
    for planned in plans:
        for held in planned.imports:
            first = (planned.member.cluster, str(held.service), held.state.value)
            for line in _lines(held):
                _add(details, *first, line)
                first = ("", "", "")
        for found in planned.own:
            _add(details, planned.member.cluster, str(found.key), f"own {found.kind}", found.text)
    if details.row_count:
        show("", details)


def _lines(held: ImportPlan) -> Iterator[str]:
    lines = [
        *(f"missing {missing.endpoint.text}: {missing.text}" for missing in held.missing),
        *(f"goes, no longer exported or drained: {endpoint.text}" for endpoint in held.stale),
        *(f"added {endpoint.text}" for endpoint in held.added),
        *held.changes,
    ]
    yield from lines or [several(endpoint.text for endpoint in held.held) or "no endpoints"]


def document(steps: Iterable[Step], plans: Iterable[MemberPlan]) -> dict[str, Any]:
    """Return steps and plan for programs."""
    return {
        "steps": [
            {"number": s.number, "title": s.title, "state": s.progress.value, "detail": s.detail}
            for s in steps
        ],
        "members": [
            {
                "cluster": planned.member.cluster,
                "source": planned.member.source,
                "problem": planned.member.problem,
                "imports": [_import(held) for held in planned.imports],
                "own": [_own(found) for found in planned.own],
            }
            for planned in plans
        ],
    }


def _import(held: ImportPlan) -> dict[str, Any]:
    return {
        "namespace": held.service.namespace,
        "name": held.service.name,
        "dialect": held.service.dialect.value,
        "state": held.state.value,
        "held": [endpoint.text for endpoint in held.held],
        "added": [endpoint.text for endpoint in held.added],
        "stale": [endpoint.text for endpoint in held.stale],
        "missing": [
            {"endpoint": missing.endpoint.text, "reason": missing.reason.value, "text": missing.text}
            for missing in held.missing
        ],
        "changes": list(held.changes),
    }


def _own(found: Own) -> dict[str, str]:
    return {
        "kind": found.kind,
        "namespace": found.key.namespace,
        "name": found.key.name,
        "dialect": found.key.dialect.value,
        "reason": found.reason.value,
        "text": found.text,
    }


def _add(rows: Table, *cells: str) -> None:
    rows.add_row(*map(one_line, cells))
