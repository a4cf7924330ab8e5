"""When a binding that names a former template is taken from it (former owner).

The binding of a template that is deleted and created again is collected and created again as well. If
kube-controller-manager's watch is interrupted at that moment, it sees an update instead of a deletion (relist
blindness), and what the former template owns stays. Karmada refuses such a binding for the new template
("different owner reference UID") without end, and the members stay as they are; and they do when the new
template is deleted as well. So a binding that names another template than the present one for longer than
garbage collection takes is given to the present one, or to the garbage collector if there is none (``act``).
Each further try waits longer.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from towpath.controller.decision import Adopt, Decision
from towpath.inventory.snapshot import Template

COLLECTION_GRACE_SECONDS = 5.0
"""The time that the garbage collector has, which takes less than one second."""
MAX_DELAY_SECONDS = 300.0
"""The longest time between two tries."""


class _Waiting(NamedTuple):
    former: str
    due: float
    delay: float


class OrphanBindings:
    """The templates whose binding names a former template."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, _Waiting] = {}

    def decide(self, templates: Iterable[Template], now: float) -> Decision:
        """Decide on the bindings of these templates."""
        decision = Decision()
        for template in templates:
            adopt, look_again = self.look((template.resource, template.name), template.former, now)
            if adopt or look_again < math.inf:
                decision += Decision(look_again, steps=(Adopt(template),) if adopt else ())
        return decision

    def forget(self, templates: Iterable[Template]) -> None:
        """The bindings of these templates end with their namespace."""
        for template in templates:
            self._waiting.pop((template.resource, template.name), None)

    def look(self, template: Hashable, former: str, now: float) -> tuple[bool, float]:
        """Return whether to take the binding of a template now, and when to look again if nothing changes.

        ``former`` is the uid that the binding names instead of the template's own, if it does.
        """
        if not former:
            self._waiting.pop(template, None)
            return False, math.inf
        waiting = self._waiting.get(template)
        is_known = waiting is not None and waiting.former == former  # not so after what ``act`` has written
        if waiting is not None and is_known and now < waiting.due:
            return False, waiting.due
        delay = COLLECTION_GRACE_SECONDS if waiting is None else waiting.delay
        if is_known:
            delay = min(2 * delay, MAX_DELAY_SECONDS)
        self._waiting[template] = _Waiting(former, now + delay, delay)
        return is_known, now + delay
