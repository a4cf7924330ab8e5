"""Which clusters are used, and in which parts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.members import ck, gateway, imported, policy
from towpath.datapath.shares import LAST_PRIORITY, shares, uses_imports
from towpath.datapath.world import MemberPolicy

ENDPOINTS = (
    imported(*(gateway(name, f"10.0.0.{name[-1]}") for name in ("c1", "c2", "c3"))).view.ports[0].endpoints
)
ALL = ("c1", "c2", "c3")
TIERS = f"{ck('c3')}=0,{ck('c1')}=4"

CASES: tuple[tuple[str, MemberPolicy | None, Mapping[str, tuple[int, int]]], ...] = (
    ("none", None, {}),
    ("Locality", policy("Locality"), {}),
    ("Locality with a target", policy("Locality", "c1"), {}),
    ("no targets", policy("ActiveActive"), dict.fromkeys(ALL, (0, 1))),
    ("targets", policy("ActiveActive", "c1", "c3"), {"c1": (0, 1), "c3": (0, 1)}),
    ("weights", policy("ActiveActive", ("c1", 30), ("c3", 10)), {"c1": (0, 3), "c3": (0, 1)}),
    ("0 is 100", policy("ActiveActive", ("c1", 0), ("c3", 50)), {"c1": (0, 2), "c3": (0, 1)}),
    ("negative is 100", policy("ActiveActive", ("c1", -1), ("c3", None)), {"c1": (0, 1), "c3": (0, 1)}),
    (
        "the last of two",
        policy("ActiveActive", ("c1", 1), ("c3", 1), ("c1", 2)),
        {"c1": (0, 2), "c3": (0, 1)},
    ),
    ("unknown target", policy("ActiveActive", "nobody"), {}),
    (
        "more than Envoy can add",
        policy("ActiveActive", ("c1", 3 * 10**12), ("c2", 10**12), ("c3", 1)),
        {"c1": (0, 1 << 20), "c2": (0, (1 << 20) // 3), "c3": (0, 1)},
    ),
    ("weights do not count", policy("FailOver", ("c1", 30), ("c3", 10)), {"c1": (0, 1), "c3": (0, 1)}),
    ("FailOver to all", policy("FailOver"), dict.fromkeys(ALL, (0, 1))),
    (
        "tiers without gaps, the others last",
        policy("FailOver", ("c1", 30), ("c2", 20), ("c3", 10), tiers=TIERS),
        {"c3": (0, 1), "c1": (1, 3), "c2": (2, 2)},
    ),
    ("tiers of FailOver only", policy("ActiveActive", "c1", "c3", tiers=TIERS), {"c1": (0, 1), "c3": (0, 1)}),
    ("no tier that can be read", policy("FailOver", "c1", tiers="c1,=,x=-1"), {"c1": (0, 1)}),
)


@pytest.mark.parametrize(("how", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_shares(how: MemberPolicy | None, expected: Mapping[str, tuple[int, int]]) -> None:
    found = {
        endpoint_share.endpoint.cluster_key: (endpoint_share.priority, endpoint_share.weight)
        for endpoint_share in shares(ENDPOINTS, how)
    }
    assert found == {ck(name): share for name, share in expected.items()}


@pytest.mark.parametrize(
    ("how", "without_pods", "with_pods"),
    [
        (None, False, False),
        (policy("Locality"), False, False),
        (policy("ActiveActive"), True, True),
        (policy("FailOver"), True, False),
    ],
)
def test_when_requests_leave_the_cluster(
    how: MemberPolicy | None, without_pods: bool, with_pods: bool
) -> None:
    assert uses_imports(how, local_ready=False) is without_pods
    assert uses_imports(how, local_ready=True) is with_pods


def test_tiers_stay_within_the_priorities_of_envoy() -> None:
    names = [f"c{number}" for number in range(140)]
    tiers = ",".join(f"{ck(name)}={number}" for number, name in enumerate(names))
    many = imported(*(gateway(name, f"10.0.0.{number}") for number, name in enumerate(names)))
    found = shares(many.view.ports[0].endpoints, policy("FailOver", tiers=tiers))
    assert {part.priority for part in found} == {*range(LAST_PRIORITY + 1)}
