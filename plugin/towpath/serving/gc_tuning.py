"""Python's garbage collector, made to fit a process that holds a world and has no cycles in it.

By default it looks at every object there is whenever their number has grown by a quarter, which doubles the
time of a large derivation and stops the process for a second once there are many (facts/python.md, 4).
"""

from __future__ import annotations

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 100


def collect_rarely() -> None:
    """Collect less often from now on."""
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


def keep() -> None:
    """Never look again at what there is now: it stays, or goes as soon as nobody refers to it.

    What is garbage by now stays as well: some dozens of objects, for which to look would take a tenth of a
    second in a large fleet.
    """
    gc.freeze()
