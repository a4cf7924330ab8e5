"""What a pass decides: data that the reconciler acts on. Nothing here reads, writes or has a clock."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from towpath.controller.metrics import Refusal
from towpath.controller.news import Notice, Subject
from towpath.derivation.stages import Write
from towpath.derivation.status import Status
from towpath.inventory.snapshot import Template
from towpath.karmada.client import Resource
from towpath.karmada.wire import Name


class Touch(NamedTuple):
    """Make Karmada process a template again; with ``unclaim`` it also chooses the policy again."""

    resource: Resource
    name: Name
    why: str
    unclaim: bool = False


class PatchStatus(NamedTuple):
    """Bring a status to what ``make`` returns for the present one; changes become events of ``subject``."""

    resource: Resource
    name: Name
    make: Callable[[Status], Status]
    subject: Subject | None = None


class Adopt(NamedTuple):
    """Give the binding of a former template to the present one."""

    template: Template


class Collect(NamedTuple):
    """Delete what a template has left that is derived from it, if a fresh read confirms that it is gone."""

    source: Resource
    name: Name
    writes: tuple[Write, ...]


class Note(NamedTuple):
    """A line of the log. ``level`` is a method of the logger."""

    level: str
    event: str
    fields: Mapping[str, Any]


class Latency(NamedTuple):
    """The seconds from a change until every importer reports it. ``withdrawal``: an exporter was removed."""

    seconds: float
    withdrawal: bool


Step = Write | Touch | PatchStatus | Adopt | Collect


@dataclass(frozen=True)
class Decision:
    """What to do about one service, in this order, and when to reconcile it again.

    ``records`` are written before everything that depends on them (``ordered``). The writes of one stage may
    happen at the same time, a stage after the one before it, and ``steps`` one after the other when all
    stages are done.
    ``took_up``: the change that began the pass is taken up. ``relist``: list again what derivations read.
    ``forgotten`` are objects that no longer exist. ``unrecorded``: a new import stands for its record,
    if that may still wait when the import is written (``waits_for_record``).
    """

    look_again: float = math.inf
    took_up: bool = False
    relist: bool = False
    unrecorded: bool = False
    refusals: tuple[Refusal, ...] = ()
    latencies: tuple[Latency, ...] = ()
    notes: tuple[Note, ...] = ()
    news: tuple[Notice, ...] = ()
    forgotten: tuple[tuple[Resource, Name], ...] = ()
    records: tuple[PatchStatus, ...] = ()
    stages: tuple[Sequence[Write], ...] = ()
    steps: tuple[Step, ...] = ()

    def __add__(self, other: Decision) -> Decision:
        """Return both decisions as one, the other one after this one."""
        return Decision(
            min(self.look_again, other.look_again),
            self.took_up or other.took_up,
            self.relist or other.relist,
            self.unrecorded or other.unrecorded,
            self.refusals + other.refusals,
            self.latencies + other.latencies,
            self.notes + other.notes,
            self.news + other.news,
            self.forgotten + other.forgotten,
            self.records + other.records,
            self.stages + other.stages,
            self.steps + other.steps,
        )

    @property
    def ordered(self) -> tuple[Sequence[Write | PatchStatus], ...]:
        """The stages with the records before them.

        Policies serve nothing without an import. Those of a first import are written beside the records.
        """
        first, *later = self.stages or ((),)
        if self.records and any(map(_creates_import, itertools.chain(*later))):
            return ((*self.records, *first), *later)
        return (self.records, *self.stages) if self.records else self.stages

    def waits_for_record(self, stage: Iterable[Write | PatchStatus], *, may_record_later: bool) -> bool:
        """Tell whether a stage must not be written any more: somebody else has claimed the path since."""
        return self.unrecorded and not may_record_later and any(map(_creates_import, stage))


def _creates_import(step: Write | PatchStatus) -> bool:
    if not isinstance(step, Write) or step.live is not None or step.wanted is None:
        return False
    return bool(step.wanted["kind"] == "ServiceImport")
