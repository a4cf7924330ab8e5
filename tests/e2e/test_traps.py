"""What Karmada does silently (docs/karmada-behaviour.md): reported on the export, repaired where possible."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, annotate, gateways
from tests.support.audit import PLUGIN_USER
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.karmada.wire import lines
from towpath.local import processes
from towpath.model.keys import Dialect
from towpath.setup.install import install

READY = ("True", "Exported")
THEIR_EXPORTS = Resource("multicluster.x-k8s.io", "v1alpha1", "serviceexports", "ServiceExport")
LONG = 60.0
"""Seconds that Karmada may take to try again what it has failed to do."""


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.6.0"):
        yield


@pytest.fixture
def shop(plane: Plane, lasting_plugin: Plugin, namespace: str) -> Shop:
    return Shop(plane, namespace, dialect=Dialect.MULTICLUSTER)


async def says(shop: Shop, aspect: str, status: str, reason: str, patience: float = 30.0) -> str:
    """Wait until a condition has this status; return its message."""

    async def look() -> Object:
        return (await shop.conditions()).get(aspect, {})

    found = await until(look, lambda c: (c.get("status"), c.get("reason")) == (status, reason), patience)
    return str(found["message"])


def events(shop: Shop) -> set[str]:
    """Return the reasons of the events about the export."""
    found = shop.plane.client().list(resources.EVENTS, shop.namespace)
    return {event["reason"] for event in found if event["involvedObject"]["kind"] == "ServiceExport"}


async def test_shared_binding_names_are_reported_and_recover(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    theirs = f"""
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {{name: web, namespace: {shop.namespace}}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: theirs, namespace: {shop.namespace}}}
spec:
  resourceSelectors: [{{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceExport, name: web}}]
  placement: {{clusterAffinity: {{clusterNames: [cluster-1]}}}}
"""
    shop.apply(theirs)

    async def bound() -> str:
        binding = plane.client().get(resources.BINDINGS, "web-serviceexport", shop.namespace)
        return str(binding["spec"]["resource"]["apiVersion"]) if binding else ""

    await until(bound, lambda version: version == "multicluster.x-k8s.io/v1alpha1")
    shop.apply(shop.service(), shop.export(), shop.policy())

    message = await says(shop, "Valid", "False", "NameTaken")
    assert message.startswith("ServiceExport of multicluster.x-k8s.io/v1alpha1: ")
    assert not await shop.seen(members)

    shop.remove(THEIR_EXPORTS)
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS, patience=LONG)
    await says(shop, "Ready", *READY)


async def test_silent_override_failure_is_reported_on_the_export(
    shop: Shop, members: dict[str, Client]
) -> None:
    change = "{operator: remove, path: /spec/none}"
    shop.apply(
        f"""
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: broken, namespace: {shop.namespace}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: Service, name: web}}]
  overrideRules:
  - {{targetCluster: {{clusterNames: [cluster-1]}}, overriders: {{plaintext: [{change}]}}}}
"""
    )
    shop.apply(shop.service(), shop.export(), shop.policy())

    async def message() -> str:
        return str((await shop.conditions()).get("Valid", {}).get("message"))

    await until(message, lambda text: "broken: spec.overrideRules[0].overriders.plaintext[0]: Cannot" in text)


async def test_an_override_of_the_user_is_what_the_others_import(
    shop: Shop, members: dict[str, Client]
) -> None:
    change = "{operator: replace, path: /spec/rules/0/path, value: /elsewhere/" + shop.namespace + "}"
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS)

    shop.apply(
        f"""
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: path, namespace: {shop.namespace}}}
spec:
  resourceSelectors: [{{apiVersion: {shop.dialect.api_version}, kind: ServiceExport, name: web}}]
  overrideRules:
  - {{targetCluster: {{clusterNames: [cluster-3]}}, overriders: {{plaintext: [{change}]}}}}
"""
    )

    other = f"cluster-3@10.6.0.3:80/elsewhere/{shop.namespace}"
    await until(lambda: shop.seen(members), lambda seen: seen["cluster-1"] == {80: [other]})


async def test_empty_cluster_list_no_importer_means_no_copy(shop: Shop, members: dict[str, Client]) -> None:
    """To Karmada an empty list of clusters means all of them."""

    def only(key: str) -> str:
        return shop.export().replace("spec: {", f"spec: {{targetClusters: [{key}], ")

    shop.apply(shop.service(), only("default/default/default/cluster-2"), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == ["cluster-2"])

    shop.apply(only("default/default/default/nowhere"))
    await says(shop, "Ready", "False", "NotImported")
    await until(lambda: shop.seen(members), lambda seen: not seen)


async def test_a_change_without_effect_writes_nothing(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    """A write of an OverridePolicy makes Karmada work through every binding that it matches."""
    shop.apply(shop.service(), shop.export(), shop.policy())
    await shop.complete(members)
    await says(shop, "Ready", *READY)
    written = len(plane.audit.writes(user=PLUGIN_USER, namespace=shop.namespace))

    shop.annotate(drain="nobody")
    shop.apply(shop.export(), shop.service())
    shop.annotate(drain="cluster-1")
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == ["cluster-1", "cluster-2"])

    later = plane.audit.writes(user=PLUGIN_USER, namespace=shop.namespace)[written:]
    objects = [w for w in later if not w.subresource]
    assert len([w for w in objects if w.resource == "serviceimports" and w.verb == "patch"]) == 1, objects


async def test_override_size_limit_keeps_the_copy_and_is_reported(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    """Karmada puts a cluster's overrides into an annotation; too long, it fails without a word."""
    most, shop = range(1, 129), replace(shop, clusters=tuple(MEMBERS))
    try:
        for member in MEMBERS:
            annotate(plane, member, group="g" * 200)
        shop.apply(service_with(shop, most), shop.export(), shop.policy())
        small = await shop.complete(members)
        shop.apply(long_export(shop, most))
        message = await says(shop, "Ready", "False", "ViewTooLarge")
        assert "KiB" in message
        assert await shop.seen(members) == small

        shop.apply(long_export(shop, most[:64]))
        await until(
            lambda: shop.seen(members),
            lambda seen: all(len(endpoints) == 64 for endpoints in seen.values()),
            LONG,
        )
        await says(shop, "Ready", *READY)
    finally:
        for member in MEMBERS:
            annotate(plane, member, group=None)


def service_with(shop: Shop, ports: Iterable[int]) -> str:
    listed = ", ".join(f"{{name: p{port}, port: {port + 79}, protocol: TCP}}" for port in ports)
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {shop.namespace}}}
spec: {{ports: [{listed}]}}
"""


def long_export(shop: Shop, ports: Iterable[int]) -> str:
    """Return an export with paths as long as the CRD allows."""
    rules = ", ".join(
        f"{{portNumber: {port + 79}, path: {f'/{shop.namespace}/{port}/'.ljust(512, 'x')}, pathType: Prefix}}"
        for port in ports
    )
    return f"""
apiVersion: {shop.dialect.api_version}
kind: ServiceExport
metadata: {{name: web, namespace: {shop.namespace}}}
spec: {{rules: [{rules}]}}
"""


async def test_never_its_own_endpoint_while_placements_change(shop: Shop, members: dict[str, Client]) -> None:
    """Karmada reads template and override at different times."""
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS)
    own: list[str] = []
    watching = [asyncio.create_task(_watch(shop, name, client, own)) for name, client in members.items()]
    for clusters in [
        ("cluster-1",),
        ("cluster-1", "cluster-2"),
        ("cluster-2", "cluster-3"),
        ("cluster-3",),
    ] * 2:
        placed = Shop(shop.plane, shop.namespace, tuple(clusters), shop.dialect)
        # As users do: one that comes within milliseconds would undo the one before without any effect.
        placed.plane.kubectl("apply", "--validate=false", "-f-", stdin=placed.policy())
    shop.apply(shop.policy())
    await says(shop, "Ready", *READY)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)

    assert not own


async def _watch(shop: Shop, member: str, client: Client, own: list[str]) -> None:
    """Note each state of a member's import in which it sees itself."""
    kind = resources.service_imports(shop.dialect)
    async with client.stream(kind.path(shop.namespace), query=[("watch", "true")], silence=120) as chunks:
        async for line in lines(chunks):
            for port in json.loads(line)["object"].get("spec", {}).get("ports", ()):
                own += [
                    f"{member}: {endpoint['clusterKey']}"
                    for endpoint in port["endpoints"]
                    if endpoint["clusterKey"].endswith(f"/{member}")
                ]


async def test_sticky_claims_a_claimed_import_is_reported_and_recovers(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    def broad(priority: int) -> str:
        return f"""
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: everything, namespace: {shop.namespace}}}
spec:
  priority: {priority}
  resourceSelectors: [{{apiVersion: {shop.dialect.api_version}, kind: ServiceImport}}]
  placement: {{clusterAffinity: {{clusterNames: [cluster-2]}}}}
"""

    shop.apply(broad(2000))
    shop.apply(shop.service(), shop.export(), shop.policy())
    message = await says(shop, "Ready", "False", "ClaimedElsewhere")
    assert message.startswith(f"PropagationPolicy {shop.namespace}/everything: ")

    shop.apply(broad(0))
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS, patience=LONG)
    await says(shop, "Ready", *READY)
    assert "ClaimedElsewhere" in events(shop)


async def test_frozen_templates_a_service_without_policy_is_reported(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    shop.apply(shop.service(), shop.export(), shop.policy())
    await says(shop, "Ready", *READY)

    shop.remove(resources.PROPAGATION_POLICIES)

    async def message() -> str:
        return str((await shop.conditions()).get("Valid", {}).get("message"))

    await until(message, lambda text: "No policy selects the Service any more" in text)
    assert sorted(await shop.seen(members)) == MEMBERS
    shop.apply(shop.policy())
    await until(message, lambda text: text == "Exported by cluster-1, cluster-3.")


async def test_discovery_by_polling_a_dialect_may_come_later(
    shop: Shop, plane: Plane, karmada: Client, members: dict[str, Client]
) -> None:
    """Karmada looks for new kinds every half a minute only, and what is made before waits for that."""
    kinds = ("serviceexports", "serviceimports", "globaltrafficpolicies", "clusters")
    crds = [f"{kind}.{shop.dialect.value}" for kind in kinds]
    plane.client().remove(resources.CRDS, *crds)
    try:
        other = replace(shop, dialect=Dialect.FLOMESH)
        other.apply(other.service(), other.export(), other.policy())
        await until(lambda: other.seen(members), lambda seen: sorted(seen) == MEMBERS)
        other.remove(other.exports)
    finally:
        await install(karmada)
    shop.apply(shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS, patience=2 * LONG)
    await says(shop, "Ready", *READY, patience=LONG)


async def test_an_import_left_by_eriecanal_is_taken_over_when_asked(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    plane.create_namespace(shop.namespace, "cluster-2")
    left = f"""
apiVersion: {shop.dialect.api_version}
kind: ServiceImport
metadata: {{name: web, namespace: {shop.namespace}}}
spec: {{type: ClusterSetIP, ports: []}}
"""
    plane.client("cluster-2").apply(left)
    shop.apply(shop.service(), shop.export(), shop.policy())
    message = await says(shop, "Ready", "False", "LeftInMember")
    assert "Blocked in cluster-2." in message
    assert (await shop.seen(members))["cluster-2"] == {}

    shop.annotate(conflict_resolution="Overwrite")
    await until(lambda: shop.seen(members), lambda seen: bool(seen["cluster-2"]), patience=LONG)
    await says(shop, "Ready", *READY, patience=LONG)


async def test_former_owner_a_new_import_reaches_the_members(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    """Bindings that former templates have left behind are used, and stay when they could be collected."""
    before, after = {80: ["cluster-1@10.6.0.1:80/web-80"]}, {81: ["cluster-1@10.6.0.1:80/web-81"]}
    spread = f"""
apiVersion: {shop.dialect.api_version}
kind: GlobalTrafficPolicy
metadata: {{name: web, namespace: {shop.namespace}}}
spec: {{lbType: %s}}
"""
    traffic = resources.traffic_policies(shop.dialect)

    async def spread_in_members() -> set[str]:
        found = [plane.client(member).get(traffic, "web", shop.namespace) for member in MEMBERS[1:]]
        return {policy.get("spec", {}).get("lbType", "") for policy in found}

    async def imported() -> list[Any]:
        return [ports for name, ports in (await shop.seen(members)).items() if name != "cluster-1"]

    shop = replace(shop, clusters=("cluster-1",))
    shop.apply(shop.service(), shop.export(), shop.policy(), spread % "Locality")
    await until(imported, lambda seen: seen == [before, before])
    await until(spread_in_members, lambda seen: seen == {"Locality"}, patience=LONG)
    with nobody_collects(plane):
        for kind in (resources.SERVICES, shop.exports, traffic):
            shop.remove(kind)
        shop.apply(shop.service(81), shop.export(81), spread % "ActiveActive")
        await until(imported, lambda seen: seen == [after, after], patience=LONG)
        await until(spread_in_members, lambda seen: seen == {"ActiveActive"}, patience=LONG)
        await says(shop, "Ready", *READY, patience=LONG)
    await collected(shop)
    assert await imported() == [after, after]
    assert await spread_in_members() == {"ActiveActive"}
    assert len(plane.client().list(resources.BINDINGS, shop.namespace)) == 4


async def test_former_owner_the_new_import_gets_the_binding(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    """Otherwise the result depends on timing: Karmada reads it for an override, never for the template."""

    async def bound_for() -> tuple[str, str]:
        """Return the uids of the binding and of what it binds."""
        found = plane.client().get(resources.BINDINGS, "web-serviceimport", shop.namespace)
        return (found["metadata"]["uid"], found["spec"]["resource"].get("uid", "")) if found else ("", "")

    async def uid() -> str:
        found = plane.client().get(template, "web", shop.namespace)
        return str(found["metadata"]["uid"]) if found else ""

    async def is_used() -> bool:
        return await bound_for() == (binding, await uid())

    template = resources.service_imports(shop.dialect)
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS)
    (binding, of_former) = await bound_for()
    assert of_former == await uid()
    with nobody_collects(plane):
        shop.delete(template)
        await until(uid, lambda uid: uid not in {"", of_former})
        shop.apply(shop.service(8080), shop.export(8080))
        await until(is_used, bool)
        await until(
            lambda: shop.seen(members),
            lambda seen: sorted(seen) == MEMBERS and all(list(ports) == [8080] for ports in seen.values()),
        )


async def test_lost_placement_an_import_leaves_where_none_is_wanted(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    """A binding that missed the last change of its policy looks like one that was edited."""
    shop = replace(shop, clusters=("cluster-1",))
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS[1:])
    placed = {"placement": {"clusterAffinity": {"clusterNames": MEMBERS}}}
    plane.client().merge(resources.BINDINGS, "web-serviceimport", shop.namespace, spec=placed)
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS)
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS[1:], patience=LONG)


@contextmanager
def nobody_collects(plane: Plane) -> Iterator[None]:
    """Keep the garbage collector still until the block ends."""
    collector = processes.running(plane.env.root)["karmada-kube-controller-manager"]
    collector.suspend()
    try:
        yield
    finally:
        collector.resume()


async def collected(shop: Shop) -> None:
    """Wait until the garbage collector has gone through what it has missed: then it takes this as well."""
    owner = "{apiVersion: v1, kind: Service, name: none, uid: 0b1c7a52-4a52-4d9c-8f1e-3a4be8a7d9f1}"
    orphan = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: orphan, namespace: {shop.namespace}, ownerReferences: [{owner}]}}
"""
    shop.apply(orphan)

    async def found() -> Object:
        return shop.plane.client().get(resources.CONFIG_MAPS, "orphan", shop.namespace)

    await until(found, lambda seen: not seen, patience=LONG)
