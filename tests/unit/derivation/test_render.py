"""The objects that carry views: their content, and that Karmada makes the views from them again."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest
from hypothesis import given

from tests.support.strategies import FEW, worlds
from tests.support.worlds import KEY, UID, WEB, derived, export, fleet, key_of, member, service
from towpath.derivation import render as module
from towpath.derivation.derive import Derived, derive
from towpath.derivation.render import (
    LARGEST_POLICY,
    LARGEST_VIEW,
    MOST_POLICIES,
    PRIORITY,
    Rendered,
    import_of,
    render,
)
from towpath.model.condition import READY
from towpath.model.export import Export
from towpath.model.keys import Dialect
from towpath.model.ownership import (
    EXPORTERS_ANNOTATION,
    MANAGED_BY,
    PORTS_ANNOTATION,
    VIEW_ANNOTATION,
    import_policy_name,
    imported_service,
)
from towpath.model.world import Offer, World
from towpath.rules.reasons import ConditionReason


def rendered(offers: Mapping[str, Offer], *names: str) -> Rendered:
    return render(KEY, UID, derived(offers, fleet(*names)))


def rules(output: Rendered) -> list[dict[str, Any]]:
    return [rule for policy in output.overrides for rule in policy["spec"]["overrideRules"]]


def overridden(output: Rendered, cluster: str) -> dict[str, Any]:
    """Return the import as Karmada sends it to a cluster."""
    template = dict(output.service_import or {})
    for rule in rules(output):
        if cluster in rule["targetCluster"]["clusterNames"]:
            patch = [{"op": p["operator"], **p} for p in rule["overriders"]["plaintext"]]
            template = jsonpatch.apply_patch(template, patch)
    return template


@given(worlds)
@FEW
def test_template_and_overrides_give_the_views_and_digests(world: World) -> None:
    for key, result in derive(world).services.items():
        objects = render(key, UID, result)
        for cluster, view in result.views.items():
            sent = overridden(objects, cluster)
            assert sent["spec"] == view.dump()
            assert sent["metadata"]["annotations"][VIEW_ANNOTATION] == view.digest
            assert sent["metadata"]["annotations"] == import_of(KEY, view)["metadata"]["annotations"]


def test_an_import_names_whom_it_leads_to_for_kubectl() -> None:
    """In each cluster what that cluster gets: itself never, and nobody beyond the scope of an export."""
    scoped = replace(WEB, export=Export(rules=WEB.export.rules, target_clusters=(key_of("c"),)))
    made = render(KEY, UID, derived({"b": WEB, "a": scoped}, fleet("a", "b", "c", "d")))

    def columns(template: Mapping[str, Any]) -> tuple[str, str]:
        annotations = template["metadata"]["annotations"]
        return annotations[EXPORTERS_ANNOTATION], annotations[PORTS_ANNOTATION]

    seen = {cluster: columns(overridden(made, cluster)) for cluster in ("a", "c", "d")}
    assert seen == {"a": ("b", "80"), "c": ("a,b", "80"), "d": ("b", "80")}
    made_before = dict(made.service_import or {}) | {"metadata": {"annotations": {VIEW_ANNOTATION: "0"}}}
    assert columns(overridden(replace(made, service_import=made_before), "d")) == ("b", "80")


@pytest.mark.parametrize(("importer", "brought"), [("b", True), ("a", False)])
@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_a_service_comes_along_to_the_data_path(importer: str, kind: str, brought: bool) -> None:
    members = {**fleet("a", "b"), importer: member(importer, data_path=True)}
    offer = Offer(export((80, "/web")), service(80, kind=kind))

    policy = render(KEY, UID, derived({"a": offer}, members)).propagation

    assert policy is not None
    assert policy["spec"].get("propagateDeps", False) is brought


@given(worlds)
@FEW
def test_cluster_lists_are_never_empty_and_rules_are_unique(world: World) -> None:
    for key, result in derive(world).services.items():
        objects = render(key, UID, result)
        named = [name for rule in rules(objects) for name in rule["targetCluster"]["clusterNames"]]

        assert (objects.propagation is None) == (objects.service_import is None) == (not result.views)
        if objects.propagation:
            affinity = objects.propagation["spec"]["placement"]["clusterAffinity"]
            assert affinity == {"clusterNames": sorted(result.views)}
            assert affinity["clusterNames"]
        assert all(rule["targetCluster"]["clusterNames"] for rule in rules(objects))
        assert len(set(named)) == len(named)
        assert set(named) <= set(result.views)
        assert all(policy["spec"]["overrideRules"] for policy in objects.overrides)


@given(worlds)
@FEW
def test_only_views_that_differ_from_the_template_are_overridden(world: World) -> None:
    for key, result in derive(world).services.items():
        named = {n for rule in rules(render(key, UID, result)) for n in rule["targetCluster"]["clusterNames"]}
        assert named == {name for name, view in result.views.items() if view != result.everything}


@given(worlds)
@FEW
def test_two_views_have_one_digest_only_if_they_are_equal(world: World) -> None:
    views = [view for result in derive(world).services.values() for view in result.views.values()]
    for view in views:
        assert [view.digest == other.digest for other in views] == [view == other for other in views]


def test_without_exporters_or_importers_nothing_may_exist() -> None:
    scoped = Offer(export((80, "/web"), targets=("x/y/z/nobody",)), service(80))

    for result in (Derived(), derived({"a": scoped}, fleet("a", "b")), derived({"a": WEB}, fleet("a"))):
        assert render(KEY, UID, result) == Rendered()
    assert Rendered().objects == ()


def test_everything_is_owned_by_the_export_and_found_by_its_name() -> None:
    objects = rendered({"a": WEB, "c": WEB}, "a", "b", "c").objects

    assert [obj["kind"] for obj in objects] == ["OverridePolicy", "PropagationPolicy", "ServiceImport"]
    for obj in objects:
        assert obj["metadata"]["ownerReferences"] == [
            {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "name": "web", "uid": UID}
        ]
        assert obj["metadata"]["namespace"] == "shop"
        assert obj["metadata"]["labels"] == MANAGED_BY
    for policy in objects[:2]:
        assert policy["spec"]["resourceSelectors"] == [
            {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceImport", "name": "web", "namespace": "shop"}
        ]
    assert objects[1]["spec"]["priority"] == PRIORITY > 0
    assert objects[2]["metadata"]["name"] == "web"


def test_a_members_taint_takes_no_import_away() -> None:
    propagation = rendered({"a": WEB}, "a", "b").propagation

    assert propagation is not None
    tolerated = {(t["key"], t["effect"]) for t in propagation["spec"]["placement"]["clusterTolerations"]}
    states = ("cluster.karmada.io/not-ready", "cluster.karmada.io/unreachable")
    assert tolerated == {(state, effect) for state in states for effect in ("NoSchedule", "NoExecute")}


@pytest.mark.parametrize("number", [0, 1, MOST_POLICIES - 1])
def test_a_policys_name_tells_its_service(number: int) -> None:
    assert imported_service(import_policy_name(KEY, number)) == "web"


@pytest.mark.parametrize("name", ["theirs", "web", "towpath-export-web", "my-towpath-import-web", ""])
def test_other_names_are_not_those_of_derived_policies(name: str) -> None:
    assert imported_service(name) is None


def test_without_exporters_among_importers_there_is_no_override() -> None:
    objects = rendered({"a": WEB}, "a", "b", "c")

    assert not objects.overrides
    assert objects.propagation is not None


def test_three_objects_however_many_clusters() -> None:
    names = [f"m{number:03}" for number in range(100)]

    objects = rendered(dict.fromkeys(names[:10], WEB), *names)

    assert len(objects.objects) == 3
    assert len(rules(objects)) == 10


@given(worlds)
@FEW
def test_the_order_of_the_views_changes_nothing(world: World) -> None:
    for key, result in derive(world).services.items():
        other = replace(result, views=dict(reversed(tuple(result.views.items()))))
        assert render(key, UID, other) == render(key, UID, result)


def test_clusters_that_see_the_same_share_a_rule() -> None:
    scoped = Offer(export((80, "/web"), targets=(key_of("b"),)), service(80))

    objects = rendered({"a": scoped, "d": WEB}, "a", "b", "c", "d")

    assert [rule["targetCluster"]["clusterNames"] for rule in rules(objects)] == [["a", "c"]]
    assert overridden(objects, "d")["spec"] != overridden(objects, "c")["spec"]


def with_paths(*sizes: int, among: str = "", targets: Mapping[int, str] | None = None) -> Rendered:
    """Render a service whose exporters m00, m01, ... have paths of these lengths."""
    names = [f"m{number:02}" for number in range(len(sizes))]
    offers = {
        name: Offer(
            export((80, "/" + "x" * (size - 1)), targets=(key_of(targets[n]),) if targets else ()),
            service(80),
        )
        for n, (name, size) in enumerate(zip(names, sizes, strict=True))
    }
    return rendered(offers, *names, *among)


def size_of(rule: Mapping[str, Any]) -> int:
    return len(json.dumps(rule["overriders"], separators=(",", ":"), ensure_ascii=False).encode())


def refused(output: Rendered) -> str:
    assert output.objects == ()
    assert output.refused is not None
    assert output.refused[:3] == (READY, "False", ConditionReason.VIEW_TOO_LARGE)
    return output.refused.message


KIB = 1024


def largest(made: Callable[[int], Rendered], fits: Callable[[Rendered], object]) -> int:
    """Return the longest path, of at most 400 KiB, with which the output still fits."""
    return bisect.bisect_left(range(400 * KIB), True, key=lambda size: not fits(made(size + 1)))


def is_written(output: Rendered) -> bool:
    return output.refused is None


def test_an_override_too_large_for_a_work_names_its_cluster() -> None:
    def two(size: int) -> Rendered:
        return with_paths(KIB, size, among="b")

    longest = largest(two, is_written)

    assert LARGEST_VIEW - KIB < max(map(size_of, rules(two(longest)))) <= LARGEST_VIEW
    assert "The import of m00 has 200 KiB, and the limit is 200 KiB." in refused(two(longest + 1))


def test_a_full_list_without_overrides_may_be_larger() -> None:
    output = with_paths(LARGEST_VIEW + KIB, among="b")

    assert output.refused is None
    assert output.overrides == ()


def test_a_full_list_that_is_too_large_stops_all() -> None:
    def full(size: int) -> Rendered:
        """Each exports to the next one only, so that every view is small."""
        return with_paths(*[100 * KIB] * 5, size, targets={n: f"m{(n + 1) % 6:02}" for n in range(6)})

    longest = largest(full, is_written)
    template = full(longest).service_import

    assert template is not None
    assert LARGEST_POLICY - KIB < len(json.dumps(template["spec"], separators=(",", ":"))) <= LARGEST_POLICY
    assert "The full list of endpoints has 512 KiB, and the limit is 512 KiB." in refused(full(longest + 1))


def clusters(policy: Mapping[str, Any]) -> list[str]:
    return [
        name for rule in policy["spec"]["overrideRules"] for name in rule["targetCluster"]["clusterNames"]
    ]


@pytest.mark.parametrize(("number", "size", "fewest"), [(5, 10, 1), (8, 10, 2), (12, 12, 4), (16, 12, 6)])
def test_overrides_too_large_for_one_policy_are_split(number: int, size: int, fewest: int) -> None:
    output = with_paths(*[size * KIB] * number, among="b")
    total = sum(map(size_of, rules(output)))

    assert fewest <= len(output.overrides) <= total // LARGEST_POLICY * 2 + 1
    assert sorted(name for policy in output.overrides for name in clusters(policy)) == [
        f"m{n:02}" for n in range(number)
    ]
    assert {policy["metadata"]["name"] for policy in output.overrides} <= {
        import_policy_name(KEY, shard) for shard in range(MOST_POLICIES)
    }
    assert [name.rpartition("/")[2] for name in endpoint_keys(output, "m00")] == [
        f"m{n:02}" for n in range(1, number)
    ]


def endpoint_keys(output: Rendered, cluster: str) -> list[str]:
    [number] = overridden(output, cluster)["spec"]["ports"]
    return [endpoint["clusterKey"] for endpoint in number["endpoints"]]


def test_a_cluster_stays_in_its_policy_when_another_view_changes() -> None:
    def places(sizes: list[int], among: str) -> dict[str, str]:
        policies = with_paths(*sizes, among=among).overrides
        return {name: policy["metadata"]["name"] for policy in policies for name in clusters(policy)}

    sizes = [10 * KIB] * 12
    before, after = places(sizes, "b"), places([9 * KIB, *sizes[1:]], "bc")

    assert len(set(before.values())) > 1
    assert after == before


def test_no_override_policy_is_larger_than_it_may_be() -> None:
    def three(size: int) -> Rendered:
        return with_paths(85 * KIB, 85 * KIB, size)

    longest = largest(three, lambda output: len(output.overrides) == 1)

    assert len(three(longest + 1).overrides) == 2
    [policy] = three(longest).overrides
    assert len(json.dumps(policy, separators=(",", ":"))) <= LARGEST_POLICY


def test_overrides_for_more_policies_than_there_may_be_stop_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_POLICIES", 2)

    assert with_paths(*[10 * KIB] * 8).refused is None
    assert "exceed 2 policies of 512 KiB." in refused(with_paths(*[12 * KIB] * 16))


@pytest.mark.parametrize("dialect", Dialect)
def test_the_longest_service_name_gives_valid_policy_names(dialect: Dialect) -> None:
    key = KEY._replace(dialect=dialect, name="x" * 63)

    assert len(import_policy_name(key, MOST_POLICIES - 1)) <= 253
    assert imported_service(import_policy_name(key, MOST_POLICIES - 1)) == key.name
