"""The report of a benchmark: percentiles, plain tables, goals, and the machine it ran on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towpath import __version__
from towpath.setup.assets import deployed

_PINNED = {
    "karmada": r"github\.com/karmada-io/karmada v(\S+)",
    "kubernetes": r"k8s\.io/kubernetes v(\S+)",
    "etcd": r"go\.etcd\.io/etcd/server/v3 v(\S+)",
}


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return a percentile, linear between the two nearest samples."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Return what a row of a table shows."""
    return {
        "p50": percentile(samples, 50),
        "p99": percentile(samples, 99),
        "min": min(samples),
        "max": max(samples),
        "n": len(samples),
    }


@dataclass(frozen=True)
class Goal:
    """A figure that must not be exceeded."""

    name: str
    limit: float
    measured: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is not."""
        return self.measured <= self.limit

    def __str__(self) -> str:
        verdict = "met" if self.met else "missed"
        return f"{self.name} <= {self.limit:g}{self.unit}: {self.measured:.3g}{self.unit}, {verdict}"

    def dump(self) -> dict[str, Any]:
        """Return it for a JSON file."""
        return {
            "name": self.name,
            "limit": self.limit,
            "measured": self.measured,
            "unit": self.unit,
            "met": self.met,
        }


def table(rows: Mapping[str, Mapping[str, float]], unit: str = "ms", scale: float = 1000.0) -> str:
    """Return summaries as aligned text, one a line; counts stay as they are."""
    columns = list(next(iter(rows.values())))
    width = max(map(len, rows)) + 2
    lines = [f"{unit:<{width}}" + "".join(f"{column:>9}" for column in columns)]
    for name, row in rows.items():
        cells = (f"{row[c]:>9d}" if c == "n" else f"{row[c] * scale:>9.1f}" for c in columns)
        lines.append(f"{name:<{width}}" + "".join(cells))
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Describe what the figures hold for. Another load at the time would be another machine."""
    pins = (deployed("local") / "go.mod").read_text()
    versions = {name: m[1] for name, pattern in _PINNED.items() if (m := re.search(pattern, pins))}
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
        "versions": {"towpath": __version__, "python": platform.python_version(), **versions},
    }


def machine_line(of: Mapping[str, Any]) -> str:
    """Return the description of a machine in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in of["versions"].items())
    return f"{of['cores']} cores ({of['cpu']}), load {of['load']} before; {versions}"


def _cpu() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()
