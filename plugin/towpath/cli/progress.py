"""Showing a build: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from towpath.local.build import Binaries, BuildProgress, ensure_binaries

_WHAT = {
    "waiting": "waiting for another towpath that is building",
    "toolchain": "installing Go",
    "modules": "getting Go modules",
    "compile": "compiling Kubernetes, etcd and Karmada",
    "link": "linking the programs",
}
_LINE_EVERY = 20.0
"""Seconds between lines where there is no terminal."""


def built() -> Binaries:
    """Return the programs of the local Karmada, shown being built if they are not there yet."""
    if sys.stderr.isatty():
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as progress:
            return ensure_binaries(_Bars(progress).show)
    return ensure_binaries(_Lines().show)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, state: BuildProgress) -> None:
        task = self._tasks.get(state.stage)
        if task is None:
            task = self._tasks[state.stage] = self._progress.add_task(_WHAT[state.stage], total=None)
        self._progress.update(task, completed=state.done, total=state.total or None)


class _Lines:
    def __init__(self) -> None:
        self._last: tuple[str, float] = ("", 0.0)

    def show(self, state: BuildProgress) -> None:
        stage, when = self._last
        finished = state.total > 0 and state.done == state.total
        if state.stage == stage and state.seconds - when < _LINE_EVERY and not finished:
            return
        self._last = (state.stage, state.seconds)
        count = f": {state.done} of {state.total}" if state.total else ""
        sys.stderr.write(f"{state.seconds:5.0f} s  {_WHAT[state.stage]}{count}\n")
