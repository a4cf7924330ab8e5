"""Draining: the services that it touches, the ports that would be lost, and its progress."""

from __future__ import annotations

import pytest

from towpath.derivation import draining
from towpath.derivation.draining import Progress
from towpath.derivation.explanation import (
    Explanation,
    ExportingCluster,
    ImportingCluster,
    ImportState,
    LeftOutCluster,
)
from towpath.model.keys import Dialect, ServiceKey


def service(name: str, exporters: str, drained: str = "", **importers: ImportState) -> Explanation:
    return Explanation(
        ServiceKey(Dialect.FLOMESH, "shop", name),
        exporters=tuple(ExportingCluster(name, name) for name in exporters),
        excluded=tuple(LeftOutCluster(name, "Drained", "") for name in drained),
        importers=tuple(
            ImportingCluster(name, name, (), state=state.value) for name, state in importers.items()
        ),
    )


BOTH, ALONE, OTHER = service("both", "ab"), service("alone", "a"), service("other", "b")


def test_a_cluster_is_drained_of_what_it_exports() -> None:
    assert draining.exported_from([BOTH, ALONE, OTHER], "a") == [BOTH, ALONE]
    assert draining.drained_in([BOTH, service("web", "b", "a")], "a") == [service("web", "b", "a")]


def test_a_service_that_no_other_cluster_exports_is_named() -> None:
    assert draining.without_others([BOTH, ALONE, OTHER], "a") == ["shop/alone"]
    assert draining.without_others([service("none", "")], "a") == []


@pytest.mark.parametrize(
    ("now", "waiting"),
    [
        (service("web", "ab", c=ImportState.IN_PLACE), (("shop/web", ()),)),
        (service("web", "b", "a", c=ImportState.PENDING), (("shop/web", ("c",)),)),
        (service("web", "b", "a", c=ImportState.FAILED), (("shop/web", ("c",)),)),
        (service("web", "b", "a", c=ImportState.IN_PLACE), ()),
        (service("web", "b", "a", c=ImportState.IN_PLACE, d=ImportState.LOST), ()),
        (service("web", "", "a"), ()),
    ],
    ids=["not derived", "on its way", "cannot be written", "reported", "a lost member", "no importer left"],
)
def test_draining_is_done_when_every_reachable_member_reports_it(
    now: Explanation, waiting: tuple[tuple[str, tuple[str, ...]], ...]
) -> None:
    seen = draining.progress([now], "a", drained=True)
    assert seen.waiting == waiting
    assert seen.is_complete is (not waiting)


def test_a_cluster_exports_again_when_every_member_reports_it() -> None:
    drained = service("web", "b", "a", c=ImportState.IN_PLACE)
    back = service("web", "ab", c=ImportState.IN_PLACE)
    assert not draining.progress([drained], "a", drained=False).is_complete
    assert draining.progress([back], "a", drained=False) == Progress(("shop/web",))


@pytest.mark.parametrize(
    ("before", "added", "removed"),
    [
        ("", "a", None),
        ("a", "a", None),
        ("b, a", "a,b", "b"),
        ("b", "a,b", "b"),
        ("x/y/z/a", "a,x/y/z/a", None),
        ("true", "true", None),
        ("false", "a", None),
    ],
)
def test_an_export_lists_the_clusters_that_are_drained(before: str, added: str, removed: str | None) -> None:
    assert draining.with_cluster(before, "a") == added
    assert draining.without_cluster(before, ("a", "x/y/z/a")) == removed
