"""The versions of the apiserver and of what is installed."""

from __future__ import annotations

from collections.abc import Iterator

from towpath import __version__
from towpath.setup.checks.evidence import Evidence, Level, Result
from towpath.setup.requirements import OLDEST_KARMADA, karmada_problem, kubernetes_problem

CHECK = "versions"


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield whether apiserver and Karmada are new enough, and whether this version is installed."""
    for subject, problem, well in (
        ("apiserver", kubernetes_problem(evidence.version), f"Kubernetes {evidence.version}."),
        ("Karmada", karmada_problem(evidence.bindings), f"Karmada {OLDEST_KARMADA} or newer."),
    ):
        yield Result(CHECK, Level.FAIL if problem else Level.OK, subject, problem or well)
    if evidence.installed is None:
        text = "Towpath is not installed. Run `towpath install`."
        yield Result(CHECK, Level.WARN, "installation", text)
    elif evidence.installed != __version__:
        text = f"Version {evidence.installed} is installed, and this is {__version__}. Run `towpath install`."
        yield Result(CHECK, Level.WARN, "installation", text)
    else:
        yield Result(CHECK, Level.OK, "installation", f"Version {evidence.installed}.")
