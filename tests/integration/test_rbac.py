"""Permissions: nothing more than is listed, nothing of others, and each verb that is missing is named."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from tests.conftest import Plane
from tests.support.waiting import until
from towpath import __version__
from towpath.errors import ApiError
from towpath.karmada import resources
from towpath.karmada.client import APPLY, Client
from towpath.model import manifest
from towpath.model.ownership import MANAGED_BY_LABEL, TOWPATH
from towpath.pki import make_authority
from towpath.setup.assets import deployed
from towpath.setup.webhook import unregister
from towpath_webhook.admission.hooks import FailurePolicy
from towpath_webhook.certificates.keeper import OwnAuthority, wall_clock
from towpath_webhook.certificates.tls import ServerTls
from towpath_webhook.registration.configurations import Settings, configurations
from towpath_webhook.registration.store import (
    CONFIGURATIONS,
    NAMESPACE,
    SECRET,
    SETTINGS,
    Store,
)

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MANIFESTS = manifest.load(deployed("karmada") / "rbac.yaml")
LABEL = {"towpath.io/test": "rbac"}
CLUSTER_SCOPED = {"clusters", "clusterpropagationpolicies", "clusteroverridepolicies"}
CLUSTER_SCOPED |= {resource.plural for resource in CONFIGURATIONS.values()}
VERSIONS = {
    "work.karmada.io": "v1alpha2",
    "admissionregistration.k8s.io": "v1",
    "networking.k8s.io": "v1",
    "gateway.networking.k8s.io": "v1",
}
_FORBIDDEN = 403


@dataclass(frozen=True)
class Permission:
    """One verb on one resource; ``namespace`` empty: everywhere."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    names: tuple[str, ...] = ()

    def rule(self) -> dict[str, Any]:
        rule = {"apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb]}
        return rule | ({"resourceNames": list(self.names)} if self.names else {})

    @property
    def missed(self) -> str:
        """What an apiserver answers without this permission."""
        return f'cannot {self.verb} resource "{self.resource}" in API group "{self.group}"'

    def __str__(self) -> str:
        return f"{self.verb}-{self.resource}.{self.group}"


def permissions(name: str) -> list[Permission]:
    return [
        Permission(
            group, resource, verb, obj["metadata"].get("namespace", ""), tuple(rule.get("resourceNames", ()))
        )
        for obj in MANIFESTS
        if obj["kind"] in {"ClusterRole", "Role"} and obj["metadata"]["name"] == name
        for rule in obj["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


PLUGIN, WEBHOOK = permissions("towpath-plugin"), permissions("towpath-webhook")


def test_least_privilege_every_permission_states_its_purpose() -> None:
    for permission in (*PLUGIN, *WEBHOOK):
        assert "*" not in {permission.group, permission.resource, permission.verb}
        assert permission.verb not in {"deletecollection", "impersonate", "bind", "escalate"}
        if permission.resource in {"secrets", "configmaps", "leases"}:
            assert permission.namespace == "karmada-system"
        if permission.resource in {"secrets", "configmaps"} or "webhookconfigurations" in permission.resource:
            assert permission.names or permission.verb == "create"
    assert not [p for p in PLUGIN if p.resource == "secrets"]
    assert not [p for p in WEBHOOK if "webhookconfigurations" in p.resource and p.verb == "create"]
    assert len(set(PLUGIN)) == len(PLUGIN)


class Users:
    """Users made for the test, each with some permissions; the administrator impersonates them."""

    def __init__(self, plane: Plane, admin: Client, open_: AsyncExitStack) -> None:
        self._plane, self._admin, self._open = plane, admin, open_

    async def make(self, name: str, granted: Sequence[Permission]) -> Client:
        """Return a client of a new user."""
        by_namespace: dict[str, list[dict[str, Any]]] = {}
        for permission in granted:
            by_namespace.setdefault(permission.namespace, []).append(permission.rule())
        for namespace, rules in by_namespace.items():
            scope, kind = (f"/namespaces/{namespace}", "Role") if namespace else ("", "ClusterRole")
            metadata = {"name": name, "labels": LABEL}
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
            plural = f"{RBAC}{scope}/{kind.lower()}"
            await self._admin.request("POST", f"{plural}s", body={"metadata": metadata, "rules": rules})
            binding = {"metadata": metadata, "roleRef": ref, "subjects": [subject]}
            await self._admin.request("POST", f"{plural}bindings", body=binding)
        client = await Client.connect(self._plane.karmada, user_agent="towpath-tests", pool=2)
        client._connections.present.session.headers["Impersonate-User"] = name
        return await self._open.enter_async_context(client)


@pytest.fixture
async def users(plane: Plane, karmada: Client) -> AsyncIterator[Users]:
    async with AsyncExitStack() as open_:
        yield Users(plane, karmada, open_)
    selector = [("labelSelector", "towpath.io/test=rbac")]
    for scope in ("", f"/namespaces/{NAMESPACE}"):
        kind = "role" if scope else "clusterrole"
        for plural in (f"{kind}bindings", f"{kind}s"):
            await karmada.request("DELETE", f"{RBAC}{scope}/{plural}", query=selector)


async def attempt(client: Client, permission: Permission) -> str:
    """Do what the permission is for, as a dry run on what is not there; returns how it is forbidden."""
    plural, _, subresource = permission.resource.partition("/")
    group = f"/apis/{permission.group}" if permission.group else "/api"
    version = "v1" if permission.group in {"", "coordination.k8s.io"} else "v1alpha1"
    version = VERSIONS.get(permission.group, version)
    namespace = permission.namespace or "default"
    scope = "" if plural in CLUSTER_SCOPED else f"/namespaces/{namespace}"
    name = next(iter(permission.names), "t-rbac")
    everywhere, path = f"{group}/{version}/{plural}", f"{group}/{version}{scope}/{plural}"
    url = f"{path}/{name}" + (f"/{subresource}" if subresource else "")
    if permission.namespace:
        everywhere = path
    # An apiserver allows to list and watch single names only if the request is for such a name.
    only = [("fieldSelector", f"metadata.name={name}")] if permission.names else []
    dry: list[tuple[str, str]] = [("dryRun", "All")]
    try:
        match permission.verb:
            case "list":
                await client.request("GET", everywhere, query=[("limit", "1"), *only])
            case "watch":
                query = [("watch", "true"), ("timeoutSeconds", "1"), *only]
                async with client.stream(everywhere, query=query, silence=5):
                    pass
            case "get":
                await client.request("GET", url)
            case "create":
                await client.request("POST", path, query=dry, body={"metadata": {"name": name}})
            case "update":
                await client.request("PUT", url, query=dry, body={"metadata": {"name": name}})
            case "patch":
                query = [*dry, ("fieldManager", "t"), ("force", "true")]
                await client.request("PATCH", url, query=query, body={}, content_type=APPLY)
            case "delete":
                await client.request("DELETE", url, query=dry)
            case other:
                raise AssertionError(f"the test does not know how to {other}")
    except ApiError as error:
        return str(error) if error.status == _FORBIDDEN else ""
    return ""


async def test_least_privilege_the_plugin_names_a_missing_verb(users: Users) -> None:
    whole = await users.make("t-rbac-plugin", PLUGIN)
    lesser = await asyncio.gather(
        *(
            users.make(f"t-rbac-plugin-{number}", [p for p in PLUGIN if p != missing])
            for number, missing in enumerate(PLUGIN)
        )
    )

    async def whole_is_refused() -> list[str]:
        refused = await asyncio.gather(*(attempt(whole, permission) for permission in PLUGIN))
        return [verb for verb in refused if verb]

    await until(whole_is_refused, lambda refused: not refused)
    for client, missing in zip(lesser, PLUGIN, strict=True):
        other = next(p for p in PLUGIN if p != missing and p.namespace == missing.namespace)
        await until(lambda c=client, o=other: attempt(c, o), lambda refused: not refused)  # type: ignore[misc]
        assert missing.missed in await attempt(client, missing)


async def work(client: Client, admin: Client, missing: Permission | None) -> list[str]:
    """Let a webhook do all that it ever does on an apiserver; returns what it complains of."""
    await unregister(admin)
    await admin.delete(resources.SECRETS, SECRET, NAMESPACE)
    settings = Settings("https://127.0.0.1:1", failure_policy=FailurePolicy.IGNORE, version=__version__)
    metadata = {"name": SETTINGS, "namespace": NAMESPACE, "labels": {MANAGED_BY_LABEL: TOWPATH}}
    await admin.request(
        "POST", resources.CONFIG_MAPS.path(NAMESPACE), body={"metadata": metadata, "data": settings.dump()}
    )
    for configuration in configurations(settings, b"x"):
        await admin.request("POST", CONFIGURATIONS[configuration["kind"]].path(), body=configuration)
    if missing is None or missing.verb != "create":
        due = make_authority("t", validity=dt.timedelta(days=9), now=wall_clock() - dt.timedelta(days=8))
        await Store(admin).write_authorities([due], None)
    certificates = OwnAuthority(ServerTls(), Store(client))
    with structlog.testing.capture_logs() as logs:
        await certificates._try_reconcile()
    return [line["error"] for line in logs if "error" in line]


async def test_least_privilege_the_webhook_names_a_missing_verb(users: Users, karmada: Client) -> None:
    whole = await users.make("t-rbac-webhook", WEBHOOK)
    lesser = await asyncio.gather(
        *(
            users.make(f"t-rbac-webhook-{number}", [p for p in WEBHOOK if p != missing])
            for number, missing in enumerate(WEBHOOK)
        )
    )
    try:
        await until(lambda: work(whole, karmada, None), lambda refused: not refused)
        for client, missing in zip(lesser, WEBHOOK, strict=True):
            await until(
                lambda c=client, m=missing: work(c, karmada, m),  # type: ignore[misc]
                lambda refused, m=missing: len(refused) == 1 and m.missed in refused[0],  # type: ignore[misc]
            )
    finally:
        await unregister(karmada)
        await karmada.delete(resources.SECRETS, SECRET, NAMESPACE)
