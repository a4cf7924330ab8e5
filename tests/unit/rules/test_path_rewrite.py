"""pathRewrite: what both ErieCanal and Envoy understand, and nothing that Envoy refuses."""

from __future__ import annotations

import pytest

from towpath.model.export import PathRewrite
from towpath.rules.path_rewrite import substitution


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        ("^/nodeapp/?", "/", "/"),
        ("^/api/v([0-9]+)/(.*)$", "/$2/of/$1", r"/\2/of/\1"),
        (r"^/a\.b", "/c", "/c"),
        ("/(a|b)+", "", ""),
    ],
)
def test_understood_by_both(pattern: str, replacement: str, expected: str) -> None:
    found = substitution(PathRewrite(pattern=pattern, replacement=replacement))
    assert found == (pattern, expected)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("(?=x)", "/"),
        ("(?P<n>x)", "/"),
        ("(x", "/"),
        ("x**", "/"),
        ("x*+", "/"),
        ("x{1,3}", "/"),
        (r"\1(x)", "/"),
        ("x\n", "/"),
        ("é", "/"),
        ("x", "/$1"),
        ("(x)", "/$12"),
        ("(x)", r"/\1"),
        ("(x)", "/ y"),
        ("x" * 300, "/"),
    ],
)
def test_refused(pattern: str, replacement: str) -> None:
    assert substitution(PathRewrite(pattern=pattern, replacement=replacement)) is None
