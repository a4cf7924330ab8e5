"""Reading objects of which nothing is certain: fields that may be missing or of any type.

A CRD of ours has seen to types and ranges before a rule is asked; a CRD of ErieCanal or FSM has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

HIGHEST_PORT = 65535


class Problem(NamedTuple):
    """What is wrong with one field, and what to do about it. Without a field it is the whole object."""

    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


def part(value: object, key: str) -> dict[str, Any]:
    """Return an object's member that should be an object; what is not is as good as missing."""
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def items(value: object) -> list[Any]:
    """Return what should be a list."""
    return value if isinstance(value, list) else []


def integer(field: str, value: object, lowest: int, highest: int) -> Iterator[Problem]:
    """Yield what is wrong with a number."""
    if value is None:
        yield Problem(field, f"Required value: give a whole number from {lowest} to {highest}")
    elif not isinstance(value, int) or isinstance(value, bool):
        yield Problem(field, f"must be a whole number from {lowest} to {highest}")
    elif value < lowest:
        yield Problem(field, f"{value} should be greater than or equal to {lowest}")
    elif value > highest:
        yield Problem(field, f"{value} should be less than or equal to {highest}")


def one_of(field: str, value: object, *known: str) -> Iterator[Problem]:
    """Yield what is wrong with a word that may be missing."""
    if value is not None and value not in known:
        yield Problem(field, "must be one of " + ", ".join(f'"{one}"' for one in known))


def text(field: str, value: object, *checks: tuple[Callable[[str], bool], str]) -> Iterator[Problem]:
    """Yield what is wrong with a text that may be missing: the first check that it does not pass."""
    if value is None:
        return
    if not isinstance(value, str):
        yield Problem(field, "must be a string")
        return
    for passes, wrong in checks:
        if not passes(value):
            yield Problem(field, wrong)
            return


def annotation(obj: Mapping[str, Any], key: str) -> str:
    """Return an annotation, empty if there is none."""
    value = part(obj.get("metadata"), "annotations").get(key)
    return value if isinstance(value, str) else ""
