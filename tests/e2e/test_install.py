"""Installing, registering and uninstalling, as a user does it: by the command line, on the real Karmada."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.cli import TOWPATH, assert_one_line, towpath
from tests.support.waiting import until
from towpath import __version__
from towpath.errors import NotFound, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client
from towpath.local import processes
from towpath.local.ports import free_ports
from towpath.local.spec import WEBHOOK
from towpath.model import manifest
from towpath.model.keys import Dialect
from towpath.setup.assets import deployed
from towpath.setup.install import install, put_all
from towpath.setup.webhook import register, stored, unregister
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Service, Settings
from towpath_webhook.registration.store import CONFIGURATIONS, NAMESPACE, SECRET, SETTINGS

OURS = "app.kubernetes.io/managed-by=towpath"
HOLDER = {
    "apiVersion": "flomesh.io/v1alpha1",
    "kind": "Cluster",
    "metadata": {"name": "holder"},
    "spec": {"gatewayHost": "192.0.2.1", "kubeconfig": "secret"},
}
"""What only the webhook changes: it drops the kubeconfig."""


@pytest.fixture
async def bare(plane: Plane, karmada: Client) -> AsyncIterator[Plane]:
    """Give the plane with nothing of the webhook in it, and put it back to that."""

    async def clear() -> None:
        await unregister(karmada)
        await karmada.delete(resources.SECRETS, SECRET, NAMESPACE)
        processes.stop(plane.env, WEBHOOK)
        await install(karmada)

    await clear()
    yield plane
    await clear()


async def configured(karmada: Client) -> dict[str, dict[str, Any]]:
    """Return the configurations that there are, by kind."""
    found = {}
    for kind, resource in CONFIGURATIONS.items():
        names = {
            configuration["metadata"]["name"]: configuration for configuration in await karmada.list(resource)
        }
        assert not [name for name in names if name.startswith(f"{configurations.NAME}-probe")]
        if configurations.NAME in names:
            found[kind] = names[configurations.NAME]
    return found


async def test_a_second_install_and_a_dry_run_change_nothing(bare: Plane, karmada: Client) -> None:
    command = ("install", "--kubeconfig", bare.karmada)
    again = towpath(*command)
    assert again.returncode == 0, again.stderr
    assert all(line.endswith(" unchanged") for line in again.stdout.splitlines()), again.stdout
    await karmada.delete(resources.CLUSTER_ROLES, "towpath-plugin")

    dry = towpath(*command, "--dry-run")

    assert "clusterrole/towpath-plugin created (dry run)" in dry.stdout.splitlines()
    with pytest.raises(NotFound):
        await karmada.get(resources.CLUSTER_ROLES, "towpath-plugin")
    assert "clusterrole/towpath-plugin created" in towpath(*command).stdout.splitlines()


async def test_the_webhook_is_found_by_its_service(bare: Plane, karmada: Client, namespace: str) -> None:
    """By the apiserver and by Karmada; of type ExternalName, as for what runs beside Karmada elsewhere."""
    await processes.start(bare.env, WEBHOOK)
    port = urlsplit(bare.env.url(WEBHOOK)).port
    shop = Shop(bare, namespace)

    async def asked_for_health() -> bool:
        lines = bare.env.log(WEBHOOK).read_text().splitlines()
        return any("InterpretHealth" in line and namespace in line for line in lines)

    bare.client().create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "towpath-webhook", "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
    )
    try:
        address = f"{NAMESPACE}/towpath-webhook:{port}"
        made = towpath("install", "--kubeconfig", bare.karmada, "--webhook-service", address)
        assert made.returncode == 0, made.stderr
        for configuration in (await configured(karmada)).values():
            for hook in configuration["webhooks"]:
                assert hook["clientConfig"]["service"]["port"] == port
        asked = bare.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(HOLDER))
        assert "spec.kubeconfig: The field was dropped" in asked.stderr
        shop.apply(shop.service(), shop.export(), shop.policy())
        await until(asked_for_health, bool)
    finally:
        bare.client().delete(resources.SERVICES, "towpath-webhook", NAMESPACE)


async def test_nothing_is_registered_before_the_webhook_answers(bare: Plane, karmada: Client) -> None:
    with pytest.raises(Unreachable, match=f"{SECRET}: The webhook has created no CA"):
        await register(karmada, Settings("https://127.0.0.1:1"), patience=0)
    with pytest.raises(Unreachable, match=r"cannot call the webhook at https://127\.0\.0\.1:1: .*refused"):
        await register(karmada, Settings("https://127.0.0.1:1"), ca=b"", patience=1)
    assert not await configured(karmada)
    assert await stored(karmada) is None, "no settings are left of it"


@pytest.mark.parametrize("address", [Settings("https://127.0.0.1:1"), Settings(Service("default", "absent"))])
async def test_a_wrong_address_leaves_the_registration_that_works(
    bare: Plane, karmada: Client, address: Settings
) -> None:
    await processes.start(bare.env, WEBHOOK)
    await register(karmada, Settings(bare.env.url(WEBHOOK), version=__version__))
    before = {kind: configuration["webhooks"] for kind, configuration in (await configured(karmada)).items()}
    settings = (await karmada.get(resources.CONFIG_MAPS, SETTINGS, NAMESPACE))["data"]

    with pytest.raises(Unreachable, match="The registration is unchanged"):
        await register(karmada, address, patience=3)

    assert {
        kind: configuration["webhooks"] for kind, configuration in (await configured(karmada)).items()
    } == before
    assert (await karmada.get(resources.CONFIG_MAPS, SETTINGS, NAMESPACE))["data"] == settings
    asked = bare.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(HOLDER))
    assert "spec.kubeconfig: The field was dropped" in asked.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--webhook-url", "http://here"], "https://HOST:PORT"),
        (["--webhook-service", "here"], "NAMESPACE/NAME:PORT"),
        (["--webhook-url", "https://a", "--webhook-service", "a/b"], "Pass only one"),
        (["--failure-policy", "Fail"], "Pass --webhook-url"),
        (["--plugin-host", "plugin"], "Pass --write-kubeconfig or --write-secret"),
        (["--registration", "keep", "--webhook-url", "https://a"], "--registration: Remove --webhook-url"),
        (["--write-secret", "here"], "must be NAMESPACE/NAME"),
    ],
)
def test_options_that_mean_nothing_are_refused(plane: Plane, args: list[str], message: str) -> None:
    assert_one_line(towpath("install", "--kubeconfig", plane.karmada, *args), message, code=2)


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
    asked = bare.kubectl("create", "-f-", stdin=json.dumps(HOLDER))
    assert "spec.kubeconfig: The field was dropped" in asked.stderr
    bare.client().remove(resources.flomesh_clusters(Dialect.FLOMESH), "holder")

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
    """Return the names of Towpath's objects in Karmada, found by label or by name."""
    kinds = plane.kubectl("api-resources", "--verbs=list,delete", "-oname").stdout.split()
    kinds = [kind for kind in kinds if not kind.startswith(("works.", "clusters.cluster."))]
    every = plane.kubectl("get", ",".join(kinds), "-A", "--ignore-not-found", "-ojson").stdout
    return [
        f"{obj['kind']}/{obj['metadata']['name']}"
        for obj in json.loads(every)["items"]
        if obj["kind"] not in {"CustomResourceDefinition", "Event", "ServiceExport", "Namespace"}
        and (
            (obj["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "towpath"
            or obj["metadata"]["name"].startswith("towpath")
            or any("towpath" in finalizer for finalizer in obj["metadata"].get("finalizers", ()))
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
        await karmada.apply(
            resources.LEASES, {"apiVersion": resources.LEASES.api_version, "kind": "Lease", **lease}, "test"
        )
        shop.apply(shop.service(), shop.export(), shop.policy())
        await until(lambda: shop.seen(members), lambda seen: set(seen) == set(MEMBERS))
        export = await karmada.get(resources.service_exports(Dialect.FLOMESH), "web", namespace)
        plugin.stop()
        processes.end([processes.running(bare.env.root)[WEBHOOK]])

        dry = towpath("uninstall", "--kubeconfig", bare.karmada, "--dry-run")
        assert await shop.seen(members), "nothing has happened"
        done = towpath("uninstall", "--kubeconfig", bare.karmada)

        assert done.returncode == 0, done.stderr
        assert "Kept: the CRDs and 1 serviceexports.flomesh.io" in done.stderr
        assert [
            line.removesuffix(" (dry run)") for line in dry.stdout.splitlines()
        ] == done.stdout.splitlines()
        assert left(bare) == []
        crds = [c["metadata"]["name"] for c in await karmada.list(resources.CLUSTER_BINDINGS)]
        assert not [name for name in crds if "flomesh" in name], "Karmada holds no binding for us either"
        await until(lambda: shop.seen(members), lambda seen: not seen)
        kept = await karmada.get(resources.service_exports(Dialect.FLOMESH), "web", namespace)
        assert (kept["spec"], kept["metadata"]["uid"]) == (export["spec"], export["metadata"]["uid"])
        assert "finalizers" not in kept["metadata"]
        assert not kept.get("status"), "no process keeps it up to date any more"
        for name in ("cluster-1", "cluster-3"):
            await members[name].get(resources.service_exports(Dialect.FLOMESH), "web", namespace)
        bare.client().label(resources.service_exports(Dialect.FLOMESH), "web", {"edited": "yes"}, namespace)
        assert towpath("uninstall", "--kubeconfig", bare.karmada).stdout == ""


async def test_conditions_that_karmada_owns_as_well_are_removed(
    bare: Plane, karmada: Client, namespace: str
) -> None:
    """As the AggregateStatus of the interpreter leaves them: with a second owner of each condition."""
    exports = resources.service_exports(Dialect.FLOMESH)
    shop = Shop(bare, namespace)
    shop.apply(shop.export())
    now = "2026-01-01T00:00:00Z"
    ours = [
        {"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": now}
        for kind in ("Valid", "Conflict", "Ready")
    ]
    theirs = {**ours[0], "type": "Synced"}
    path, meta = exports.path(namespace, "web", "status"), {"name": "web", "namespace": namespace}
    head = {"apiVersion": exports.api_version, "kind": exports.kind, "metadata": meta}
    applied = {"conditions": ours, "offeredTo": ["cluster-2"]}
    await karmada.apply(exports, {**head, "status": applied}, "towpath", subresource="status")
    both = {"status": {"conditions": [*ours, theirs], "offeredTo": ["cluster-2"]}}
    query = [("fieldManager", "karmada-controller-manager")]
    await karmada.request("PATCH", path, query=query, body=both, content_type=MERGE)

    done = towpath("uninstall", "--kubeconfig", bare.karmada)

    assert done.returncode == 0, done.stderr
    status = (await karmada.get(exports, "web", namespace))["status"]
    assert [condition["type"] for condition in status.pop("conditions")] == ["Synced"]
    assert status == {}


async def test_a_plugin_that_runs_notices_and_stops_writing(
    bare: Plane, karmada: Client, namespace: str, members: dict[str, Client]
) -> None:
    """Also as an administrator, whose permissions stay."""
    shop = Shop(bare, namespace)
    port = free_ports(1)[0]
    argv = ("serve", "plugin", f"--kubeconfig={bare.karmada}", f"--health=127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(*TOWPATH, *argv, stderr=asyncio.subprocess.DEVNULL)

    async def readiness() -> tuple[int, str]:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}/readyz") as got,
            ):
                return got.status, await got.text()
        except aiohttp.ClientError:
            return 0, ""

    try:
        with gateways(bare, "10.9.2"):
            shop.apply(shop.service(), shop.export(), shop.policy())
            await until(lambda: shop.seen(members), lambda seen: set(seen) == set(MEMBERS))

            done = towpath("uninstall", "--kubeconfig", bare.karmada)

            assert done.returncode == 0, done.stderr
            await until(readiness, lambda seen: seen[0] == 503 and "Run `towpath install`" in seen[1])
            bare.client().annotate(shop.exports, "web", {"a": "b"}, namespace)
            assert left(bare) == []
            await install(karmada)
            await until(lambda: shop.seen(members), lambda seen: set(seen) == set(MEMBERS))
    finally:
        process.terminate()
        await process.wait()


async def test_crds_are_deleted_only_when_confirmed(bare: Plane, namespace: str) -> None:
    Shop(bare, namespace).apply(Shop(bare, namespace).export())
    refused = towpath("uninstall", "--kubeconfig", bare.karmada, "--crds")
    assert_one_line(refused, "--crds", "serviceexports.flomesh.io", "--yes", code=2)
    kept = towpath("uninstall", "--kubeconfig", bare.karmada)
    assert "serviceexports.flomesh.io" in kept.stderr
    assert bare.client().get(resources.service_exports(Dialect.FLOMESH), "web", namespace)


async def test_written_credentials_grant_what_the_processes_need(
    bare: Plane, karmada: Client, tmp_path: Path
) -> None:
    made = towpath("install", "--kubeconfig", bare.karmada, "--write-kubeconfig", tmp_path / "new")
    assert made.returncode == 0, made.stderr
    for part, allowed, forbidden in (
        ("plugin", ("list", "services", "-A"), ("list", "secrets", "-A")),
        ("webhook", ("get", "configmap/towpath-webhook", "-n", NAMESPACE), ("list", "services", "-A")),
    ):
        file = tmp_path / "new" / f"{part}.kubeconfig"
        assert file.stat().st_mode & 0o777 == 0o600
        for verb, expected in ((allowed, "yes"), (forbidden, "no")):
            answer = bare.kubectl("auth", "can-i", *verb, f"--kubeconfig={file}", check=False)
            assert answer.stdout.strip() == expected, (part, verb, answer.stderr)
    listed = f"{tmp_path / 'absent'}:{bare.karmada}"
    assert towpath("install", "--dry-run", env={"KUBECONFIG": listed}).returncode == 0
