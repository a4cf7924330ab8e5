"""The base of what browsers are sent."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Base of all rows: what has its default is not sent."""
