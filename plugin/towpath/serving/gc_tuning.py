"""Settings of Python's garbage collector for a process that holds many objects and creates no cycles.

By default the collector visits every object whenever their number has grown by a quarter. That doubles the
time of a large derivation, and pauses the process for a second once there are many objects."""

from __future__ import annotations

import atexit
import gc

_YOUNG_THRESHOLD, _MIDDLE_THRESHOLD, _OLD_THRESHOLD = 50_000, 20, 100


def collect_rarely() -> None:
    """Collect less often from now on."""
    gc.set_threshold(_YOUNG_THRESHOLD, _MIDDLE_THRESHOLD, _OLD_THRESHOLD)


def collect_on_request() -> None:
    """Collect only when ``collect`` is called: for what is read as a whole and needed as a whole."""
    gc.disable()


def collect() -> None:
    """Collect now."""
    gc.collect()


def end_at_once() -> None:
    """Free nothing at the end: the interpreter would visit every object before, and the system is faster."""
    atexit.register(keep)


def keep() -> None:
    """Exclude all present objects from collection; reference counting still frees them.

    Existing garbage is not collected first: it is some dozens of objects, and a full collection takes a tenth
    of a second in a large fleet.
    """
    gc.freeze()
