"""Attacks with the plugin's and the webhook's credentials on the real apiserver: none succeeds.

Each attempt is a dry run with the permissions of rbac.yaml, so that what refuses it is RBAC or an admission
policy and not the attempt's own mistake: the same request passes for the administrator.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Plane
from tests.support.waiting import until
from towpath.errors import ApiError
from towpath.karmada import resources
from towpath.karmada.client import APPLY, MERGE, Client, Resource
from towpath.model.keys import Dialect
from towpath.model.ownership import MANAGED_BY
from towpath.setup.credentials import write_kubeconfigs
from towpath.setup.install import install
from towpath.setup.webhook import unregister
from towpath_webhook.registration.configurations import Settings, configurations
from towpath_webhook.registration.store import CONFIGURATIONS, NAMESPACE, SECRET

_FORBIDDEN = 403
GROUP = "flomesh.io/v1alpha1"
OWNER = {"apiVersion": GROUP, "kind": "ServiceExport", "name": "web", "uid": "u"}
EXPORTS, IMPORTS = (kind(Dialect.FLOMESH) for kind in (resources.service_exports, resources.service_imports))
PROPAGATION, OVERRIDES = resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES
Object = dict[str, Any]


class Attempt(NamedTuple):
    """One request. ``body`` of None deletes."""

    what: str
    resource: Resource
    name: str
    body: Object | None
    namespace: str = ""
    merge: bool = False


def policy(kind: str, name: str, selector: Object, *, ours: bool = True, **spec: Any) -> Object:
    owned = {"labels": dict(MANAGED_BY), "ownerReferences": [OWNER]} if ours else {}
    placement = (
        {} if kind == "OverridePolicy" else {"placement": {"clusterAffinity": {"clusterNames": ["a"]}}}
    )
    return {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **owned},
        "spec": {"resourceSelectors": [selector], **placement, **spec},
    }


OURS = {"apiVersion": GROUP, "kind": "ServiceImport", "name": "web"}
SECRETS = {"apiVersion": "v1", "kind": "Secret", "name": "db"}
DEPLOYMENTS = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
IMAGE = [
    {"overriders": {"imageOverrider": [{"component": "Registry", "operator": "replace", "value": "evil"}]}}
]
PORTS = [{"overriders": {"plaintext": [{"path": "/spec/ports", "operator": "replace", "value": []}]}}]
RULES = [{"overriders": {"plaintext": [{"path": "/spec/rules", "operator": "replace", "value": []}]}}]
TAKEN = [{"portNumber": 80, "path": "/taken", "pathType": "Prefix"}]
IMPORT_SPEC = {"ports": [{"port": 80, "protocol": "TCP", "endpoints": []}], "type": "ClusterSetIP"}


def imported(name: str, owner: str = "web", *, ours: bool = True) -> Object:
    owned = {"labels": dict(MANAGED_BY), "ownerReferences": [{**OWNER, "name": owner}]} if ours else {}
    return {
        "apiVersion": GROUP,
        "kind": "ServiceImport",
        "metadata": {"name": name, **owned},
        "spec": IMPORT_SPEC,
    }


def lease(name: str, *, ours: bool) -> Object:
    labels = {"labels": dict(MANAGED_BY)} if ours else {}
    return {"metadata": {"name": name, **labels}, "spec": {"holderIdentity": "thief"}}


def event(namespace: str, component: str, kind: str, api_version: str) -> Object:
    about = {"apiVersion": api_version, "kind": kind, "name": "web", "namespace": namespace}
    return {
        "metadata": {"name": "e.1"},
        "involvedObject": about,
        "reportingComponent": component,
        "source": {"component": component},
        "type": "Normal",
        "reason": "R",
        "message": "m",
    }


def attempts_of_the_plugin(namespace: str) -> list[Attempt]:
    def made(what: str, resource: Resource, name: str, body: Object | None, **more: Any) -> Attempt:
        return Attempt(what, resource, name, body, more.pop("namespace", namespace), **more)

    name = "towpath-import-web"
    everything = {"apiVersion": GROUP, "kind": "ServiceImport"}
    elsewhere = {**OURS, "namespace": "default"}
    labelled = {**OURS, "labelSelector": {"matchLabels": {"a": "b"}}}
    return [
        made("copy a Secret", PROPAGATION, name, policy("PropagationPolicy", name, SECRETS)),
        made("move a Deployment", PROPAGATION, name, policy("PropagationPolicy", name, DEPLOYMENTS)),
        made("take all imports", PROPAGATION, name, policy("PropagationPolicy", name, everything)),
        made("reach another namespace", PROPAGATION, name, policy("PropagationPolicy", name, elsewhere)),
        made("select by label", PROPAGATION, name, policy("PropagationPolicy", name, labelled)),
        made("use another name", PROPAGATION, "web", policy("PropagationPolicy", "web", OURS)),
        made("no owner or label", PROPAGATION, name, policy("PropagationPolicy", name, OURS, ours=False)),
        made("delete a user's policy", PROPAGATION, "users", None),
        made("take over a user's policy", PROPAGATION, "users", {"spec": {"priority": 1}}, merge=True),
        made(
            "change an image",
            OVERRIDES,
            name,
            policy("OverridePolicy", name, DEPLOYMENTS, overrideRules=IMAGE),
        ),
        made(
            "change an image on an own kind",
            OVERRIDES,
            name,
            policy("OverridePolicy", name, OURS, overrideRules=IMAGE),
        ),
        made("change rules", OVERRIDES, name, policy("OverridePolicy", name, OURS, overrideRules=RULES)),
        made("an import of nobody", IMPORTS, "web", imported("web", ours=False)),
        made("an import for another service", IMPORTS, "web", imported("web", "other")),
        made("delete a user's import", IMPORTS, "users", None),
        made("change an export", EXPORTS, "users", {"spec": {"rules": TAKEN}}, merge=True),
        made("label an export", EXPORTS, "users", {"metadata": {"labels": {"a": "b"}}}, merge=True),
        made(
            "drain an export",
            EXPORTS,
            "users",
            {"metadata": {"annotations": {"towpath.io/drain": "true"}}},
            merge=True,
        ),
        made("hold an export", EXPORTS, "users", {"metadata": {"finalizers": ["a.b/c"]}}, merge=True),
        made(
            "take Karmada's lease",
            resources.LEASES,
            "karmada-scheduler",
            lease("karmada-scheduler", ours=False),
            namespace=NAMESPACE,
        ),
        made(
            "speak for another", resources.EVENTS, "e.1", event(namespace, "kubelet", "ServiceExport", GROUP)
        ),
        made("speak of another kind", resources.EVENTS, "e.1", event(namespace, "towpath", "Secret", "v1")),
        made("read Secrets", resources.SECRETS, "db", {}, merge=True),
        made("grant itself more", resources.CLUSTER_ROLES, "towpath-plugin", {"rules": []}, merge=True),
        made(
            "switch the policies off",
            resources.ADMISSION_POLICY_BINDINGS,
            "towpath-derived-policies",
            None,
        ),
    ]


def allowed_to_the_plugin(namespace: str) -> list[Attempt]:
    name = "towpath-import-web"
    touched = {"metadata": {"annotations": {"towpath.io/touched": "1"}}}
    return [
        Attempt("", PROPAGATION, name, policy("PropagationPolicy", name, OURS), namespace),
        Attempt("", OVERRIDES, name, policy("OverridePolicy", name, OURS, overrideRules=PORTS), namespace),
        Attempt("", IMPORTS, "web", imported("web"), namespace),
        Attempt("", EXPORTS, "users", touched, namespace, merge=True),
        Attempt("", resources.LEASES, "towpath", lease("towpath", ours=True), NAMESPACE),
        Attempt("", resources.EVENTS, "e.1", event(namespace, "towpath", "ServiceExport", GROUP), namespace),
    ]


async def refusal(client: Client, attempt: Attempt) -> str:
    """Make an attempt as a dry run; return what refuses it, empty if nothing does."""
    what, resource, name, body, namespace, merge = attempt
    path, dry = resource.path(namespace, name), [("dryRun", "All")]
    try:
        if body is None:
            await client.request("DELETE", path, query=dry)
        elif merge:
            await client.request("PATCH", path, query=dry, body=body, content_type=MERGE)
        elif resource in {resources.LEASES, resources.EVENTS, resources.SECRETS}:
            await client.request("POST", resource.path(namespace), query=dry, body=body)
        else:
            query = [*dry, ("fieldManager", "t"), ("force", "true")]
            await client.request("PATCH", path, query=query, body=body, content_type=APPLY)
    except ApiError as error:
        if error.status != _FORBIDDEN:
            pytest.fail(f"{what}: not refused but impossible: {error}")
        return str(error)
    return ""


@pytest.fixture
async def stolen(plane: Plane, karmada: Client, tmp_path: Path) -> AsyncIterator[Mapping[str, Client]]:
    """Give clients with the tokens of plugin and webhook."""
    await install(karmada)
    await write_kubeconfigs(karmada, tmp_path)
    parts = ("plugin", "webhook")
    clients = {
        part: await Client.connect(tmp_path / f"{part}.kubeconfig", user_agent="thief") for part in parts
    }
    yield clients
    for client in clients.values():
        await client.close()


@pytest.fixture
def users(plane: Plane, namespace: str) -> str:
    """Make what users have in a namespace; return that."""
    service = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    rules = [{"portNumber": 80, "path": "/x", "pathType": "Prefix"}]
    for obj in (
        policy("PropagationPolicy", "users", service, ours=False),
        imported("users", ours=False),
        {
            "apiVersion": GROUP,
            "kind": "ServiceExport",
            "metadata": {"name": "users"},
            "spec": {"rules": rules},
        },
    ):
        plane.kubectl("create", "-n", namespace, "-f-", stdin=json.dumps(obj))
    return namespace


async def test_a_stolen_token_of_the_plugin_gives_nothing_but_its_work(
    stolen: Mapping[str, Client], users: str
) -> None:
    plugin = stolen["plugin"]

    async def hindered() -> list[str]:
        return [said for one in allowed_to_the_plugin(users) if (said := await refusal(plugin, one))]

    await until(hindered, lambda said: not said)  # until the policies are in force, and the permissions
    attempts = attempts_of_the_plugin(users)
    assert len(attempts) >= 20
    for attempt in attempts:
        said = await refusal(plugin, attempt)
        assert said, attempt.what


async def test_a_stolen_webhook_token_allows_only_the_webhooks_work(
    stolen: Mapping[str, Client], karmada: Client, plane: Plane
) -> None:
    webhook = stolen["webhook"]
    try:
        for one in configurations(Settings("https://127.0.0.1:1"), b"old"):
            await karmada.request("POST", CONFIGURATIONS[one["kind"]].path(), body=one)
        for resource in CONFIGURATIONS.values():
            await _try_configuration(webhook, resource)
        await _try_secrets(webhook)
    finally:
        await unregister(karmada)


async def _try_configuration(webhook: Client, resource: Resource) -> None:
    path, dry = resource.path("", "towpath"), [("dryRun", "All")]
    live = await webhook.json("GET", path)

    async def put(body: Object) -> str:
        try:
            await webhook.request("PUT", path, query=dry, body=body)
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            return str(error)
        return ""

    def changed(**fields: Any) -> Object:
        first, *others = live["webhooks"]
        return {**live, "webhooks": [{**first, **fields}, *others]}

    config = live["webhooks"][0]["clientConfig"]
    rule = live["webhooks"][0]["rules"][0]
    kinds = "kinds" if "kinds" in rule else "resources"
    assert not await put(changed(clientConfig={**config, "caBundle": "bmV3"})), "its work"
    assert "caBundle" in await put(changed(clientConfig={"url": "https://evil.example/x"}))
    assert "caBundle" in await put(changed(rules=[{**rule, "apiGroups": ["*"], kinds: ["*"]}]))
    assert "caBundle" in await put(changed(timeoutSeconds=30))
    assert "caBundle" in await put(
        {**live, "webhooks": [*live["webhooks"], {**live["webhooks"][0], "name": "x.y.z"}]}
    )
    assert "caBundle" in await put({**live, "webhooks": live["webhooks"][1:]})
    assert "caBundle" in await put({**live, "metadata": {**live["metadata"], "labels": {}}})
    with pytest.raises(ApiError, match="cannot delete"):
        await webhook.request("DELETE", path, query=dry)
    with pytest.raises(ApiError, match="cannot create"):
        await webhook.request("POST", resource.path(), query=dry, body={**live, "metadata": {"name": "evil"}})


async def _try_secrets(webhook: Client) -> None:
    path, dry = resources.SECRETS.path(NAMESPACE), [("dryRun", "All")]
    other = {"metadata": {"name": "evil"}, "data": {}}
    account = {"kubernetes.io/service-account.name": "default"}
    token = {
        "metadata": {"name": SECRET, "annotations": account},
        "type": "kubernetes.io/service-account-token",
    }
    for body in (other, token):
        with pytest.raises(ApiError, match=f"only the Secret {NAMESPACE}/{SECRET}"):
            await webhook.request("POST", path, query=dry, body=body)
    for name in ("", "other"):
        with pytest.raises(ApiError, match=r"cannot (list|get)"):
            await webhook.request("GET", resources.SECRETS.path(NAMESPACE, name))


def test_the_policies_are_in_force_for_certificates_too(
    plane: Plane, karmada: Client, namespace: str
) -> None:
    """The group of client certificates is the same user to them as the ServiceAccount."""
    body = json.dumps(policy("PropagationPolicy", "towpath-import-web", SECRETS))
    config = f"--kubeconfig={plane.env.plugin}"
    done = subprocess.run(
        [plane.env.binaries / "kubectl", config, "create", "-n", namespace, "-f-"],
        input=body,
        text=True,
        capture_output=True,
        check=False,
    )
    assert "The plugin may write only policies that select" in done.stderr
