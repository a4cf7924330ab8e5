"""Reading objects whose fields may be missing or of any type, and the problems found in them.

Towpath's CRDs check types and ranges before the webhook is called; those of ErieCanal and FSM do not. The
limits here are those of Towpath's CRDs: they bound the work and the answer for any object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

HIGHEST_PORT = 65535
MAX_RULES = MAX_PORTS = 128
MAX_KEYS = MAX_ENDPOINTS = 2048
MAX_KEY_LENGTH = 640
MAX_PATH_LENGTH = 512
MAX_NAME_LENGTH = 253
MAX_PLACE_LENGTH = 128


class Problem(NamedTuple):
    """An error in a field. Without a field it concerns the whole object."""

    field: str
    text: str
    """The problem and the fix, each a sentence."""

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


def part(value: object, key: str) -> dict[str, Any]:
    """Return the member of an object that should be an object; empty if it is missing or something else."""
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def items(value: object) -> list[Any]:
    """Return a list; empty if the value is something else."""
    return value if isinstance(value, list) else []


def too_many(field: str, values: list[Any], limit: int) -> Iterator[Problem]:
    """Yield the problem of a list that is too long."""
    if len(values) > limit:
        yield Problem(field, f"Too many: {len(values)}: must have at most {limit} items. Remove some.")


def integer(field: str, value: object, lowest: int, highest: int) -> Iterator[Problem]:
    """Yield the problem of a number."""
    fix = f"Use a whole number from {lowest} to {highest}."
    if value is None:
        yield Problem(field, f"Required value: The field is missing. {fix}")
    elif not isinstance(value, int) or isinstance(value, bool):
        yield Problem(field, f"The value is not a whole number. {fix}")
    elif value < lowest:
        yield Problem(field, f"The value should be greater than or equal to {lowest}. {fix}")
    elif value > highest:
        yield Problem(field, f"The value should be less than or equal to {highest}. {fix}")


def choice(field: str, value: object, *allowed: str) -> Iterator[Problem]:
    """Yield the problem of an optional enumeration."""
    if value is not None and value not in allowed:
        choices = ", ".join(f'"{each}"' for each in allowed)
        yield Problem(field, f"Unsupported value. Use one of {choices}.")


def text(
    field: str, value: object, longest: int, *checks: tuple[Callable[[str], bool], str]
) -> Iterator[Problem]:
    """Yield the problem of an optional string: the first check that fails."""
    if value is None:
        return
    if not isinstance(value, str):
        yield Problem(field, "The value is not a string. Use a string.")
        return
    if len(value) > longest:
        yield Problem(field, f"Too long: may not be more than {longest} characters. Use a shorter value.")
        return
    for is_valid, problem in checks:
        if not is_valid(value):
            yield Problem(field, problem)
            return


def annotation(obj: Mapping[str, Any], key: str) -> str:
    """Return an annotation, empty if it is not set."""
    value = part(obj.get("metadata"), "annotations").get(key)
    return value if isinstance(value, str) else ""
