"""A tenant with all rights in its own namespace takes nothing from another."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local.spec import PLUGIN
from towpath.setup.install import install

TENANT = "tenant"


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.7.0"):
        yield


def rights(namespace: str) -> str:
    """Return the manifests that give a tenant every right in a namespace."""
    return f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {TENANT}, namespace: {namespace}}}
rules: [{{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {TENANT}, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {TENANT}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {TENANT}}}]
"""


async def test_a_path_stays_with_the_tenant_that_serves_it(
    plane: Plane, karmada: Client, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """An edited old export takes nothing, and its status cannot be forged."""
    await install(karmada)
    other = f"{namespace}-b"
    plane.create_namespace(other)
    mine, theirs = Shop(plane, namespace), Shop(plane, other)
    mine.apply(mine.service(), mine.export(), mine.policy(), rights(namespace))
    await mine.complete(members)

    async def claimed(shop: Shop) -> object:
        return (await shop.status()).get("claims")

    await until(lambda: claimed(mine), bool)
    theirs.apply(theirs.service(), theirs.export(), theirs.policy())
    right = await theirs.complete(members)
    claims = await until(lambda: claimed(theirs), bool)

    kind = f"serviceexports.{mine.dialect.value}"
    forged = {"status": {"claims": [{**claims[0], "since": "2020-01-01T00:00:00Z"}]}}  # type: ignore[index]
    tenant = (f"--as={TENANT}", "patch", kind, "web", "-n", namespace, "--type=merge")
    refused = plane.kubectl(*tenant, "--subresource=status", "-p", json.dumps(forged), check=False)
    assert "Only Towpath and Karmada write the status" in refused.stderr
    rules = [{"portNumber": 80, "path": f"/{other}/%77eb-80", "pathType": "Prefix"}]
    plane.kubectl(*tenant, "-p", json.dumps({"spec": {"rules": rules}}))

    async def reason() -> object:
        return (await mine.conditions()).get("Valid", {}).get("reason")

    await until(reason, lambda found: found == "PathClaimed")
    assert await theirs.seen(members) == right
    assert await claimed(theirs) == claims


DERIVED = "towpath-import-web"
KINDS = (resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES)
LABEL = "app.kubernetes.io/managed-by: towpath"
SELECTOR = "resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: none}]"


def named(kind: str, labels: str, spec: str, namespace: str) -> str:
    """Return a policy of a user with a name that Towpath derives."""
    return f"""
apiVersion: policy.karmada.io/v1alpha1
kind: {kind}
metadata: {{name: {DERIVED}, namespace: {namespace}, labels: {{{labels}}}}}
spec: {{{SELECTOR}, {spec}}}
"""


async def test_a_derived_name_that_a_user_has_is_a_reason(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """With Towpath's label as well. Nothing is tried in vain, and without it all goes on."""
    shop = Shop(plane, namespace)
    theirs = {
        "PropagationPolicy": named("PropagationPolicy", "", "placement: {}", namespace),
        "OverridePolicy": named("OverridePolicy", LABEL, "overrideRules: [{overriders: {}}]", namespace),
    }
    shop.apply(*theirs.values(), shop.service(), shop.export(), shop.policy())

    async def described() -> str:
        return plane.kubectl(
            "describe", f"serviceexports.{shop.dialect.value}", "web", "-n", namespace
        ).stdout

    def versions() -> list[object]:
        found = [plane.client().get(kind, DERIVED, namespace)["metadata"] for kind in KINDS]
        return [
            (meta["uid"], meta["generation"], [field["manager"] for field in meta["managedFields"]])
            for meta in found
        ]

    def names(text: str) -> bool:
        return all(f"{kind} {namespace}/{DERIVED}" in text for kind in theirs)

    before = versions()
    await until(shop.status, lambda status: names(str(status)))
    assert "DerivedNameInUse" in await until(described, names)
    assert await shop.seen(members) == {}
    assert versions() == before
    log = plane.env.log(PLUGIN).read_text().splitlines()
    assert not [line for line in log if namespace in line and "reconcile failed" in line]
    for kind in KINDS:
        shop.remove(kind, DERIVED)
    await shop.complete(members)
