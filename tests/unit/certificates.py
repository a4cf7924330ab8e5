"""Certificates that last for a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from towpath import issuing
from towpath.issuing import Identity

HOSTS = ("127.0.0.1", "localhost")
_DAY = dt.timedelta(days=1)


def authority(name: str) -> Identity:
    return issuing.make_authority(name, validity=_DAY)


def identity(by: Identity, name: str, *, serves: Sequence[str] = ()) -> Identity:
    """Return a client's certificate, or that of a server that can be reached as ``serves``."""
    return issuing.issue(by, name, validity=_DAY, serves=serves)
