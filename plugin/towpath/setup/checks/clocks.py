"""The clocks: certificates, tokens and graces depend on them."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.setup.checks.evidence import Evidence, Level, Result

CHECK = "clocks"
_MAX_SKEW_SECONDS = 5.0


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield whether this machine and the apiserver agree on the time."""
    if evidence.server_time is None:
        return
    # The apiserver gives whole seconds, cut off.
    skew = evidence.now - evidence.server_time
    if not -_MAX_SKEW_SECONDS <= skew <= _MAX_SKEW_SECONDS + 1:
        side = "ahead of" if skew > 0 else "behind"
        text = f"This clock is {abs(skew):.0f} s {side} that of the apiserver. Synchronize both with NTP."
        yield Result(CHECK, Level.WARN, "this machine", text)
    else:
        yield Result(CHECK, Level.OK, "this machine", "The clocks agree.")
