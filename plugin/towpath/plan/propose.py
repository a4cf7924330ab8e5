"""A plan for manifests on top of what a Karmada holds: what ``towpath plan --against-live`` does, at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.errors import InvalidObject
from towpath.model import manifest
from towpath.plan import result
from towpath.plan.diff import compared
from towpath.plan.objects import is_namespace
from towpath.plan.proposal import Proposal
from towpath.plan.read import read_live, read_on
from towpath.plan.result import Plan
from towpath.plan.world import Builder
from towpath.text import one_line


class Unreadable(InvalidObject):
    """One of several proposals cannot be read; ``number`` counts from 0."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


def propose(
    there: Sequence[Mapping[str, Any]],
    proposals: Sequence[Proposal],
    *,
    namespace: str,
    resolved: Mapping[str, str],
    now: float,
) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan, and what would change: a unified diff for each object.

    ``there`` is what Karmada holds, ``namespace`` that of objects that name none. Raises InvalidObject if
    that is none, and Unreadable.
    """
    if not is_namespace(namespace):
        raise InvalidObject(f"Invalid value {namespace!r}: must be the name of a namespace.")
    reading = read_live(there)
    for number, (source, text) in enumerate(proposals):
        try:
            objects = manifest.parse(text, source)
        except InvalidObject as error:
            raise Unreadable(number, one_line(str(error))) from None
        try:
            read_on(reading, objects, namespace=namespace)
        except InvalidObject as error:
            raise Unreadable(number, one_line(f"{source}: {error}")) from None
    builder = Builder(reading, resolved, now)
    return compared(
        result.make(builder.world(), builder.notes, [*reading.overrides.values()], builder.targets), there
    )
