"""The table of what is watched: which services a change of each kind touches."""

from __future__ import annotations

import pytest

from tests.support.inventories import (
    NoCalls,
    Object,
    binding,
    claimed,
    cluster,
    clusters,
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
from towpath.karmada.reflector import Name
from towpath.model.keys import Dialect, GatewayKey
from towpath.rules.reasons import NotImportedReason

OTHER = key()._replace(dialect=Dialect.MULTICLUSTER)
BOTH = {key(), OTHER}
WORLD = [*clusters("a", "b"), *exported("web", "a"), *exported("cart", "a")]
FLOMESH_CLUSTER: Object = {
    "apiVersion": "flomesh.io/v1alpha1",
    "kind": "Cluster",
    "metadata": metadata("a", ""),
    "spec": {"gatewayHost": "10.9.9.9"},
}
IMPORT: Object = {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceImport", "metadata": metadata("web")}
OURS = {"app.kubernetes.io/managed-by": "towpath"}
DERIVED = propagation("towpath-import-web")
DERIVED = {**DERIVED, "metadata": {**DERIVED["metadata"], "labels": OURS}}
FOLLOW = {**DERIVED, "metadata": {**DERIVED["metadata"], "name": "towpath-export-web"}}
NOT_DERIVED = {**DERIVED, "metadata": {**DERIVED["metadata"], "name": "something"}}
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
        (binding(IMPORT, "b", reported={"b": {"view": "1"}}), BOTH),
        (IMPORT, BOTH),
        (DERIVED, BOTH),
        (FOLLOW, BOTH),
        (NOT_DERIVED, set()),
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


def test_what_says_the_same_touches_nothing() -> None:
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
