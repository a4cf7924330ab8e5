"""The lease of the plugins: whether one leads."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.model.times import rfc3339, seconds
from towpath.setup.checks.evidence import Evidence, Level, Object, Result, name_of

CHECK = "leader"
_DURATION_SECONDS = 15.0
"""How long a lease that says nothing lasts."""


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield whether a plugin leads; nothing before an installation."""
    if evidence.installed is None:
        return
    if not evidence.leases:
        text = (
            "No plugin holds a lease. Run `towpath serve plugin --lease`, or check that the one plugin runs."
        )
        yield Result(CHECK, Level.WARN, "lease", text)
    now = evidence.now if evidence.server_time is None else evidence.server_time
    judged = [_judged(lease, now) for lease in evidence.leases]
    # A Lease of another name, which no plugin uses any more, is no problem beside one that is held.
    yield from [result for result in judged if result.level is Level.OK] or judged


def _judged(lease: Object, now: float) -> Result:
    spec, subject = lease.get("spec") or {}, f"Lease {name_of(lease)}"
    holder, renewed = spec.get("holderIdentity") or "", seconds(str(spec.get("renewTime", "")))
    duration = float(spec.get("leaseDurationSeconds") or _DURATION_SECONDS)
    if not holder or renewed is None:
        return Result(CHECK, Level.FAIL, subject, "No plugin leads. Start one with `towpath serve plugin`.")
    if now - renewed > 2 * duration:
        text = f"The leader {holder} has not renewed the lease since {rfc3339(renewed)}. Start a plugin."
        return Result(CHECK, Level.FAIL, subject, text)
    return Result(CHECK, Level.OK, subject, f"The plugin {holder} leads.")
