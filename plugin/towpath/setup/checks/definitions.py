"""The CRDs, in Karmada and in the members."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.model.keys import Dialect
from towpath.model.ownership import is_own
from towpath.setup.checks.evidence import Evidence, Level, Object, Result
from towpath.setup.install import serves
from towpath.text import several

CHECK = "CRDs"


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield whether every CRD is there, and whether members can take imports."""
    missing = [pair.wanted["metadata"]["name"] for pair in evidence.definitions if pair.live is None]
    foreign = [
        pair.wanted["metadata"]["name"]
        for pair in evidence.definitions
        if pair.live is not None and not is_own(pair.live)
    ]
    if missing and evidence.installed is not None:
        yield Result(CHECK, Level.FAIL, several(missing), "The CRD is missing. Run `towpath install`.")
    if foreign:
        text = (
            "The CRD is of another program and lacks Towpath's rules, so the webhook alone refuses mistakes."
        )
        yield Result(CHECK, Level.WARN, several(foreign), text)
    if evidence.definitions and not missing:
        yield Result(CHECK, Level.OK, "Karmada", f"{len(evidence.definitions)} CRDs.")
    for dialect in Dialect:
        lacking = [str(m["metadata"]["name"]) for m in evidence.members if not _serves(m, dialect)]
        if not lacking:
            continue
        level = Level.FAIL if evidence.exports.get(dialect.value) else Level.WARN
        text = f"The member does not serve ServiceImport of {dialect}. Install its CRD there."
        yield Result(CHECK, level, several(lacking), text)


def _serves(member: Object, dialect: Dialect) -> bool:
    return serves(dict(member), dialect)
