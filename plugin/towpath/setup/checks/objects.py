"""What ``towpath install`` creates beside the CRDs: permissions, interpreters, admission policies."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.model.ownership import is_own
from towpath.setup.checks.evidence import Evidence, Level, Pair, Result, name_of

CHECK = "objects"


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield what is missing or was changed; nothing before an installation."""
    if evidence.installed is None:
        return
    found = [result for pair in evidence.objects if (result := _judged(pair)) is not None]
    yield from found
    if not found:
        yield Result(CHECK, Level.OK, "Karmada", f"{len(evidence.objects)} objects are as installed.")


def _judged(pair: Pair) -> Result | None:
    wanted, live = pair
    subject = f"{wanted['kind']} {name_of(wanted)}"
    if live is None:
        return Result(CHECK, Level.FAIL, subject, "The object is missing. Run `towpath install`.")
    if not is_own(live):
        text = "The object is of another program, and `towpath install` keeps it. Rename or delete it."
        return Result(CHECK, Level.FAIL, subject, text)
    if not _holds(live, wanted):
        return Result(CHECK, Level.WARN, subject, "The object was changed. Run `towpath install`.")
    return None


def _holds(live: object, wanted: object) -> bool:
    """Tell whether everything wanted is in live, apart from metadata and from what the apiserver adds."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            key == "metadata" or _holds(live.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(_holds, live, wanted))
    return live == wanted
