"""What is read, and what is said where nothing can be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from towpath.errors import ApiError, NotFound
from towpath.migration.back import _works
from towpath.migration.read import Members, _control_plane
from towpath.migration.steps import ControlPlane
from towpath.model.keys import Dialect, ServiceKey

PROXY = "/apis/cluster.karmada.io/v1alpha1/clusters/a/proxy"
IMPORT: dict[str, Any] = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": []}}
KEY = ServiceKey(Dialect.MULTICLUSTER, "shop", "web")


class Apiserver:
    """Answers what it is given by path; everything else is not served, or forbidden."""

    def __init__(self, answers: Mapping[str, Any], status: int = 404) -> None:
        self.answers, self.status = answers, status

    async def json(self, _method: str, path: str) -> Any:
        if path in self.answers:
            return self.answers[path]
        raise NotFound("not served", 404) if self.status == 404 else ApiError("forbidden", self.status)

    async def list(self, _resource: object, namespace: str) -> Any:
        return self.answers[namespace]


async def test_a_member_without_a_context_is_read_through_karmada() -> None:
    path = f"{PROXY}/apis/multicluster.flomesh.io/v1alpha1/serviceimports"
    karmada: Any = Apiserver({f"{PROXY}/version": {}, path: {"items": [IMPORT]}})
    async with Members(karmada, None, "test") as members:
        [state] = await members.states(["a"])

    assert (state.source, state.problem, list(state.imports)) == ("cluster proxy", "", [KEY])


@pytest.mark.parametrize("status", [403, 404])
async def test_a_member_that_cannot_be_read_says_how_it_could(status: int) -> None:
    """A proxy that is not served is no member without imports."""
    karmada: Any = Apiserver({}, status)
    async with Members(karmada, None, "test") as members:
        [state] = await members.states(["a"])

    assert "Name a context a in --members" in state.problem
    assert not state.imports


def deployment(name: str, replicas: int, pods: int = 0) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ec"}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {"replicas": pods}}


@pytest.mark.parametrize(
    ("deployments", "managers"),
    [
        ([deployment("erie-canal-manager", 0)], ()),
        ([deployment("erie-canal-manager", 0, pods=1)], ("ec/erie-canal-manager",)),
        ([deployment("fsm-controller", 1), deployment("web", 1)], ("ec/fsm-controller",)),
    ],
)
async def test_a_control_plane_runs_while_a_manager_has_pods(
    deployments: list[Any], managers: tuple[str, ...]
) -> None:
    remote, local = (
        {"metadata": {"name": "a"}, "spec": {"kubeconfig": "x"}},
        {"metadata": {"name": "local"}, "spec": {"isInCluster": True}},
    )
    other: Any = Apiserver(
        {
            "/apis/apps/v1/deployments": {"items": deployments},
            "/apis/flomesh.io/v1alpha1/clusters": {"items": [remote, local]},
        }
    )
    assert await _control_plane(other) == ControlPlane(("a",), managers)


@pytest.mark.parametrize(
    ("preserves", "resolution", "kept"),
    [(True, "overwrite", True), (True, "abort", False), (None, "overwrite", False)],
)
async def test_an_import_is_kept_if_its_work_allows_it(
    preserves: bool | None, resolution: str, kept: bool
) -> None:
    meta = {**IMPORT["metadata"], "annotations": {"work.karmada.io/conflict-resolution": resolution}}
    manifest = {"apiVersion": KEY.dialect.api_version, "kind": "ServiceImport", "metadata": meta}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": IMPORT["metadata"]}
    works = [
        {"spec": {"preserveResourcesOnDeletion": preserves, "workload": {"manifests": [manifest, service]}}},
        {"spec": {}},
    ]
    karmada: Any = Apiserver({"karmada-es-a": works})

    assert await _works(karmada, ["a"]) == {(KEY, "a"): kept}


async def test_what_karmada_does_not_manage_is_the_members_own() -> None:
    labels = {"karmada.io/managed": "true"}
    managed = {"metadata": {**IMPORT["metadata"], "labels": labels}, "spec": {}}
    own = {"metadata": {"name": "own", "namespace": "shop"}, "spec": {}}
    broken = {"metadata": {"name": "broken", "namespace": "shop"}, "spec": {"lbType": 3}}
    api = f"{PROXY}/apis/multicluster.flomesh.io/v1alpha1"
    karmada: Any = Apiserver(
        {
            f"{PROXY}/version": {},
            f"{api}/serviceexports": {"items": [managed, own]},
            f"{api}/globaltrafficpolicies": {"items": [managed, own, broken]},
        }
    )
    async with Members(karmada, None, "test") as members:
        [state] = await members.states(["a"])

    names = frozenset(KEY._replace(name=name) for name in ("web", "own"))
    assert (state.exports, [key.name for key in state.own_exports]) == (names, ["own"])
    assert {key.name: policy is None for key, policy in state.own_policies.items()} == {
        "own": False,
        "broken": True,
    }
