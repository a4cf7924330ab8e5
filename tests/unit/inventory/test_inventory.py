"""The table of what is watched: which services a change of each kind touches."""

from __future__ import annotations

import time

import pytest

from tests.support.inventories import (
    NoCalls,
    Object,
    binding,
    claimed,
    cluster,
    clusters,
    deleting,
    export,
    exported,
    forget,
    key,
    knowing,
    metadata,
    policy,
    propagation,
    service,
    tell,
)
from towpath.derivation.derive import why_not_importing
from towpath.inventory.inventory import Due, Inventory
from towpath.karmada.wire import Name
from towpath.model.installation import PathScope
from towpath.model.keys import Dialect, GatewayKey
from towpath.model.times import rfc3339
from towpath.rules.reasons import Exclusion, ExclusionReason, NotImportedReason

OTHER = key("gone")._replace(dialect=Dialect.MULTICLUSTER)
WORLD = [*clusters("a", "b"), *exported("web", "a"), *exported("cart", "a")]
FLOMESH_CLUSTER: Object = {
    "apiVersion": "flomesh.io/v1alpha1",
    "kind": "Cluster",
    "metadata": metadata("a", ""),
    "spec": {"gatewayHost": "10.9.9.9"},
}
IMPORT: Object = {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceImport", "metadata": metadata("web")}
OURS = {"app.kubernetes.io/managed-by": "towpath"}
GROUP = Dialect.FLOMESH.api_version


def labelled(name: str, kind: str, owner: str = "web", selected: str = "web") -> Object:
    """Return a PropagationPolicy with Towpath's label."""
    policy = propagation(name, {"apiVersion": GROUP, "kind": kind, "name": selected})
    owners = [{"apiVersion": GROUP, "kind": "ServiceExport", "name": owner, "uid": "uid-of-web"}]
    return {**policy, "metadata": {**policy["metadata"], "labels": OURS, "ownerReferences": owners}}


DERIVED = labelled("towpath-import-web", "ServiceImport")
FOLLOW = labelled("towpath-export-web", "ServiceExport")
LEFT = labelled("towpath-import-gone", "ServiceImport", owner="gone", selected="gone")
NAMESPACE: Object = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": metadata("shop", "", deletionTimestamp="x"),
}
SKIPPED_NAMESPACE: Object = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": metadata("shop", "", labels={"namespace.karmada.io/skip-auto-propagation": "true"}),
}
NAMESPACE_BINDING: Object = {
    "apiVersion": "work.karmada.io/v1alpha2",
    "kind": "ClusterResourceBinding",
    "metadata": metadata("shop-namespace", ""),
    "spec": {"resource": {"apiVersion": "v1", "kind": "Namespace", "name": "shop"}},
    "status": {"aggregatedStatus": [{"clusterName": "b", "applied": True}]},
}
UNREADY: Object = {"conditions": [{"type": "Serving", "status": "False"}]}
EVERY = propagation("all", {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport"})
OVERRIDE: Object = {
    "apiVersion": "policy.karmada.io/v1alpha1",
    "kind": "OverridePolicy",
    "metadata": metadata("o"),
    "spec": {
        "overrideRules": [
            {
                "overriders": {
                    "plaintext": [{"path": "/spec/rules/0/path", "operator": "replace", "value": "/x"}]
                }
            }
        ]
    },
}


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        (cluster("a", "10.1.1.1:80"), {key(), key("cart")}),
        (cluster("c"), {key(), key("cart")}),
        (FLOMESH_CLUSTER, {key(), key("cart"), GatewayKey(Dialect.FLOMESH, "a")}),
        (export("web", (80, "/other")), {key()}),
        (policy(), {key()}),
        (service("web", {"port": 81}), {key()}),
        (binding(claimed(export(), propagation("user")), "a", "b"), {key()}),
        (binding(IMPORT, "b", reported={"b": {"view": "1"}}), {key()}),
        (binding(claimed(export(), propagation("user")), "a", "b", reported={"a": UNREADY}), {key()}),
        (IMPORT, {key()}),
        (DERIVED, {key()}),
        (FOLLOW, {key()}),
        (LEFT, {key("gone"), OTHER}),
        (labelled("something", "ServiceExport"), {key()}),
        (labelled("something", "ServiceExport", selected="none"), set()),
        (EVERY, {key(), key("cart")}),
        (OVERRIDE, {key(), key("cart")}),
        (NAMESPACE, set()),
        (SKIPPED_NAMESPACE, set()),
        (NAMESPACE_BINDING, set()),
    ],
    ids=lambda value: f"{value['kind']}-{value['metadata']['name']}" if isinstance(value, dict) else "",
)
def test_a_change_touches(change: Object, touched: set[Due]) -> None:
    found: set[Due] = set()
    inventory = Inventory(NoCalls(), found.add)  # type: ignore[arg-type]
    tell(inventory, *WORLD)
    found.clear()
    tell(inventory, change)

    assert found == touched


def test_the_end_of_an_export_in_deletion_touches_it() -> None:
    """What an orphaning deletion has left is due then, and no other change may come."""
    found: set[Due] = set()
    inventory = Inventory(NoCalls(), found.add)  # type: ignore[arg-type]
    tell(inventory, *WORLD, deleting(export()))
    found.clear()
    forget(inventory, export())

    assert found == {key()}


def test_namespaced_paths_leave_out_clusters_at_once() -> None:
    found: set[Due] = set()
    inventory = Inventory(NoCalls(), found.add)  # type: ignore[arg-type]
    tell(inventory, *WORLD)
    found.clear()
    inventory.put_path_scope(PathScope.NAMESPACED)

    derived = inventory.world.derived(key(), 0.0)
    assert derived
    assert {why.reason for why in derived.excluded.values()} == {ExclusionReason.PATH_OUTSIDE}
    assert key() in found
    found.clear()
    inventory.put_path_scope(PathScope.NAMESPACED)
    assert not found


def test_namespaced_paths_hold_after_a_users_override() -> None:
    rule = [{"path": "/spec/rules/0/path", "operator": "replace", "value": "/bank/web"}]
    overrides = [{"targetCluster": {"clusterNames": ["b"]}, "overriders": {"plaintext": rule}}]
    selectors = [{"apiVersion": GROUP, "kind": "ServiceExport"}]
    spec = {"resourceSelectors": selectors, "overrideRules": overrides}
    led_out = {**propagation("led-out"), "kind": "OverridePolicy", "spec": spec}
    own = export("web", (80, "/shop/web"))
    inventory = knowing(*clusters("a", "b"), *exported("web", "a", "b"), own, led_out)
    inventory.put_path_scope(PathScope.NAMESPACED)

    derived = inventory.world.derived(key(), 0.0)
    assert derived
    assert derived.exporters == ("a",)
    assert derived.excluded == {"b": Exclusion(ExclusionReason.PATH_OUTSIDE, "/bank/web")}


def test_an_equal_object_touches_nothing() -> None:
    found: set[Due] = set()
    inventory = Inventory(NoCalls(), found.add)  # type: ignore[arg-type]
    tell(inventory, *WORLD)
    found.clear()
    tell(inventory, *WORLD)

    assert not found


def test_a_member_that_returns_is_announced() -> None:
    calls: list[str] = []
    inventory = Inventory(NoCalls(), lambda _: None, lambda: calls.append("returned"))  # type: ignore[arg-type]
    lost = cluster("a")
    lost["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]
    tell(inventory, lost)
    assert (inventory.lost, calls) == (frozenset({"a"}), [])
    tell(inventory, cluster("a"))

    assert (inventory.lost, calls) == (frozenset(), ["returned"])


def test_only_policies_after_the_first_are_remembered_by_number() -> None:
    inventory = knowing()
    numbered = {**OVERRIDE, "metadata": {**metadata("towpath-import-web.1"), "labels": OURS}}
    tell(inventory, {**OVERRIDE, "metadata": {**metadata("towpath-import-web"), "labels": OURS}}, numbered)
    assert inventory.numbered == {Name("shop", "web"): {"towpath-import-web.1"}}
    inventory.watched.overrides._remove(Name("shop", "towpath-import-web.1"), 10**9)

    assert inventory.numbered == {}


def test_an_unknown_service_is_forgotten_everywhere() -> None:
    inventory = knowing(*WORLD)
    forget(inventory, export("web"))

    assert key() not in inventory.world.services


def test_only_members_with_the_namespace_import() -> None:
    """The case 03: a policy sends a namespace that Karmada does not propagate by itself."""
    objects = [*clusters("a", "b", "c"), *exported("web", "a")]
    every = {"b": "", "c": ""}
    for more, importers in (
        ([], every),
        ([NAMESPACE_BINDING], every),
        ([SKIPPED_NAMESPACE], every),
        ([SKIPPED_NAMESPACE, NAMESPACE_BINDING], {"b": ""}),
    ):
        for order in ([*objects, *more], [*more, *objects]):
            derived = knowing(*order).world.derived(key(), 0.0)
            assert derived is not None
            assert dict.fromkeys(derived.views, "") == importers


def test_a_member_without_the_namespace_has_its_reason() -> None:
    inventory = knowing(*clusters("a", "b", "c"), *exported("web", "a"), SKIPPED_NAMESPACE, NAMESPACE_BINDING)
    world = inventory.world
    service, derived = world.services[key()], world.derived(key(), 0.0)
    assert derived is not None
    members = world.fleet.members

    found = why_not_importing(service, derived, members["c"], members)
    assert found is NotImportedReason.NO_NAMESPACE


async def test_a_clock_that_is_set_moves_what_was_seen_lost() -> None:
    """So that a pass at the new time does not withdraw the cluster."""
    inventory = knowing(*clusters("a", "b"), *exported("web", "a", "b"))
    await inventory.members.complete()
    now = time.time()
    gone = cluster("a")
    lost = {"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(now)}
    gone["status"]["conditions"] = [lost]
    tell(inventory, gone)

    made = inventory.world.derived(key(), now + 86_400)
    assert made is not None
    assert made.exporters == ("a", "b")


@pytest.mark.parametrize("name", ["o", "towpath-import-web"])
def test_the_label_hides_no_override_of_a_user(name: str) -> None:
    meta = {**OVERRIDE["metadata"], "name": name, "labels": OURS}
    forged = {**OVERRIDE, "metadata": meta}
    inventory = knowing(*WORLD, forged)
    assert inventory.world.services[key()].offers["a"].export.rules[0].path == "/x"

    allowed = {**forged, "spec": {**OVERRIDE["spec"], "resourceSelectors": [SELECTED]}}
    tell(inventory, allowed)
    assert inventory.world.services[key()].offers["a"].export.rules[0].path == "/web"


def test_the_label_hides_no_policy_of_a_user() -> None:
    inventory = knowing(*clusters("a"), *exported("web", "a"))
    assert not inventory.world.services[key()].selected
    tell(inventory, labelled("mine", "ServiceExport"))
    assert inventory.world.services[key()].selected


SELECTED = {"apiVersion": GROUP, "kind": "ServiceImport", "name": "none"}
