"""The page docs/reasons.md, generated from the registry of reasons."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.rules.reasons import (
    Advice,
    CallReason,
    ChainReason,
    ConditionReason,
    Conflicting,
    ExclusionReason,
    InvalidReason,
    MigrationReason,
    NotImportedReason,
    OwnReason,
    PolicyReason,
    Reason,
    RouteReason,
    TrafficReason,
)

_SECTIONS: tuple[tuple[str, str, type[Reason]], ...] = (
    (
        "A cluster does not export",
        "A cluster that a ServiceExport reaches exports, or has the first of these reasons that holds.",
        ExclusionReason,
    ),
    (
        "A cluster does not import",
        "A member either imports the service or has one of these reasons.",
        NotImportedReason,
    ),
    (
        "Exporters disagree",
        "Reasons of `Conflict=True`, joined by commas. What the oldest export says is used.",
        Conflicting,
    ),
    (
        "Other reasons of conditions",
        "`Valid=False` has one of these, or the reason of the cluster that came furthest.",
        ConditionReason,
    ),
    (
        "Other broken links",
        "`towpath explain` and `towpath status` report a broken link with one of the above, or one of these.",
        ChainReason,
    ),
    (
        "Calls that are not answered",
        "What `towpath verify` finds, and `NoReadyPod` and `NoAnswer` of `Ready` as data paths report them.",
        CallReason,
    ),
    (
        "Routes on members' own gateways",
        "Reasons of `Ready=False` where `towpath.io/gateway-route` names a gateway of a member.",
        RouteReason,
    ),
    (
        "Traffic that is unknown",
        "Why the [page](page.md#traffic) and `WatchFleet` have no rates of requests between clusters.",
        TrafficReason,
    ),
    (
        "Endpoints that a migration waits for",
        "`towpath migrate` takes over an import when none is missing from Karmada's. Why one would be:",
        MigrationReason,
    ),
    (
        "What members have of their own",
        "`towpath migrate plan` names exports and traffic policies in members that Karmada does not manage.",
        OwnReason,
    ),
    (
        "Traffic policies and flomesh Clusters",
        "Reasons of `Accepted`, `Resolved` and `Managed`; if False also those of warnings and refusals.",
        PolicyReason,
    ),
    (
        "Warnings",
        "Legal, and yet it does not do what it says, because of how FSM consumes it.",
        Advice,
    ),
    ("Refusals", "No FSM can do this: the CRDs refuse it, and so does `towpath plan`.", InvalidReason),
)


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Reasons"
    yield ""
    yield "All that Towpath says about a service, in conditions, by `towpath explain` and `towpath plan`."
    yield "Made from `plugin/towpath/rules/reasons.py` by `make docs`."
    for title, about, reasons in _SECTIONS:
        yield from ("", f"## {title}", "", about, "", "| reason | meaning |", "| --- | --- |")
        yield from (f"| `{reason.value}` | {reason.text} |" for reason in reasons)
