"""``pathRewrite`` of a ServiceExport by the means of an HTTPRoute ("route rule").

A route replaces the prefix that it matches, or the whole path. What a rewrite does to every path that the
route can match decides whether one of the two is the same. If that is not certain, it is not possible.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from towpath.model.export import PathRewrite
from towpath.rules.path_rewrite import substitution

_SHAPE = re.compile(
    r"\^(?P<head>(?:[A-Za-z0-9/_~!&',;=:@%-]|\\[.-])+?)"  # the text that a path begins with
    r"(?:(?P<rest>\.\*\$?)|(?P<slash>/\?|\(/\|\$\))?(?P<group>\(\.\*\)\$?)?)"
)
"""``^/web``, then what of the rest belongs to the match: nothing, a slash, all, or all as a group."""


class Means(StrEnum):
    """What an HTTPRoute can do to a path (gateway.networking.k8s.io/v1, HTTPPathModifierType)."""

    NOTHING = ""
    PREFIX = "ReplacePrefixMatch"
    WHOLE = "ReplaceFullPath"


class PathChange(NamedTuple):
    """What a route does to a path."""

    means: Means
    value: str = ""


UNCHANGED = PathChange(Means.NOTHING)


def taken_off(path: str, *, exact: bool) -> PathChange:
    """Return the change that takes the path of a rule off."""
    return UNCHANGED if path == "/" else PathChange(Means.WHOLE if exact else Means.PREFIX, "/")


def as_route(rewrite: PathRewrite, path: str, *, exact: bool) -> PathChange | None:
    """Return the change that equals a rewrite for all requests below a path, None if there is none."""
    if substitution(rewrite) is None:
        return None
    return _of_one(rewrite, path) if exact else _of_prefix(rewrite, path)


def _of_one(rewrite: PathRewrite, path: str) -> PathChange | None:
    """Return what becomes of one path."""
    found = list(re.finditer(rewrite.pattern, path, re.ASCII))
    if not found:
        return UNCHANGED
    (first, *more) = found
    template = re.sub(r"\$([1-9])", r"\\\1", rewrite.replacement)
    changed = path[: first.start()] + first.expand(template) + path[first.end() :]
    # How often what matches nothing is replaced differs between implementations.
    return PathChange(Means.WHOLE, changed) if not more and first[0] and changed.startswith("/") else None


def _of_prefix(rewrite: PathRewrite, path: str) -> PathChange | None:
    """Return what becomes of a path and all below it."""
    shape = _SHAPE.fullmatch(rewrite.pattern)
    if shape is None:
        return None
    head, below = shape["head"].replace("\\", ""), "/" if path == "/" else f"{path}/"
    if not path.startswith(head) and not head.startswith(below):
        return UNCHANGED  # no request begins so
    if head != path:
        return None
    to = rewrite.replacement
    if shape["rest"]:
        return PathChange(Means.WHOLE, to) if to.startswith("/") else None
    if shape["group"]:
        number = rewrite.pattern.count("(")
        if not to.endswith(f"${number}"):
            return None
        to = to.removesuffix(f"${number}")
    if path == "/" or "$" in to:
        return None
    if shape["slash"]:
        return PathChange(Means.PREFIX, "/") if to == "/" else None
    return PathChange(Means.PREFIX, to) if to.startswith("/") and not to.endswith("/") else None
