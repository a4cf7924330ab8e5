"""The admission policies about ServiceExports on the real apiserver: they hold without webhook and plugin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.conftest import Plane
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.model.installation import PathScope
from towpath.setup.install import install

EXPORT = {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "metadata": {"name": "web"}}
KIND = "serviceexports.flomesh.io"
COMPONENT = "system:serviceaccount:karmada-system:karmada-component"
CONTROLLERS = ("--as=system:karmada:karmada-controller-manager", "--as-group=system:masters")
"""Karmada's controllers, as installers of Karmada name them in their certificates."""
CLAIM = {"path": "/x", "pathType": "Prefix", "since": "2020-01-01T00:00:00Z", "clusters": ["cluster-1"]}


@pytest.fixture
async def export(plane: Plane, karmada: Client, namespace: str) -> AsyncIterator[str]:
    """Install, make a ServiceExport, and give a ServiceAccount of Karmada's namespace all rights."""
    await install(karmada)
    rules = [{"portNumber": 80, "path": "/x", "pathType": "Prefix"}]
    plane.kubectl("create", "-n", namespace, "-f-", stdin=json.dumps({**EXPORT, "spec": {"rules": rules}}))
    account = COMPONENT.removeprefix("system:serviceaccount:")
    binding = ("clusterrolebinding", namespace)
    plane.kubectl("create", *binding, "--clusterrole=cluster-admin", f"--serviceaccount={account}")
    yield namespace
    plane.kubectl("delete", *binding)


async def test_namespaced_paths_are_held_by_the_apiserver(plane: Plane, karmada: Client, export: str) -> None:
    """Also for what gateways decode and resolve; what was there before can be changed otherwise."""

    async def refused(path: str) -> str:
        rules = [{"portNumber": 80, "path": f"/{export}", "pathType": "Exact"}]
        rules.append({"portNumber": 80, "path": path, "pathType": "Prefix"})
        body = {**EXPORT, "metadata": {"name": "new"}, "spec": {"rules": rules}}
        create = ("create", "-n", export, "--dry-run=server", "-f-")
        return plane.kubectl(*create, stdin=json.dumps(body), check=False).stderr

    assert not await refused("/x")
    await install(karmada, paths=PathScope.NAMESPACED)
    try:
        message = await until(lambda: refused("/x"), bool)
        assert f"spec.rules[1].path: Invalid value '/x': must begin with /{export}/" in message
        assert f"Set a path such as /{export}/new." in message
        for path in ("/", f"/{export}-b", f"/%74{export[1:]}/x"):
            assert "--paths namespaced" in await refused(path), path
        for path in (f"/{export}/../x", f"/{export}/%2e%2e/x"):
            assert await refused(path), path
        for path in (f"/{export}", f"/{export}/", f"/{export}/x"):
            assert not await refused(path), path
        plane.kubectl("label", KIND, "web", "-n", export, "a=b")
        await install(karmada)
        assert await refused("/x"), "a later install keeps the setting"
    finally:
        await install(karmada, paths=PathScope.SHARED)
    await until(lambda: refused("/x"), lambda message: not message)


async def test_no_other_account_of_karmada_writes_the_status(plane: Plane, export: str) -> None:
    patch = ("patch", KIND, "web", "-n", export, "--type=merge", "--subresource=status", "--dry-run=server")

    async def refused(*user: str) -> str:
        claims = json.dumps({"status": {"claims": [CLAIM]}})
        return plane.kubectl(*user, *patch, "-p", claims, check=False).stderr

    message = await until(
        lambda: refused(f"--as={COMPONENT}"), lambda message: "Only Towpath and Karmada" in message
    )
    assert KIND in message
    assert not await refused(*CONTROLLERS)
