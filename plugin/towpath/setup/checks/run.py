"""The list of checks."""

from __future__ import annotations

from towpath.setup.checks import (
    certificates,
    clocks,
    definitions,
    hooks,
    leader,
    leftovers,
    names,
    objects,
    permissions,
    versions,
)
from towpath.setup.checks.evidence import Evidence, Level, Result

_CHECKS = (
    versions.check,
    definitions.check,
    objects.check,
    permissions.check,
    leader.check,
    hooks.check,
    certificates.check,
    clocks.check,
    names.check,
    leftovers.check,
)


def judge(evidence: Evidence) -> tuple[Result, ...]:
    """Return what every check finds, in their order."""
    return tuple(result for check in _CHECKS for result in check(evidence))


def judge_running(evidence: Evidence) -> tuple[Result, ...]:
    """Return what fails of the processes: plugin and webhook."""
    found = (*leader.check(evidence), *hooks.check(evidence))
    return tuple(result for result in found if result.level is Level.FAIL)
