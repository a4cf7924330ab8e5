"""pathRewrite in an HTTPRoute: the same for every path, or not possible."""

from __future__ import annotations

import re
from itertools import product

import pytest

from towpath.model.export import PathRewrite
from towpath.rules.route_rewrite import UNCHANGED, Means, PathChange, as_route, taken_off

ROOT = PathChange(Means.PREFIX, "/")


def prefix(value: str) -> PathChange:
    return PathChange(Means.PREFIX, value)


def whole(value: str) -> PathChange:
    return PathChange(Means.WHOLE, value)


@pytest.mark.parametrize(
    ("pattern", "replacement", "path", "expected"),
    [
        ("^/web/?", "/", "/web", ROOT),
        ("^/web(/|$)", "/", "/web", ROOT),
        ("^/web(/|$)(.*)", "/$2", "/web", ROOT),
        ("^/web/?(.*)$", "/$1", "/web", ROOT),
        ("^/web", "/new", "/web", prefix("/new")),
        ("^/web(.*)", "/new/v2$1", "/web", prefix("/new/v2")),
        (r"^/v1\.2", "/v1", "/v1.2", prefix("/v1")),
        ("^/web.*", "/one", "/web", whole("/one")),
        ("^/.*$", "/one", "/", whole("/one")),
        ("^/other/?", "/", "/web", UNCHANGED),
        ("^/web2", "/new", "/web", UNCHANGED),
        # Each of these would differ for some path.
        ("^/web", "/", "/web", None),
        ("^/web/?", "/new", "/web", None),
        ("^/web/?", "/new/", "/web", None),
        ("^/web/", "/", "/web", None),
        ("^/web/a", "/b", "/web", None),
        ("^/we", "/b", "/web", None),
        ("^/", "/new/", "/", None),
        ("/web", "/new", "/web", None),
        ("^/w.b", "/new", "/web", None),
        ("^/web|/x", "/new", "/web", None),
        ("^/web(.*)", "$1", "/web", None),
        ("^/web(.*)", "/$1$1", "/web", None),
        ("^/web/?(.*)", "/new/$1", "/web", None),
        ("(?=x)", "/", "/web", None),
    ],
)
def test_a_path_and_all_below_it(
    pattern: str, replacement: str, path: str, expected: PathChange | None
) -> None:
    rewrite = PathRewrite(pattern=pattern, replacement=replacement)
    assert as_route(rewrite, path, exact=False) == expected


@pytest.mark.parametrize(
    ("pattern", "replacement", "path", "expected"),
    [
        ("^/web/?", "/new/", "/web", whole("/new/")),
        ("^/(w)eb$", "/$1", "/web", whole("/w")),
        ("b", "c", "/web", whole("/wec")),
        ("^/other", "/", "/web", UNCHANGED),
        ("/", "//", "/a/b", None),
        ("x*", "/y", "/web", None),
        ("^/", "new", "/web", None),
        ("(?=x)", "/", "/web", None),
    ],
)
def test_a_path_alone(pattern: str, replacement: str, path: str, expected: PathChange | None) -> None:
    assert as_route(PathRewrite(pattern=pattern, replacement=replacement), path, exact=True) == expected


@pytest.mark.parametrize(
    ("path", "exact", "expected"),
    [("/web", False, ROOT), ("/web", True, whole("/")), ("/", False, UNCHANGED), ("/", True, UNCHANGED)],
)
def test_without_a_rewrite_the_path_is_taken_off(path: str, exact: bool, expected: PathChange) -> None:
    assert taken_off(path, exact=exact) == expected


def routed(change: PathChange, path: str, request: str) -> str:
    """Return what a gateway makes of the path of a request (HTTPPathModifier of the Gateway API)."""
    if change.means is Means.NOTHING:
        return request
    if change.means is Means.WHOLE:
        return change.value
    rest = request[len(path) :] if path != "/" else request
    return (change.value.rstrip("/") + rest) or "/"


HEADS = ("/a", "/a/b", "/ab", "/", r"/v1\.2", "/a/", "")
TAILS = ("", "/?", "(/|$)", "(.*)", "/?(.*)", "(/|$)(.*)$", ".*", ".*$", "b?", "|b", "(a)")
TARGETS = ("/", "/a", "/a/", "", "/a/b", "b", "/$1", "/$2", "/a$1", "$1", "/a/$2")
PATHS = ("/a", "/a/b", "/", "/v1.2")
BELOW = ("", "/", "/a", "/b", "/a/b", "/ab", "//a", "/a/", "/v1.2", "/a/a/b")


def test_a_route_does_what_the_rewrite_does() -> None:
    """All patterns of a kind, whether meant to be possible or not, on all paths of a kind."""
    seen = set()
    for head, tail, to, path in product(HEADS, TAILS, TARGETS, PATHS):
        rewrite = PathRewrite(pattern=f"^{head}{tail}", replacement=to)
        change = as_route(rewrite, path, exact=False) if rewrite.has_effect else None
        if change is None:
            continue
        seen.add(change)
        template = re.sub(r"\$([0-9])", r"\\\1", to)
        for below in BELOW:
            request = f"{path.rstrip('/')}{below}" or "/"
            assert routed(change, path, request) == re.sub(rewrite.pattern, template, request, count=1)
    assert seen >= {UNCHANGED, ROOT, prefix("/a"), prefix("/a/b"), whole("/a/")}
