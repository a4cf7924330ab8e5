"""Deciding whether an object must be written: only if the apiserver's differs from what we want.

Server-side apply writes only the fields we name, and others may own the rest: Karmada's claim labels,
defaults from webhooks. So an object is as it should be when (1) every field we want is there with our
value, and (2) we own no field that we no longer want. (2) is read from ``managedFields``; without it a
field dropped from the plan would stay for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath.model.ownership import FIELD_MANAGER

_FIELD = "f:"


def needs_apply(live: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether there is something to write so that ``wanted`` is there in the place of ``live``.

    None is nothing. An object that is being deleted is left to that: of its end we hear.
    """
    if live is wanted:
        return False
    if live is None or wanted is None:
        return live is None or not is_terminating(live)
    return not is_terminating(live) and not matches(live, wanted)


def is_terminating(live: Mapping[str, Any]) -> bool:
    """Tell whether an object is being deleted."""
    return "deletionTimestamp" in live["metadata"]


def matches(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether applying ``wanted`` would change nothing of ``live``."""
    return _holds(live, wanted) and not any(
        _has_more(entry.get("fieldsV1", {}), wanted)
        for entry in live["metadata"].get("managedFields", ())
        if entry.get("manager") == FIELD_MANAGER and not entry.get("subresource")
    )


def _holds(live: object, wanted: object) -> bool:
    """Tell whether everything wanted is in live. Lists are compared whole, item by item."""
    if live == wanted:
        return True  # so it is with most parts, and this comparison is ten times as fast
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and _holds(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_holds(a, b) for a, b in zip(live, wanted, strict=True))
        )
    return False


def _has_more(owned: Mapping[str, Any], wanted: object) -> bool:
    """Tell whether a field set (FieldsV1) names a field that is not wanted.

    What lies below a list is not looked into: lists of ours are atomic, or keyed and compared whole.
    """
    for field, below in owned.items():
        if not field.startswith(_FIELD):
            continue
        name = field.removeprefix(_FIELD)
        if not isinstance(wanted, Mapping) or name not in wanted:
            return True
        if below and isinstance(wanted[name], Mapping) and _has_more(below, wanted[name]):
            return True
    return False
