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
from towpath.setup.credential_store import Folder
from towpath.setup.credentials import issue_kubeconfigs
from towpath.setup.install import install
from towpath.setup.webhook import unregister
from towpath_webhook.registration.configurations import Settings, configurations
from towpath_webhook.registration.store import CONFIGURATIONS, NAMESPACE, SECRET

_FORBIDDEN = 403
GROUP = "flomesh.io/v1alpha1"
OWNER = {"apiVersion": GROUP, "kind": "ServiceExport", "name": "web", "uid": "u"}
EXPORTS, IMPORTS = (kind(Dialect.FLOMESH) for kind in (resources.service_exports, resources.service_imports))
PROPAGATION, OVERRIDES = resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES
INGRESSES = resources.INGRESSES
Object = dict[str, Any]


class Attempt(NamedTuple):
    """One request. ``body`` of None deletes."""

    action: str
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
ROUTE = "towpath-ingress-web"
SPEC = [{"overriders": {"plaintext": [{"path": "/spec", "operator": "replace", "value": {}}]}}]
PORTS = [{"overriders": {"plaintext": [{"path": "/spec/ports", "operator": "replace", "value": []}]}}]
RULES = [{"overriders": {"plaintext": [{"path": "/spec/rules", "operator": "replace", "value": []}]}}]
GRANT = {"plaintext": [{"path": "/kind", "operator": "replace", "value": "ClusterRoleBinding"}]}
SERVICE = {"apiVersion": "v1", "kind": "Service", "namespace": "", "name": "web"}
SERVICE_OWNER = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "u"}
CLOUD = {"annotationsOverrider": [{"operator": "remove", "value": {"metallb.io/address-pool": ""}}]}
PLAIN = {"type": "ClusterIP", "ports": [{"port": 80}], "selector": {"app": "web"}}
TAKEN = [{"portNumber": 80, "path": "/taken", "pathType": "Prefix"}]
IMPORT_SPEC = {"ports": [{"port": 80, "protocol": "TCP", "endpoints": []}], "type": "ClusterSetIP"}


def of_service(namespace: str, spec: Object, *, path: str = "/spec", **more: Any) -> Object:
    """Return the policy that changes a Service where an import has brought it."""
    overriders = {
        "plaintext": [{"path": path, "operator": "replace", "value": spec}],
        **more.pop("with_", {}),
    }
    rule = {"targetCluster": {"clusterNames": ["b"]}, "overriders": overriders, **more.pop("rule", {})}
    selector = {**SERVICE, "namespace": namespace, **more.pop("selector", {})}
    made = policy("OverridePolicy", "towpath-service-web", selector, overrideRules=[rule], **more)
    made["metadata"]["ownerReferences"] = [SERVICE_OWNER]
    return made


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
    def made(action: str, resource: Resource, name: str, body: Object | None, **more: Any) -> Attempt:
        return Attempt(action, resource, name, body, more.pop("namespace", namespace), **more)

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
        made("make another kind", OVERRIDES, name, policy("OverridePolicy", name, OURS, overriders=GRANT)),
        *_attempts_on_services(namespace),
        *_attempts_on_routes(namespace),
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
            "move a binding",
            resources.BINDINGS,
            "users-serviceexport",
            {"spec": {"rescheduleTriggeredAt": "2026-01-01T00:00:00Z"}},
            merge=True,
        ),
        made(
            "take Karmada's lease",
            resources.LEASES,
            "karmada-scheduler",
            lease("karmada-scheduler", ours=False),
            namespace=NAMESPACE,
        ),
        made(
            "take the lease of a component that comes later",
            resources.LEASES,
            "karmada-descheduler",
            lease("karmada-descheduler", ours=True),
            namespace=NAMESPACE,
        ),
        *_attempts_on_metadata(namespace),
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


def _attempts_on_metadata(namespace: str) -> list[Attempt]:
    """Return attempts to hold a namespace, or to be held by an object of others."""
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "name": "any", "uid": "v"}
    name = "towpath-import-web"
    found = []
    for title, more in (
        ("hold a namespace", {"finalizers": ["a.b/c"]}),
        ("have a second owner", {"ownerReferences": [OWNER, foreign]}),
    ):
        propagation, service_import = policy("PropagationPolicy", name, OURS), imported("web")
        for resource, body in ((PROPAGATION, propagation), (IMPORTS, service_import)):
            body["metadata"] |= more
            found.append(
                Attempt(f"{title} by a {body['kind']}", resource, body["metadata"]["name"], body, namespace)
            )
    return found


def _attempts_on_services(namespace: str) -> list[Attempt]:
    image = {"imageOverrider": [{"component": "Registry", "operator": "replace", "value": "evil"}]}
    added = {"annotationsOverrider": [{"operator": "add", "value": {"a": "b"}}]}
    bodies = {
        "order load balancers": of_service(namespace, {**PLAIN, "type": "LoadBalancer"}),
        "claim an address": of_service(namespace, {**PLAIN, "externalIPs": ["10.0.0.1"]}),
        "take a node port": of_service(namespace, {"type": "NodePort"}),
        "change a Service's kind": of_service(namespace, PLAIN, path="/kind"),
        "change Services of all clusters": of_service(namespace, PLAIN, rule={"targetCluster": {}}),
        "change another Service": of_service(namespace, PLAIN, selector={"name": "other"}),
        "change a Secret": of_service(namespace, PLAIN, selector={"kind": "Secret"}),
        "annotate a Service": of_service(namespace, PLAIN, with_=added),
        "change an image by a Service's policy": of_service(namespace, PLAIN, with_=image),
        "use the old field": of_service(namespace, PLAIN, overriders=GRANT),
    }
    return [
        Attempt(title, OVERRIDES, "towpath-service-web", body, namespace) for title, body in bodies.items()
    ]


def ingress(name: str = ROUTE, service: str = "web", *, owner: str = "web", **more: Any) -> Object:
    """Return a route of a service on members' gateways."""
    backend = {"service": {"name": service, "port": {"number": 80}}}
    rule = {"http": {"paths": [{"path": "/web", "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "labels": dict(MANAGED_BY),
            "ownerReferences": [{**OWNER, "name": owner}],
        },
        "spec": {"ingressClassName": "contour", "rules": [{**rule, **more.pop("rule", {})}], **more},
    }


def of_route(kind: str, namespace: str, selector: Mapping[str, str] | None = None, **more: Any) -> Object:
    """Return a policy that carries the route."""
    route = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": ROUTE, "namespace": namespace}
    return policy(kind, ROUTE, {**route, **(selector or {})}, **more)


def _attempts_on_routes(namespace: str) -> list[Attempt]:
    tls = [{"secretName": "db"}]
    labels = {"overriders": {"labelsOverrider": [{"operator": "add", "value": {"a": "b"}}]}}
    ingresses = {
        "lead to another Service": ingress(service="other"),
        "lead to another Service by default": ingress(
            defaultBackend={"service": {"name": "other", "port": {"number": 80}}}
        ),
        "use a Secret for TLS": ingress(tls=tls),
        "take a host": ingress(rule={"host": "bank.example.com"}),
        "a route of another export": ingress(owner="other"),
    }
    carried = {
        "carry a user's Ingress": (PROPAGATION, of_route("PropagationPolicy", namespace, {"name": "users"})),
        "carry a Secret as a route": (
            PROPAGATION,
            of_route("PropagationPolicy", namespace, {"apiVersion": "v1", "kind": "Secret"}),
        ),
        "label a route": (OVERRIDES, of_route("OverridePolicy", namespace, overrideRules=[labels])),
    }
    return [
        *(Attempt(title, INGRESSES, ROUTE, body, namespace) for title, body in ingresses.items()),
        *(Attempt(title, resource, ROUTE, body, namespace) for title, (resource, body) in carried.items()),
        Attempt("an Ingress of another name", INGRESSES, "web", ingress("web"), namespace),
        Attempt("delete a user's Ingress", INGRESSES, "users", None, namespace),
    ]


def allowed_to_the_plugin(namespace: str) -> list[Attempt]:
    name = "towpath-import-web"
    touched = {"metadata": {"annotations": {"towpath.io/touched": "1"}}}
    return [
        Attempt("", PROPAGATION, name, policy("PropagationPolicy", name, OURS), namespace),
        Attempt("", OVERRIDES, name, policy("OverridePolicy", name, OURS, overrideRules=PORTS), namespace),
        Attempt("", OVERRIDES, "towpath-service-web", of_service(namespace, PLAIN, with_=CLOUD), namespace),
        Attempt("", IMPORTS, "web", imported("web"), namespace),
        Attempt("", INGRESSES, ROUTE, ingress(), namespace),
        Attempt("", PROPAGATION, ROUTE, of_route("PropagationPolicy", namespace), namespace),
        Attempt("", OVERRIDES, ROUTE, of_route("OverridePolicy", namespace, overrideRules=SPEC), namespace),
        Attempt("", EXPORTS, "users", touched, namespace, merge=True),
        Attempt("", resources.LEASES, "towpath", lease("towpath", ours=True), NAMESPACE),
        Attempt("", resources.EVENTS, "e.1", event(namespace, "towpath", "ServiceExport", GROUP), namespace),
    ]


async def refusal(client: Client, attempt: Attempt) -> str:
    """Make an attempt as a dry run; return what refuses it, empty if nothing does."""
    action, resource, name, body, namespace, merge = attempt
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
            pytest.fail(f"{action}: not refused but impossible: {error}")
        return str(error)
    return ""


@pytest.fixture
async def stolen(plane: Plane, karmada: Client, tmp_path: Path) -> AsyncIterator[Mapping[str, Client]]:
    """Give clients with the tokens of plugin and webhook."""
    await install(karmada)
    _, files = await issue_kubeconfigs(karmada)
    await Folder(tmp_path).write(files)
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
        {**ingress(), "metadata": {"name": "users"}},
        {
            "apiVersion": GROUP,
            "kind": "ServiceExport",
            "metadata": {"name": "users"},
            "spec": {"rules": rules},
        },
        {
            "apiVersion": "work.karmada.io/v1alpha2",
            "kind": "ResourceBinding",
            "metadata": {"name": "users-serviceexport"},
            "spec": {"resource": {"apiVersion": GROUP, "kind": "ServiceExport", "name": "users"}},
        },
    ):
        plane.kubectl("create", "-n", namespace, "-f-", stdin=json.dumps(obj))
    return namespace


async def test_a_stolen_token_of_the_plugin_gives_nothing_but_its_work(
    stolen: Mapping[str, Client], users: str
) -> None:
    plugin = stolen["plugin"]

    async def hindered() -> list[str]:
        return [
            refused for attempt in allowed_to_the_plugin(users) if (refused := await refusal(plugin, attempt))
        ]

    await until(hindered, lambda refused: not refused)  # until the policies are in force, and the permissions
    attempts = attempts_of_the_plugin(users)
    assert len(attempts) >= 20
    for attempt in attempts:
        refused = await refusal(plugin, attempt)
        assert refused, attempt.action


async def test_a_stolen_webhook_token_allows_only_the_webhooks_work(
    stolen: Mapping[str, Client], karmada: Client, plane: Plane
) -> None:
    webhook = stolen["webhook"]
    try:
        for configuration in configurations(Settings("https://127.0.0.1:1"), b"old"):
            await karmada.request("POST", CONFIGURATIONS[configuration["kind"]].path(), body=configuration)
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
    held = {"metadata": {"name": SECRET, "finalizers": ["a.b/c"]}}
    for body in (other, token, held, {"metadata": {"name": SECRET}, "immutable": True}):
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
