"""Propagation without a user policy: exports follow their Service, traffic policies the imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import FEW, policies, worlds
from tests.support.worlds import KEY, UID, WEB, derived, fleet, offered
from towpath.derivation.derive import Derived, derive
from towpath.derivation.followpolicy import PRIORITY, export_policy, traffic_policy
from towpath.derivation.render import TOLERATIONS
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.ownership import (
    EXPORT_PREFIX,
    MANAGED_BY,
    TRAFFIC_PREFIX,
    import_policy_name,
    imported_service,
)
from towpath.model.traffic import TrafficPolicy
from towpath.model.world import AppliedPolicy, ExportedService, World

EXPORTED = offered({}, serving=frozenset("ba"), selected=False)
APPLIED = AppliedPolicy(KEY, UID, TrafficPolicy(), selected=False)
IMPORTED = derived({"a": WEB, "c": WEB}, fleet("a", "b", "c"))


def clusters(policy: Mapping[str, Any] | None) -> list[str] | None:
    if policy is None:
        return None
    names: list[str] = policy["spec"]["placement"]["clusterAffinity"]["clusterNames"]
    return names


@pytest.mark.parametrize(
    ("service", "goes_to"),
    [
        (EXPORTED, ["a", "b"]),
        (replace(EXPORTED, offers={"c": WEB}), ["a", "b"]),
        (replace(EXPORTED, selected=True), None),
        (replace(EXPORTED, serving=frozenset()), None),
        (replace(EXPORTED, serving=frozenset({"gone"})), None),
        (replace(EXPORTED, serving=frozenset({"gone", "c"})), ["c"]),
    ],
)
def test_an_unselected_export_follows_its_service(
    service: ExportedService, goes_to: list[str] | None
) -> None:
    assert clusters(export_policy(service, ["c", "b", "a"])) == goes_to


@pytest.mark.parametrize(
    ("applied", "seen", "goes_to"),
    [
        (APPLIED, IMPORTED, ["a", "b", "c"]),
        (replace(APPLIED, clusters=frozenset("x")), derived({"a": WEB}, fleet("a", "b")), ["b"]),
        (replace(APPLIED, selected=True), IMPORTED, None),
        (APPLIED, Derived(), None),
        (APPLIED, derived({"a": WEB}, fleet("a")), None),
        (APPLIED, None, None),
    ],
)
def test_an_unselected_traffic_policy_goes_to_the_importers(
    applied: AppliedPolicy, seen: Derived | None, goes_to: list[str] | None
) -> None:
    assert clusters(traffic_policy(applied, seen)) == goes_to


@pytest.mark.parametrize("dialect", Dialect)
def test_follow_policies_have_an_owner_and_the_lowest_priority(dialect: Dialect) -> None:
    key = KEY._replace(dialect=dialect)
    made = {
        ("ServiceExport", EXPORT_PREFIX): export_policy(replace(EXPORTED, key=key), "ab"),
        ("GlobalTrafficPolicy", TRAFFIC_PREFIX): traffic_policy(replace(APPLIED, key=key), IMPORTED),
    }

    for (kind, prefix), policy in made.items():
        assert policy is not None
        version = f"{dialect.value}/v1alpha1"
        assert policy["kind"] == "PropagationPolicy"
        assert policy["metadata"] == {
            "name": f"{prefix}web",
            "namespace": "shop",
            "labels": MANAGED_BY,
            "ownerReferences": [{"apiVersion": version, "kind": kind, "name": "web", "uid": UID}],
        }
        assert policy["spec"]["resourceSelectors"] == [
            {"apiVersion": version, "kind": kind, "name": "web", "namespace": "shop"}
        ]
        assert policy["spec"]["priority"] == PRIORITY < 0
        assert policy["spec"]["placement"]["clusterTolerations"] == TOLERATIONS


@pytest.mark.parametrize("name", ["web", "import-web", "export-web"])
def test_no_two_of_our_policies_have_the_same_name(name: str) -> None:
    key = ServiceKey(Dialect.FLOMESH, "shop", name)
    others = {f"{EXPORT_PREFIX}{name}", f"{TRAFFIC_PREFIX}{name}"}

    assert len({import_policy_name(key), import_policy_name(key, 1), *others}) == 4
    assert not any(imported_service(other) for other in others)


@given(worlds, policies, st.randoms(use_true_random=False))
@FEW
def test_a_follow_policy_names_sorted_members_and_at_least_one(
    world: World, applied: AppliedPolicy, random: Any
) -> None:
    made = derive(world).services
    turned = random.sample(sorted(world.members), len(world.members))
    names = [
        *(clusters(export_policy(service, turned)) for service in world.services.values()),
        clusters(traffic_policy(applied, made.get(applied.key))),
    ]
    for listed in names:
        assert listed is None or (listed and listed == sorted(set(listed) & world.members.keys()))


@given(worlds)
@FEW
def test_the_named_template_is_the_one_followed(world: World) -> None:
    for key, service in world.services.items():
        follows = clusters(export_policy(service, world.members))
        assert (follows is None) == (service.selected or not service.serving & world.members.keys())
        importers = derive(world).services[key].views
        applied = AppliedPolicy(key, UID, TrafficPolicy(), selected=service.selected)
        to = clusters(traffic_policy(applied, derive(world).services[key]))
        assert to == (sorted(importers) if importers and not service.selected else None)
