"""How a migration changes the annotations of an export, from those that are there."""

from __future__ import annotations

from collections.abc import Mapping

from towpath.karmada.annotations import Change
from towpath.model.export import CONFLICT_RESOLUTION, OVERWRITE, PRESERVE_IMPORTS, RELEASED
from towpath.rules.handover import overwriting_in, overwritten_in, released


def taking_over(clusters: frozenset[str]) -> Change:
    """Let Karmada take over the imports of these members as well."""

    def change(annotations: Mapping[str, str]) -> Mapping[str, str | None]:
        present = annotations.get(CONFLICT_RESOLUTION, "")
        named = frozenset(overwritten_in(present))
        if present == OVERWRITE or clusters <= named:
            return {}
        return {CONFLICT_RESOLUTION: overwriting_in(clusters | named)}

    return change


def taken_over(clusters: frozenset[str]) -> Change:
    """Remove these members from those whose imports Karmada may take over."""

    def change(annotations: Mapping[str, str]) -> Mapping[str, str | None]:
        named = set(overwritten_in(annotations.get(CONFLICT_RESOLUTION, "")))
        return {CONFLICT_RESOLUTION: overwriting_in(frozenset(named - clusters))} if named & clusters else {}

    return change


def preserving(clusters: frozenset[str]) -> Change:
    """Let these members keep their imports when Karmada does not carry them any more.

    Karmada may also take them over. It owns them, and needs that to repeat the removal of its marks.
    """

    def change(annotations: Mapping[str, str]) -> Mapping[str, str | None]:
        preserved = {} if annotations.get(PRESERVE_IMPORTS) == "true" else {PRESERVE_IMPORTS: "true"}
        return {**preserved, **taking_over(clusters)(annotations)}

    return change


def preserved(clusters: frozenset[str]) -> Change:
    """Undo ``preserving``."""

    def change(annotations: Mapping[str, str]) -> Mapping[str, str | None]:
        removed = {PRESERVE_IMPORTS: None} if PRESERVE_IMPORTS in annotations else {}
        return {**removed, **taken_over(clusters)(annotations)}

    return change


def releasing(clusters: frozenset[str]) -> Change:
    """Leave the imports of these members to the other control plane."""

    def change(annotations: Mapping[str, str]) -> Mapping[str, str | None]:
        present = released(annotations)
        return {} if clusters <= present else {RELEASED: ",".join(sorted(present | clusters))}

    return change


def reclaiming(clusters: frozenset[str]) -> Change:
    """Derive the imports of these members again."""

    def change(annotations: Mapping[str, str]) -> Mapping[str, str | None]:
        present = released(annotations)
        return {RELEASED: ",".join(sorted(present - clusters)) or None} if present & clusters else {}

    return change
