"""Paths as gateways compare them: which are at or below another."""

from __future__ import annotations

import pytest

from towpath.rules.paths import is_within


@pytest.mark.parametrize(
    "path", ["/shop", "/shop/", "/shop/a", "shop/a", "/%73hop/a", "/x/../shop/a", "//shop"]
)
def test_a_path_at_or_below_a_root_is_within(path: str) -> None:
    assert is_within(path, "/shop")


@pytest.mark.parametrize(
    "path", ["", "/", "/shopping", "/SHOP", "/a/shop", "/shop/..", "/shop/%2e%2e/bank", "/shop/..%2fbank"]
)
def test_another_path_is_not_within(path: str) -> None:
    assert not is_within(path, "/shop")
    assert is_within(path, "")
