"""Permissions that our user lacks: collected for a moment and reported once, with the fix.

A user without permissions is refused for every kind, again and again. One line that names them all replaces
the line for each attempt; it is repeated only when a permission is added to it. ``problem`` names what has
been refused lately, for ``/readyz``.
"""

from __future__ import annotations

import asyncio
import re
import time

import structlog

from towpath.errors import ApiError

log = structlog.get_logger()
COLLECT_SECONDS = 1.0
"""How long refusals are collected before they are reported."""
RECENT_SECONDS = 60.0
"""For how long a refusal counts; longer than the pause between two attempts."""
FIX = (
    "Run `towpath install`, and use the kubeconfig that `towpath install --write-kubeconfig` writes, or a "
    "client certificate of the group towpath."
)
_REFUSAL = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<what>[^"]+)" in API group "(?P<group>[^"]*)"'
)


class Denials:
    """What RBAC has refused."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._user = ""
        self._reporting: asyncio.TimerHandle | None = None

    def note(self, error: ApiError) -> bool:
        """Collect an error if RBAC's; return whether it is, and needs no report of its own."""
        found = _REFUSAL.search(str(error))
        if found is None:
            return False
        action = f"{found['verb']} {found['what']}" + (f".{found['group']}" if found["group"] else "")
        now, last = time.monotonic(), self._seen.get(action)
        self._seen[action], self._user = now, found["user"]
        if (last is None or now - last > RECENT_SECONDS) and self._reporting is None:
            self._reporting = asyncio.get_running_loop().call_later(COLLECT_SECONDS, self._report)
        return True

    @property
    def problem(self) -> str:
        """The permissions that have been refused lately, and the fix; empty if there are none."""
        missing = self._recent()
        return f"The user {self._user!r} lacks permissions: {', '.join(missing)}. {FIX}" if missing else ""

    def _recent(self) -> list[str]:
        now = time.monotonic()
        return sorted(action for action, seen in self._seen.items() if now - seen <= RECENT_SECONDS)

    def _report(self) -> None:
        self._reporting = None
        log.error("permissions missing", user=self._user, missing=self._recent(), fix=FIX)
