"""Names that clash: Karmada's bindings ignore the API group of ServiceExports and ServiceImports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from towpath.setup.checks.evidence import Evidence, Level, Object, Result, name_of

CHECK = "names"


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield each name that objects of several API groups share."""
    clashes = [
        (kind, name, groups)
        for kind, found in (("ServiceExport", evidence.exports), ("ServiceImport", evidence.imports))
        for name, groups in _groups(found).items()
        if len(groups) > 1
    ]
    for kind, name, groups in clashes:
        text = (
            f"The API groups {' and '.join(sorted(groups))} have a {kind} of this name, and Karmada "
            "cannot tell them apart. Delete or rename one."
        )
        yield Result(CHECK, Level.FAIL, name, text)
    if not clashes:
        yield Result(CHECK, Level.OK, "Karmada", "No two API groups share a name.")


def _groups(found: Mapping[str, tuple[Object, ...]]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for group, objects in found.items():
        for obj in objects:
            names.setdefault(name_of(obj), set()).add(group)
    return names
