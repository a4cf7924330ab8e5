"""``pathRewrite`` of a ServiceExport as Envoy takes it, or why it cannot.

The fields are a JavaScript pattern and replacement in ErieCanal and RE2 in Envoy. What both understand in the
same way is accepted: one pattern that Envoy refuses would take all routes of the gateway with it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from towpath.model.export import PathRewrite

_LONGEST = 256
_PATTERN = re.compile(
    r"""(?:[A-Za-z0-9/_~!&',;=:@%.^$?*+()|-]|\[\^?[A-Za-z0-9/_.~-]+\]|\\[./dDwW$^()?*+|-])+"""
)
_DOUBLE = re.compile(r"[*+?][*+?]|\(\?")
_REPLACEMENT = re.compile(r"(?:[A-Za-z0-9/_.~!&'()*+,;=:@%-]|\$[1-9](?![0-9]))*")
_GROUP = re.compile(r"\$([1-9])")


class Substitution(NamedTuple):
    """A regular expression and its replacement, both in RE2's syntax."""

    pattern: str
    replacement: str


def substitution(rewrite: PathRewrite) -> Substitution | None:
    """Return the rewrite as Envoy takes it, None if it cannot be had."""
    pattern, replacement = rewrite.pattern, rewrite.replacement
    if len(pattern) > _LONGEST or len(replacement) > _LONGEST:
        return None
    if not _PATTERN.fullmatch(pattern) or _DOUBLE.search(pattern) or not _REPLACEMENT.fullmatch(replacement):
        return None
    try:
        groups = re.compile(pattern).groups
    except re.error:
        return None
    if any(int(number) > groups for number in _GROUP.findall(replacement)):
        return None
    return Substitution(pattern, _GROUP.sub(r"\\\1", replacement))
