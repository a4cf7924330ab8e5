"""Paths on a gateway: as FSM writes them, as gateways compare them, and which of them contain others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

# Matches nearly all paths: nothing is encoded, and no segment is empty or consists of dots.
_PLAIN = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)
_UNESCAPED = "/!$&'()*+,;=:@~"
"""What a path holds unencoded besides letters, digits and ``-._`` (RFC 3986, pchar)."""


def normal_path(path: str) -> str:
    """Return the path as FSM needs it: a leading ``/``, none at the end, never empty.

    FSM puts it in front of the request's path, and takes an empty one as "speak mTLS to the gateway"
    (outbound-http-load-balancing.js:147), so the root is ``/`` itself.
    """
    return "/" + path.strip("/")


def claimed_path(path: str) -> str:
    """Return what a path claims: decoded, without empty and dot segments, and encoded in one way only.

    A gateway, or the application behind it, may decode a path before it compares, so two spellings of one
    path are one claim.
    """
    return path if _PLAIN.fullmatch(path) else _canonical(path)


@lru_cache(4096)
def _canonical(path: str) -> str:
    segments: list[str] = []
    for segment in quote(unquote_to_bytes(path.encode("utf-8", "surrogatepass")), _UNESCAPED).split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    return "/" + "/".join(segments)


def is_within(path: str, root: str) -> bool:
    """Tell whether a path is ``root`` or below it, compared decoded. An empty root contains all paths."""
    return not root or f"{claimed_path(path)}/".startswith(f"{root}/")


def above(path: str) -> Iterator[str]:
    """Yield the paths that contain a claimed path, from the nearest to the root."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path
