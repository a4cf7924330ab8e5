"""Common parts of benches on a plane: the command line, and the CPU and writes of each process."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.plane import Say
from tests.bench.report import machine_line
from tests.support.audit import AuditLog
from towpath.cli.running import run
from towpath.errors import TowpathError
from towpath.local import processes
from towpath.local.spec import Environment, Qps

_SHOWN = 6
_RARE = 0.05


@dataclass(frozen=True)
class Options:
    """The options of every command line."""

    qps: Qps
    rounds: int
    out: Path | None


def main_of(parser: argparse.ArgumentParser, *, rounds: int = 0) -> tuple[Options, argparse.Namespace]:
    """Add what all benches take, and read the command line. Without ``rounds`` there is one of all."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, help="write everything measured to this file, as JSON")
    parser.add_argument("--qps", type=Qps, default=Qps.HIGH, help="Karmada's client limits: default or high")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help="measured rounds, after a warm-up")
    given = parser.parse_args()
    if rounds and given.rounds < 1:
        parser.error("--rounds must be at least 1")
    return Options(given.qps, given.rounds if rounds else 1, given.out), given


def finish(options: Options, measure: Callable[[Say], Awaitable[dict[str, Any]]]) -> int:
    """Measure, write the file if one is wanted, and return the exit code."""

    async def measured() -> dict[str, Any]:
        return await measure(lambda line: print(line, file=sys.stderr, flush=True))

    try:
        document = run(measured())
    except KeyboardInterrupt:
        return 130
    except TowpathError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{machine_line(document['machine'])}")
    return 0


def usage(env: Environment) -> dict[str, float]:
    """Return the CPU seconds of each process of the plane."""
    times = {name: process.cpu_times() for name, process in processes.running(env.root).items()}
    return {name: used.user + used.system for name, used in times.items()}


class Written:
    """The writes of each program on Karmada's apiserver from now on."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._before = len(audit.writes())

    def each(self, number: int) -> dict[str, float]:
        """Return the writes by program and kind, divided by a number."""
        kinds = Counter(f"{write.agent} {write.kind}" for write in self._audit.writes()[self._before :])
        return {kind: count / number for kind, count in kinds.items()}


def most_written(writes: Mapping[str, float]) -> str:
    """Return the writes as text: the sum, then the kinds from the most frequent on."""
    order = sorted(writes.items(), key=lambda item: -item[1])
    kinds = ", ".join(f"{kind} {number:.1f}" for kind, number in order if number >= _RARE)
    return f"{sum(writes.values()):.1f} ({kinds})"


def busiest(used: Mapping[str, float]) -> str:
    """Return the largest consumers, as text."""
    order = sorted(used.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.2f}" for name, share in order[:_SHOWN])
