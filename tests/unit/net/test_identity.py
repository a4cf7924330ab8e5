"""The name of the member, from what Karmada writes into each object that it brings."""

from __future__ import annotations

from typing import Any, cast

import pytest

from towpath.errors import NotFound
from towpath.karmada.client import Client
from towpath.net.identity import UNKNOWN, member_name


class Member:
    """A member that holds the ConfigMap with these annotations, or does not hold it."""

    def __init__(self, annotations: dict[str, str] | None, *, exists: bool = True) -> None:
        self.annotations, self.exists = annotations, exists

    async def get(self, _resource: object, name: str, namespace: str) -> dict[str, Any]:
        assert (namespace, name) == ("towpath-system", "towpath-net-envoy")
        if not self.exists:
            raise NotFound("no such ConfigMap")
        return {"metadata": {"annotations": self.annotations} if self.annotations is not None else {}}


@pytest.mark.parametrize(
    ("member", "name"),
    [
        (Member({"work.karmada.io/namespace": "karmada-es-cluster-2"}), "cluster-2"),
        (Member({"work.karmada.io/namespace": "karmada-es-karmada-es-x"}), "karmada-es-x"),
        (Member({"other": "x"}), UNKNOWN),
        (Member(None), UNKNOWN),
        (Member({}, exists=False), UNKNOWN),
    ],
    ids=["brought by Karmada", "a name with the prefix", "another annotation", "no annotations", "not there"],
)
async def test_the_name_is_that_of_the_works_namespace(member: Member, name: str) -> None:
    assert await member_name(cast(Client, member), "towpath-system") == name
