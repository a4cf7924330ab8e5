"""Times as Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(text: str) -> float | None:
    """Return the seconds since 1970 of an RFC 3339 time; None if it is none."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
