"""Installing, registering and uninstalling, as a user does it: by the command line, on the real Karmada."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.cli import assert_one_line, towpath
from tests.support.waiting import until
from towpath.errors import NotFound, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.karmada.leader import LEASES
from towpath.local import processes
from towpath.local.spec import WEBHOOK
from towpath.model import manifest
from towpath.model.keys import Dialect
from towpath.setup.assets import deployed
from towpath.setup.install import install, put_all
from towpath.setup.uninstall import CLUSTER_BINDINGS
from towpath.setup.webhook import register, unregister
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Settings
from towpath_webhook.registration.store import CONFIGURATIONS, NAMESPACE, SECRET, SECRETS

OURS = "app.kubernetes.io/managed-by=towpath"
ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)


@pytest.fixture
async def bare(plane: Plane, karmada: Client) -> AsyncIterator[Plane]:
    """Give the plane with nothing of the webhook in it, and put it back to that."""

    async def clear() -> None:
        await unregister(karmada)
        await karmada.delete(SECRETS, SECRET, NAMESPACE)
        processes.stop(plane.env, WEBHOOK)
        await install(karmada)

    await clear()
    yield plane
    await clear()


async def configured(karmada: Client) -> dict[str, dict[str, Any]]:
    """Return the configurations that there are, by kind."""
    found = {}
    for kind, resource in CONFIGURATIONS.items():
        names = {one["metadata"]["name"]: one for one in await karmada.list(resource)}
        assert f"{configurations.NAME}-probe" not in names
        if configurations.NAME in names:
            found[kind] = names[configurations.NAME]
    return found


async def test_installing_again_changes_nothing_and_a_dry_run_never_does(
    bare: Plane, karmada: Client
) -> None:
    command = ("install", "--kubeconfig", bare.karmada)
    again = towpath(*command)
    assert again.returncode == 0, again.stderr
    assert all(line.endswith(" unchanged") for line in again.stdout.splitlines()), again.stdout
    await karmada.delete(ROLES, "towpath-plugin")

    dry = towpath(*command, "--dry-run")

    assert "clusterrole/towpath-plugin created (dry run)" in dry.stdout.splitlines()
    with pytest.raises(NotFound):
        await karmada.get(ROLES, "towpath-plugin")
    assert "clusterrole/towpath-plugin created" in towpath(*command).stdout.splitlines()


async def test_the_webhook_is_found_by_its_service(bare: Plane, karmada: Client, namespace: str) -> None:
    """By the apiserver and by Karmada; of type ExternalName, as for what runs beside Karmada elsewhere."""
    await processes.start(bare.env, WEBHOOK)
    port = urlsplit(bare.env.url(WEBHOOK)).port
    service = ("towpath-webhook", "--namespace", NAMESPACE)
    shop = Shop(bare, namespace)

    async def asked_for_health() -> bool:
        lines = bare.env.log(WEBHOOK).read_text().splitlines()
        return any("InterpretHealth" in line and namespace in line for line in lines)

    bare.kubectl("create", "service", "externalname", *service, "--external-name=localhost")
    try:
        address = f"{NAMESPACE}/towpath-webhook:{port}"
        made = towpath("install", "--kubeconfig", bare.karmada, "--webhook-service", address)
        assert made.returncode == 0, made.stderr
        for configuration in (await configured(karmada)).values():
            for hook in configuration["webhooks"]:
                assert hook["clientConfig"]["service"]["port"] == port
        asked = bare.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(configurations.probed()))
        assert "kubeconfig was dropped" in asked.stderr
        shop.apply(shop.service(), shop.export(), shop.policy())
        await until(asked_for_health, bool)
    finally:
        bare.kubectl("delete", "service", *service)


async def test_nothing_is_registered_before_the_webhook_answers(bare: Plane, karmada: Client) -> None:
    with pytest.raises(Unreachable, match=f"has made no CA.*{SECRET}"):
        await register(karmada, Settings("https://127.0.0.1:1"), patience=0)
    with pytest.raises(
        Unreachable, match=r"does not answer the apiserver at https://127\.0\.0\.1:1: .*refused"
    ):
        await register(karmada, Settings("https://127.0.0.1:1"), ca=b"", patience=1)
    assert not await configured(karmada)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--webhook-url", "http://here"], "https://HOST:PORT"),
        (["--webhook-service", "here"], "NAMESPACE/NAME:PORT"),
        (["--webhook-url", "https://a", "--webhook-service", "a/b"], "give one"),
        (["--failure-policy", "Fail"], "go with --webhook-url"),
    ],
)
def test_options_that_mean_nothing_are_refused(plane: Plane, args: list[str], told: str) -> None:
    assert_one_line(towpath("install", "--kubeconfig", plane.karmada, *args), told, code=2)


async def test_a_registration_is_made_changed_and_kept(bare: Plane, karmada: Client) -> None:
    await processes.start(bare.env, WEBHOOK)
    url = bare.env.url(WEBHOOK)
    command = ("install", "--kubeconfig", bare.karmada)

    made = towpath(*command, "--webhook-url", url)

    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-3:] == [f"{kind.lower()}/towpath created" for kind in CONFIGURATIONS]
    found = await configured(karmada)
    for configuration in found.values():
        for hook in configuration["webhooks"]:
            assert hook["clientConfig"]["url"].startswith(f"{url}/")
    fail = [h["name"] for h in found[configurations.VALIDATING]["webhooks"] if h["failurePolicy"] == "Fail"]
    assert "serviceexports.towpath.io" in fail
    asked = bare.kubectl("create", "-f-", stdin=json.dumps(configurations.probed()))
    assert "kubeconfig was dropped" in asked.stderr
    bare.kubectl("delete", "clusters.flomesh.io", "towpath-probe")

    again = towpath(*command)
    assert all(line.endswith(" unchanged") for line in again.stdout.splitlines()), again.stdout

    other = towpath(*command, "--webhook-url", url, "--failure-policy", "Ignore", "--interpreter", "none")
    assert f"{configurations.INTERPRETING.lower()}/towpath deleted" in other.stdout
    found = await configured(karmada)
    assert set(found) == {configurations.MUTATING, configurations.VALIDATING}
    assert {h["failurePolicy"] for c in found.values() for h in c["webhooks"]} == {"Ignore"}

    lua = towpath(*command, "--interpreter", "lua")
    customized = "resourceinterpretercustomization/towpath-serviceexports-flomesh-io"
    assert f"{customized} created" in lua.stdout.splitlines()
    back = towpath(*command, "--interpreter", "webhook").stdout.splitlines()
    assert back.index(f"{configurations.INTERPRETING.lower()}/towpath created") < back.index(
        f"{customized} deleted"
    )
    assert {h["failurePolicy"] for h in (await configured(karmada))[configurations.MUTATING]["webhooks"]} == {
        "Ignore"
    }


def left(plane: Plane) -> list[str]:
    """Name everything of ours in Karmada: by its label, or by its name."""
    kinds = plane.kubectl("api-resources", "--verbs=list,delete", "-oname").stdout.split()
    kinds = [kind for kind in kinds if not kind.startswith(("works.", "clusters.cluster."))]
    every = plane.kubectl("get", ",".join(kinds), "-A", "--ignore-not-found", "-ojson").stdout
    return [
        f"{one['kind']}/{one['metadata']['name']}"
        for one in json.loads(every)["items"]
        if one["kind"] not in {"CustomResourceDefinition", "Event", "ServiceExport", "Namespace"}
        and (
            (one["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "towpath"
            or one["metadata"]["name"].startswith("towpath")
            or any("towpath" in finalizer for finalizer in one["metadata"].get("finalizers", ()))
        )
    ]


async def test_uninstalling_leaves_what_is_the_users_and_nothing_else(
    bare: Plane, karmada: Client, members: dict[str, Client], namespace: str, plugin: Plugin
) -> None:
    """With all of Towpath's processes down, and ``Fail`` in the configurations."""
    shop = Shop(bare, namespace)
    with gateways(bare, "10.9.1"):
        await processes.start(bare.env, WEBHOOK)
        await register(karmada, Settings(bare.env.url(WEBHOOK)))
        await put_all(karmada, manifest.load(deployed("karmada") / "crds-to-members.yaml"))
        lease = {
            "metadata": {"name": "towpath", "namespace": "karmada-system", "labels": dict([OURS.split("=")])}
        }
        await karmada.apply(LEASES, {"apiVersion": LEASES.api_version, "kind": "Lease", **lease}, "test")
        shop.apply(shop.service(), shop.export(), shop.policy())
        await until(lambda: shop.seen(members), lambda seen: set(seen) == set(MEMBERS))
        export = await karmada.get(resources.service_exports(Dialect.FLOMESH), "web", namespace)
        plugin.stop()
        processes.end([processes.running(bare.env.root)[WEBHOOK]])

        dry = towpath("uninstall", "--kubeconfig", bare.karmada, "--dry-run")
        assert await shop.seen(members), "nothing has happened"
        done = towpath("uninstall", "--kubeconfig", bare.karmada)

        assert done.returncode == 0, done.stderr
        assert [
            line.removesuffix(" (dry run)") for line in dry.stdout.splitlines()
        ] == done.stdout.splitlines()
        assert left(bare) == []
        crds = [c["metadata"]["name"] for c in await karmada.list(CLUSTER_BINDINGS)]
        assert not [name for name in crds if "flomesh" in name], "Karmada holds no binding for us either"
        await until(lambda: shop.seen(members), lambda seen: not seen)
        kept = await karmada.get(resources.service_exports(Dialect.FLOMESH), "web", namespace)
        assert (kept["spec"], kept["metadata"]["uid"]) == (export["spec"], export["metadata"]["uid"])
        assert "finalizers" not in kept["metadata"]
        assert not kept.get("status"), "nobody keeps it true any more"
        for name in ("cluster-1", "cluster-3"):
            await members[name].get(resources.service_exports(Dialect.FLOMESH), "web", namespace)
        bare.kubectl("label", "serviceexports.flomesh.io", "web", "-n", namespace, "edited=yes")
        assert towpath("uninstall", "--kubeconfig", bare.karmada).stdout == ""
