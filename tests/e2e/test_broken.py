"""Broken set-ups on a real Karmada: status, explain and describe name cause and fix, and the fix helps."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from tests.conftest import Plane, Plugin, attentive
from tests.e2e.shop import Shop, annotate, gateways
from tests.support.checkout import TOP
from tests.support.cli import towpath
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.local import processes, webhook
from towpath.local.spec import WEBHOOK
from towpath.model.keys import Dialect
from towpath.model.manifest import load
from towpath.proto.v1alpha1.service_pb2 import Link
from towpath.rpc import direct
from towpath.rules.late_cache import CATCHING_UP_SECONDS

NODE_PORT = 32411
FLOMESH = "flomesh.io/v1alpha1"
IMPORTS_CRD = "serviceimports.flomesh.io"
SKIPPED = "namespace.karmada.io/skip-auto-propagation"
GATEWAY = "10.9.0.3"
SUSPENDED = "suspension: {dispatchingOnClusters: {clusterNames: [cluster-3]}}"
LONG = CATCHING_UP_SECONDS + 60
"""Seconds until a member that was lost has what is new, and until the plugin says so."""
Act = Callable[[Shop], None]


@pytest.fixture(scope="module", autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.9.0"):
        yield


@pytest.fixture(scope="module")
def noticing(plane: Plane) -> Iterator[None]:
    """For the last tests here only."""
    with attentive(plane):
        yield


class Setup(NamedTuple):
    """A broken set-up, the message about it, and the fix.

    ``described``: the status of the ServiceExport says it as well. ``label`` is one of the namespace, from
    the beginning.
    """

    breaks: Act
    fix: Act
    step: str
    cluster: str
    reason: str
    in_sync: bool = False
    described: bool = True
    label: str = ""


def complete(shop: Shop) -> None:
    shop.apply(shop.service(), shop.export(), shop.policy())


def no_service(shop: Shop) -> None:
    shop.apply(shop.export(), shop.policy())


def deleted_service(shop: Shop) -> None:
    complete(shop)
    shop.remove(resources.SERVICES)


def wrong_port(shop: Shop) -> None:
    shop.apply(shop.service(), shop.export(81), shop.policy())


def no_policy(shop: Shop) -> None:
    shop.apply(shop.service(), shop.export())


def policy_elsewhere(shop: Shop) -> None:
    other = (
        shop.policy(export=False)
        .replace("cluster-1, cluster-3", "cluster-2")
        .replace("name: web,", "name: s,")
    )
    export = shop.policy().replace("- {apiVersion: v1, kind: Service, name: web}", "")
    shop.apply(shop.service(), shop.export(), other, export)


def policy_here(shop: Shop) -> None:
    shop.remove(resources.PROPAGATION_POLICIES, "s")
    shop.apply(shop.policy())


def suspended(shop: Shop) -> None:
    shop.apply(shop.service(), shop.export(), shop.policy().rstrip() + f"\n  {SUSPENDED}\n")


def in_member(shop: Shop, member: str, manifest: str) -> None:
    """Put an object into a member, whatever Karmada does there."""
    shop.plane.create_namespace(shop.namespace, member)
    shop.plane.client(member).apply(manifest)


def remove(shop: Shop, member: str, resource: Resource, name: str = "web", namespace: str = "") -> None:
    shop.plane.client(member).remove(resource, name, namespace=namespace or shop.namespace)


def port_taken(shop: Shop) -> None:
    taken = f"""
apiVersion: v1
kind: Service
metadata: {{name: taken, namespace: default}}
spec: {{type: NodePort, ports: [{{port: 80, nodePort: {NODE_PORT}}}]}}
"""
    shop.plane.client("cluster-3").apply(taken)
    service = shop.service().replace("ports:", "type: NodePort, ports:")
    service = service.replace("port: 80,", f"port: 80, nodePort: {NODE_PORT},")
    shop.apply(service, shop.export(), shop.policy())


def service_there(shop: Shop) -> None:
    in_member(shop, "cluster-3", shop.service())
    complete(shop)


def export_there(shop: Shop) -> None:
    in_member(shop, "cluster-3", shop.export())
    complete(shop)


def import_there(shop: Shop) -> None:
    left = f"""
apiVersion: {shop.dialect.api_version}
kind: ServiceImport
metadata: {{name: web, namespace: {shop.namespace}}}
spec: {{type: ClusterSetIP, ports: [{{port: 80, protocol: TCP, endpoints: []}}]}}
"""
    in_member(shop, "cluster-2", left)
    complete(shop)


def gateway(value: str | None) -> Act:
    return lambda shop: annotate(shop.plane, "cluster-3", gateway=value)


async def bound(shop: Shop, name: str) -> None:
    """Wait until a binding is there."""

    async def names() -> set[str]:
        return shop.plane.client().names(resources.BINDINGS, shop.namespace)

    await until(names, lambda found: name in found)


def export_name_taken(shop: Shop) -> None:
    """The export of the other API group is bound first: Karmada cannot tell the two apart."""
    other = replace(shop, dialect=Dialect.MULTICLUSTER)
    shop.apply(shop.service(), other.export(), other.policy())
    asyncio.run(bound(shop, "web-serviceexport"))
    shop.apply(shop.export())


def import_name_taken(shop: Shop) -> None:
    """A ServiceImport of the other API group has the binding of the derived one."""
    other = f"""
apiVersion: {Dialect.MULTICLUSTER.api_version}
kind: ServiceImport
metadata: {{name: web, namespace: {shop.namespace}}}
spec: {{type: ClusterSetIP, ports: [{{port: 80, protocol: TCP, endpoints: []}}]}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: other, namespace: {shop.namespace}}}
spec:
  resourceSelectors: [{{apiVersion: {Dialect.MULTICLUSTER.api_version}, kind: ServiceImport}}]
  placement: {{clusterAffinity: {{clusterNames: [cluster-2]}}}}
"""
    shop.apply(other)
    asyncio.run(bound(shop, "web-serviceimport"))
    complete(shop)


def delete(resource: Resource, name: str) -> Act:
    return lambda shop: shop.remove(resource, name)


def claimed(shop: Shop) -> None:
    """A policy of the user with a higher priority takes every ServiceImport of the namespace."""
    policy = f"""
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: mine, namespace: {shop.namespace}}}
spec:
  priority: 2000
  resourceSelectors: [{{apiVersion: {FLOMESH}, kind: ServiceImport}}]
  placement: {{clusterAffinity: {{clusterNames: [cluster-2]}}}}
"""
    shop.apply(policy)
    complete(shop)


def without_namespace(shop: Shop) -> None:
    """Karmada propagates the namespace where a policy of the user says, and not by itself."""
    policy = f"""
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {{name: {shop.namespace}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: Namespace, name: {shop.namespace}}}]
  placement: {{clusterAffinity: {{clusterNames: [cluster-1, cluster-3]}}}}
"""
    shop.apply(policy)
    complete(shop)


def everywhere(shop: Shop) -> None:
    client = shop.plane.client()
    client.remove(resources.CLUSTER_PROPAGATION_POLICIES, shop.namespace)
    client.label(resources.NAMESPACES, shop.namespace, {SKIPPED: None})


def crd_missing(shop: Shop) -> None:
    complete(shop)
    shop.plane.client("cluster-2").remove(resources.CRDS, IMPORTS_CRD)


def crd_installed(shop: Shop) -> None:
    shop.plane.client("cluster-2").apply_objects(*load(TOP / "deploy" / "crds"))


async def holds(shop: Shop, aspect: str, name: str = "web") -> None:
    """Wait until a condition of an export is true."""

    async def status() -> str:
        found = shop.plane.client().get(shop.exports, name, shop.namespace).get("status", {})
        return next((c["status"] for c in found.get("conditions", ()) if c["type"] == aspect), "")

    await until(status, lambda seen: seen == "True")


def lost(grace: str) -> Act:
    """Stop the apiserver of a member; Karmada needs some seconds to say so."""

    def act(shop: Shop) -> None:
        shop.apply(shop.service(), shop.export())
        # Before it is propagated: the member must have the last version, which it could not be given later.
        shop.annotate(when_unreachable=grace)
        shop.apply(shop.policy())
        asyncio.run(holds(shop, "Ready"))
        processes.stop(shop.plane.env, "cluster-3-apiserver")

    return act


def found_again(shop: Shop) -> None:
    """Start the apiserver of the member again, and export something new.

    Karmada's informers notice it up to a minute later, and Karmada tries again to apply what is new there
    after another minute or two. Other tests must not meet that: it is well when the new service is.
    """
    asyncio.run(processes.ensure_running(shop.plane.env, "cluster-3-apiserver"))
    new = Shop(shop.plane, shop.namespace, claimed=f"/{shop.namespace}/new")
    manifests = (new.service(), new.export(), new.policy())
    new.apply(*(manifest.replace("name: web", "name: new") for manifest in manifests))


def then(*acts: Act) -> Act:
    def act(shop: Shop) -> None:
        for step in acts:
            step(shop)

    return act


def command(*args: str) -> Act:
    """Run a command of Towpath that must succeed."""

    def act(shop: Shop) -> None:
        done = towpath(*args, "--kubeconfig", shop.plane.karmada)
        assert done.returncode == 0, done.stderr

    return act


def path_taken(shop: Shop) -> None:
    """Another service has the path before the export is created."""
    shop.apply(shop.service(), shop.policy())
    own = (shop.service(), shop.export(), shop.policy())
    shop.apply(*(manifest.replace("name: web", "name: rival") for manifest in own))
    asyncio.run(holds(shop, "Valid", "rival"))
    shop.apply(shop.export())


def other_path(shop: Shop) -> None:
    shop.apply(Shop(shop.plane, shop.namespace, claimed=f"/{shop.namespace}/other").export())


def out_of_scope(shop: Shop) -> None:
    keys = ", ".join(f"default/default/default/cluster-{n}" for n in (1, 3))
    shop.apply(shop.service(), shop.export().rstrip()[:-1] + f", targetClusters: [{keys}]}}\n", shop.policy())


def override(kind: str, version: str, member: str, path: str, value: str) -> Act:
    def act(shop: Shop) -> None:
        policy = f"""
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: mine, namespace: {shop.namespace}}}
spec:
  resourceSelectors: [{{apiVersion: {version}, kind: {kind}}}]
  overrideRules:
  - targetCluster: {{clusterNames: [{member}]}}
    overriders: {{plaintext: [{{path: {path}, operator: add, value: {value}}}]}}
"""
        shop.apply(policy, shop.service(), shop.export(), shop.policy())

    return act


no_override = delete(resources.OVERRIDE_POLICIES, "mine")


SETUPS = {
    "no Service": Setup(no_service, complete, "Service", "", "NoService"),
    "Service deleted": Setup(deleted_service, complete, "Service", "", "NoService"),
    "wrong rule port": Setup(wrong_port, complete, "Exporting", "cluster-1", "NoMatchingPort"),
    "no policy": Setup(no_policy, complete, "Service", "", "ServiceNotPropagated"),
    "policy elsewhere": Setup(policy_elsewhere, policy_here, "Service", "", "ServiceNotPropagated"),
    "suspended": Setup(suspended, complete, "Exporting", "cluster-3", "Suspended"),
    "NodePort taken": Setup(
        port_taken,
        lambda shop: remove(shop, "cluster-3", resources.SERVICES, "taken", "default"),
        "Exporting",
        "cluster-3",
        "ApplyFailed",
    ),
    "Service there before": Setup(
        service_there,
        lambda shop: remove(shop, "cluster-3", resources.SERVICES),
        "Exporting",
        "cluster-3",
        "ApplyFailed",
    ),
    "ServiceExport there before": Setup(
        export_there,
        lambda shop: remove(shop, "cluster-3", shop.exports),
        "Exporting",
        "cluster-3",
        "ApplyFailed",
    ),
    "ErieCanal leftover": Setup(
        import_there,
        lambda shop: remove(shop, "cluster-2", resources.service_imports(shop.dialect)),
        "Work",
        "cluster-2",
        "LeftInMember",
    ),
    "no gateway": Setup(
        then(complete, gateway(None)),
        command("gateway", "set", "cluster-3", GATEWAY),
        "Exporting",
        "cluster-3",
        "NoGateway",
    ),
    "gateway unresolved": Setup(
        then(complete, gateway("gateway.invalid")),
        command("gateway", "set", "cluster-3", GATEWAY),
        "Exporting",
        "cluster-3",
        "GatewayUnresolved",
    ),
    "drained": Setup(
        then(complete, command("drain", "cluster-3", "--force")),
        command("undrain", "cluster-3"),
        "Exporting",
        "cluster-3",
        "Drained",
        in_sync=True,
    ),
    "path taken": Setup(path_taken, other_path, "Exporting", "cluster-1", "PathClaimed"),
    "targetClusters": Setup(
        out_of_scope, complete, "Importing", "cluster-2", "OutOfScope", in_sync=True, described=False
    ),
    "conflict": Setup(
        override("Service", "v1", "cluster-3", "/spec/ports/0/appProtocol", "http"),
        no_override,
        "Exporting",
        "",
        "PortConflict",
    ),
    "override that breaks the import": Setup(
        override("ServiceImport", FLOMESH, "cluster-2", "/spec/ports/0/port", "81"),
        no_override,
        "Override",
        "",
        "ImportOverridden",
    ),
    "binding collision of exports": Setup(
        export_name_taken,
        then(delete(resources.service_exports(Dialect.MULTICLUSTER), "web"), complete),
        "Export",
        "",
        "NameTaken",
    ),
    "binding collision of imports": Setup(
        import_name_taken,
        then(
            delete(resources.PROPAGATION_POLICIES, "other"),
            delete(resources.service_imports(Dialect.MULTICLUSTER), "web"),
        ),
        "Binding",
        "",
        "ImportNameTaken",
    ),
    "claim of another policy": Setup(
        claimed, delete(resources.PROPAGATION_POLICIES, "mine"), "Policy", "", "ClaimedElsewhere"
    ),
    "without the namespace": Setup(
        without_namespace, everywhere, "Importing", "cluster-2", "NoNamespace", label=SKIPPED
    ),
}
OF_MEMBERS = {
    "member without CRD": Setup(
        crd_missing, crd_installed, "Importing", "cluster-2", "NotServed", described=False
    ),
    "member down in its grace": Setup(
        lost("WithdrawAfter=10m"), found_again, "Exporting", "cluster-3", "ExporterLost"
    ),
    "member down after its grace": Setup(
        lost("Withdraw"), found_again, "Exporting", "cluster-3", "Unreachable"
    ),
}


class Service(NamedTuple):
    """The service ``web`` of a shop, as Karmada's apiserver stores it."""

    client: Client
    namespace: str

    async def state(self) -> tuple[str, Link]:
        read = await direct.read(self.client)
        found = direct.list_services(read, self.namespace).services
        services = [s for s in found if (s.name, s.dialect) == ("web", Dialect.FLOMESH)]
        return (services[0].state, services[0].first) if services else ("", Link())


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
async def test_cause_and_fix_are_named_and_the_fix_helps(
    setup: Setup, plane: Plane, lasting_plugin: Plugin, namespace: str, karmada: Client
) -> None:
    if setup.label:  # from the beginning: a namespace that Karmada has propagated stays in the members
        namespace = f"{namespace}-l"
        plane.client().create(labelled(namespace, setup.label))
    shop, web = Shop(plane, namespace), Service(karmada, namespace)
    await asyncio.to_thread(setup.breaks, shop)
    try:
        # One cluster is judged after the other: the first link is the right one once all are.
        wanted = (setup.step, setup.cluster, setup.reason)
        _, first = await until(web.state, lambda seen: _cause(seen[1]) == wanted, patience=60)
        if setup.described:
            await until(shop.status, lambda status: setup.reason in str(status))
            await until(lambda: described(shop), lambda text: setup.reason in text)
        status = await until(
            lambda: explanation(shop), lambda seen: bool(seen) and seen["first"]["reason"] == setup.reason
        )
        text = status["first"]["text"]
        assert (status["first"]["step"], undated(text)) == (setup.step, undated(first.text))
        assert (status["state"] == "LeftOut") is setup.in_sync
        explained = ask(shop, "explain", f"{namespace}/web", "--dialect", shop.dialect)
        assert f"{setup.reason}: {text}" in explained.stdout
    finally:
        await asyncio.to_thread(setup.fix, shop)
    await until(web.state, lambda seen: seen[0] == "OK", patience=LONG)
    waited = ask(shop, "status", "-n", namespace, "--wait", "--timeout", f"{LONG:.0f}")
    assert waited.returncode == 0, waited.stdout
    if setup.label:
        plane.delete_namespace(namespace)


def _cause(link: Link) -> tuple[str, str, str]:
    return link.step, link.cluster, link.reason


def labelled(namespace: str, label: str) -> Object:
    """Return a Namespace with a label from the beginning."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {label: "true"}},
    }


def undated(text: str) -> str:
    """Return a text without its times: a plugin counts a loss from when it has seen it."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", text)


async def described(shop: Shop) -> str:
    return shop.plane.kubectl(
        "describe", f"serviceexports.{shop.dialect}", "web", "-n", shop.namespace
    ).stdout


def ask(shop: Shop, *args: str) -> Any:
    return towpath(*args, "--socket", shop.plane.env.plugin_socket, env={"KUBECONFIG": ""})


async def explanation(shop: Shop) -> dict[str, Any]:
    """Return the entry of the service in the plugin's status."""
    done = ask(shop, "status", "-n", shop.namespace, "-o", "json")
    found = json.loads(done.stdout)["services"]
    services = [s for s in found if (s["name"], s["dialect"]) == ("web", Dialect.FLOMESH)]
    assert done.returncode in {0, 1}, done.stderr
    return {"first": {"reason": ""}, **services[0]} if services else {}


async def test_a_webhook_that_is_down_is_named(
    plane: Plane, lasting_plugin: Plugin, namespace: str, karmada: Client
) -> None:
    """Karmada's objects do not show it: status, explain and the refusal of kubectl do."""
    shop, web = Shop(plane, namespace), Service(karmada, namespace)
    complete(shop)
    await until(web.state, lambda seen: seen[0] == "OK")
    assert towpath("install", "--kubeconfig", plane.karmada).returncode == 0
    await webhook.start(plane.env, karmada)
    try:
        processes.stop(plane.env, WEBHOOK)
        status, explained = _of_processes(shop, "status", "-n", namespace), _of_processes(shop, "explain")
        refused = plane.kubectl("apply", "-f-", stdin=shop.export(8080), check=False)

        assert status.returncode == 1
        for output in (status.stdout, explained.stdout):
            assert "Fail: webhook: The apiserver cannot call the webhook" in output
            assert "Start `towpath serve webhook`." in output
        assert "failed calling webhook" in refused.stderr

        await processes.start(plane.env, WEBHOOK)
        assert _of_processes(shop, "status", "-n", namespace).returncode == 0
        assert "Fail:" not in _of_processes(shop, "explain").stdout
        assert plane.kubectl("apply", "-f-", stdin=shop.export(80), check=False).returncode == 0
    finally:
        await webhook.stop(plane.env, karmada)


def _of_processes(shop: Shop, command: str, *args: str) -> Any:
    service = (f"{shop.namespace}/web",) if command == "explain" else ()
    return towpath(command, *service, *args, "--kubeconfig", shop.plane.karmada)


async def test_without_a_plugin_the_apiserver_tells_it(
    plane: Plane, lasting_plugin: Plugin, namespace: str, karmada: Client
) -> None:
    shop, web = Shop(plane, namespace), Service(karmada, namespace)
    complete(shop)
    await until(web.state, lambda seen: seen[0] == "OK")
    lasting_plugin.stop()
    try:
        shop.apply(shop.service(8080), shop.export(8080))
        _, first = await until(web.state, lambda seen: seen[1].reason == "NotWritten")
        assert (first.step, "plugin" in first.text) == ("Import", True)
        done = towpath(
            "status", "-n", namespace, "--socket", plane.env.plugin_socket, "--kubeconfig", plane.karmada
        )
        assert done.returncode == 1
        assert "The answer comes from the Karmada apiserver" in done.stderr
        assert "NotWritten" in done.stdout
    finally:
        await lasting_plugin.start()
    await until(web.state, lambda seen: seen[0] == "OK")


async def test_the_last_exporter_is_drained_by_force_alone(
    plane: Plane, lasting_plugin: Plugin, namespace: str, karmada: Client
) -> None:
    shop, web = Shop(plane, namespace, clusters=("cluster-1",)), Service(karmada, namespace)
    complete(shop)
    await until(web.state, lambda seen: seen[0] == "OK")
    drain = ("drain", "cluster-1", "--service", f"{namespace}/web", "--kubeconfig", plane.karmada)

    refused, dry = towpath(*drain), towpath(*drain, "--force", "--dry-run")
    assert (refused.returncode, dry.returncode) == (1, 0)
    assert f"the only cluster that exports {namespace}/web. Pass --force" in refused.stderr
    assert "(dry run)" in dry.stdout
    assert (await web.state())[0] == "OK"

    assert towpath(*drain, "--force").returncode == 0
    assert (await web.state())[1].reason == "Drained"
    back = towpath("undrain", *drain[1:])
    assert "1 service exported again in cluster-1" in back.stdout
    assert (await web.state())[0] == "OK"


@pytest.mark.usefixtures("noticing")
@pytest.mark.parametrize("setup", OF_MEMBERS.values(), ids=OF_MEMBERS)
async def test_a_broken_member_is_named_and_the_fix_helps(
    setup: Setup, plane: Plane, lasting_plugin: Plugin, namespace: str, karmada: Client
) -> None:
    """The last tests here: Karmada asks the members often from now on."""
    await test_cause_and_fix_are_named_and_the_fix_helps(setup, plane, lasting_plugin, namespace, karmada)
