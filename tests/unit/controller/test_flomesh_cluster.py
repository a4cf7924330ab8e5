"""The condition of a flomesh Cluster."""

from __future__ import annotations

import pytest

from tests.support.worlds import member
from towpath.controller.decision import PatchStatus
from towpath.controller.flomesh_cluster import decide
from towpath.karmada.decode import StoredCluster
from towpath.model.cluster import FlomeshCluster, Member
from towpath.model.keys import Dialect, GatewayKey

KEY = GatewayKey(Dialect.FLOMESH, "a")


@pytest.mark.parametrize(
    ("of_karmada", "reason"),
    [(None, "NoMember"), (member("a"), "Managed"), (member("a", unreachable_since=1.0), "MemberLost")],
)
def test_it_stands_for_a_member_that_karmada_reaches(of_karmada: Member | None, reason: str) -> None:
    [patch] = decide(KEY, StoredCluster("uid", FlomeshCluster(), 3), of_karmada, 0.0).steps

    assert isinstance(patch, PatchStatus)
    [condition] = patch.make({})["conditions"]
    assert (condition["type"], condition["reason"], condition["observedGeneration"]) == ("Managed", reason, 3)


def test_one_that_is_gone_is_forgotten() -> None:
    decision = decide(KEY, None, member("a"), 0.0)

    assert ([name.name for _, name in decision.forgotten], decision.steps) == (["a"], ())
