"""Paths that contain those of another namespace: a tenant does not decide what finding them costs."""

from __future__ import annotations

from towpath.model.claim import Claim
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService
from towpath.rules.nesting import MAX_COMPARED, MAX_WARNINGS, ClaimedPaths, nested

OURS, THEIRS = (ServiceKey(Dialect.FLOMESH, namespace, "web") for namespace in ("shop", "bank"))
CLUSTERS = [f"c{number}" for number in range(100)]


class Holders(dict[Claim, ServiceKey]):
    """Who holds each claim, and how many were asked for."""

    asked = 0

    def get(self, claim: Claim, default: object = None) -> ServiceKey | None:  # type: ignore[override]
        self.asked += 1
        return super().get(claim)


def test_the_work_for_nested_paths_is_bounded() -> None:
    deep = ["/a" * length for length in range(1, 129)]
    below = [f"{deep[-1]}/{number}" for number in range(256)]
    holders, paths = Holders(), ClaimedPaths()
    for key, names in ((OURS, deep), (THEIRS, below)):
        for name in names:
            paths.add(name)
            holders.update({Claim(cluster, name, "Prefix"): key for cluster in CLUSTERS})
    claims = [Claim(cluster, name, "Prefix") for name in deep for cluster in CLUSTERS]
    found = nested(ExportedService(OURS, "uid", {}), claims, holders, paths)
    assert holders.asked <= MAX_COMPARED
    assert 0 < len(found) <= MAX_WARNINGS
