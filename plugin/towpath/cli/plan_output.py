"""Output of ``towpath plan``: tables, documents, or a diff with the reasons beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from towpath.cli.output import show, write
from towpath.cli.plan_input import Output
from towpath.cli.service_output import MemberRow, explanation, inventory, warnings
from towpath.model import manifest
from towpath.plan import result
from towpath.text import one_line, several

if TYPE_CHECKING:
    from rich.table import Table

    from towpath.plan.result import Plan, ServicePlan, TrafficPlan


def show_plan(plan: Plan, differing: Sequence[str] | None, output: Output) -> None:
    """Print a plan. ``differing`` is what would change in a live Karmada, None without one."""
    match output:
        case Output.DIFF:
            write("".join(differing or ()))
            sys.stderr.writelines(f"{one_line(line)}\n" for line in reasons(plan))
        case Output.TABLE:
            _show_tables(plan, differing)
        case Output.YAML:
            write(manifest.dump(result.document(plan)))
        case Output.JSON:
            write(json.dumps(result.document(plan), indent=2) + "\n")
    sys.stdout.flush()
    sys.stderr.writelines(f"error: {one_line(refusal)}\n" for refusal in plan.refusals)


def reasons(plan: Plan) -> Iterator[str]:
    """Yield what explains a diff: which clusters are left out, what surprises, what is not known."""
    for planned in plan.services:
        explained = result.explained(planned, plan.fleet)
        yield from (
            f"{explained.key}: {cluster} does not export: {reason}: {text}"
            for cluster, reason, text in explained.excluded
        )
        yield from (
            f"{explained.key}: {condition.type}={condition.status} ({condition.reason}): {condition.message}"
            for condition in explained.conditions
            if (condition.type, condition.status) == ("Conflict", "True")
        )
        yield from (f"warning: {explained.key}: {finding.text}" for finding in explained.warnings)
    for traffic in plan.traffic:
        yield from (f"warning: {_title(traffic)}: {caution.text}" for caution in traffic.advice)
    yield from (f"note: {note}" for note in plan.notes)


def _show_tables(plan: Plan, differing: Sequence[str] | None) -> None:
    rows = [MemberRow.of(member) for _, member in sorted(plan.fleet.members.items())]
    parts: list[str | Table] = [inventory(rows)]
    for planned in plan.services:
        parts += ["", *explanation(result.explained(planned, plan.fleet))]
        parts += ["", _would_write(planned)]
    if not plan.services:
        parts += ["", "No service is exported."]
    for traffic in plan.traffic:
        spread = traffic.applied.policy.lb_type.value
        parts += ["", f"{_title(traffic)}: {spread} in {several(traffic.applied.clusters) or 'no cluster'}"]
        parts += warnings(caution.finding for caution in traffic.advice)[1:]
        if traffic.following:
            parts.append(f"would write {_name(traffic.following)}")
    parts += ["", *(f"note: {note}" for note in plan.notes)] if plan.notes else []
    if differing is not None:
        number = f"{len(differing)} object{'s' * (len(differing) != 1)}"
        parts += ["", f"{number} would change: -o diff shows how." if differing else "Nothing would change."]
    show(*parts)


def _title(traffic: TrafficPlan) -> str:
    return f"GlobalTrafficPolicy {traffic.applied.key}"


def _would_write(planned: ServicePlan) -> str:
    if planned.rendered.refused:
        return "would write nothing: see the error"
    return "would write " + (", ".join(map(_name, planned.objects)) or "nothing")


def _name(obj: Mapping[str, Any]) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"
