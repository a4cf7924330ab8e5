"""Reads the audit log of Karmada's apiserver, the record of every write and its user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

PLUGIN_USER = "towpath-plugin"


@dataclass(frozen=True)
class Write:
    """One write that the apiserver accepted: ``asked`` and ``answered`` are seconds of the epoch."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str
    agent: str
    asked: float
    answered: float

    @property
    def kind(self) -> str:
        """The resource, with its subresource if that was written."""
        return f"{self.resource}{'/' if self.subresource else ''}{self.subresource}"


@dataclass(frozen=True)
class AuditLog:
    """The log as a list of accepted writes, in the order in which they were answered."""

    path: Path

    def writes(self, *, user: str = "", namespace: str = "") -> list[Write]:
        """Return the accepted writes, of one user and in one namespace if these are given."""
        named = self._naming(user, namespace)
        return [w for w in named if user in {"", w.user} and namespace in {"", w.namespace}]

    def _naming(self, user: str, namespace: str) -> Iterator[Write]:
        """Yield the accepted writes whose lines name both. To decode the log of a whole run takes seconds."""
        for line in self.path.read_text().splitlines():
            if user not in line or namespace not in line:
                continue
            event = json.loads(line)
            if event["stage"] != "ResponseComplete" or event["responseStatus"].get("code", 500) >= 400:
                continue
            reference = event["objectRef"]
            if "resource" not in reference or reference["resource"].endswith("reviews"):
                continue
            yield Write(
                event["user"]["username"],
                event["verb"],
                reference["resource"],
                reference.get("namespace", ""),
                reference.get("name", ""),
                reference.get("subresource", ""),
                event.get("userAgent", "").partition("/")[0],
                datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
                datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
            )
