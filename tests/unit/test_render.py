"""The objects that carry views: what they hold, and that Karmada makes the views of them again."""

from __future__ import annotations

from typing import Any

import jsonpatch
from hypothesis import given

from tests.unit.test_derive import worlds
from tests.unit.worlds import KEY, UID, WEB, derived, fleet
from towpath.model.world import Offer
from towpath.render import Rendered, policy_name, render, service_of_policy


def rendered(offers: dict[str, Offer], *names: str) -> Rendered:
    return render(KEY, UID, derived(offers, fleet(*names)))


def overridden(objects: Rendered, cluster: str) -> dict[str, Any]:
    """Return the import's spec as Karmada sends it to a cluster."""
    template = dict(objects.service_import or {})
    for rule in (rule for policy in objects.overrides for rule in policy["spec"]["overrideRules"]):
        if cluster in rule["targetCluster"]["clusterNames"]:
            patch = [{"op": p["operator"], **p} for p in rule["overriders"]["plaintext"]]
            template = jsonpatch.apply_patch(template, patch)
    return template["spec"]  # type: ignore[no-any-return]


@given(worlds)
def test_template_and_overrides_together_are_the_views(some: dict[str, Offer]) -> None:
    seen = derived(some, fleet("a", "b", "c", "d", "e"))
    objects = render(KEY, UID, seen)

    for cluster, view in seen.views.items():
        assert overridden(objects, cluster) == view.dump()


@given(worlds)
def test_no_list_of_clusters_is_ever_empty(some: dict[str, Offer]) -> None:
    seen = derived(some, fleet("a", "b", "c", "d", "e"))
    objects = render(KEY, UID, seen)

    assert (objects.propagation is None) == (objects.service_import is None) == (not seen.views)
    if objects.propagation:
        affinity = objects.propagation["spec"]["placement"]["clusterAffinity"]
        assert affinity["clusterNames"] == sorted(seen.views)
    if objects.overrides:
        assert all(
            rule["targetCluster"]["clusterNames"] for rule in objects.overrides[0]["spec"]["overrideRules"]
        )


def test_everything_is_owned_by_the_export_and_found_by_its_name() -> None:
    objects = rendered({"a": WEB, "c": WEB}, "a", "b", "c")

    for obj in objects.objects:
        assert obj is not None
        owner = obj["metadata"]["ownerReferences"]
        assert owner == [
            {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "name": "web", "uid": UID}
        ]
        assert obj["metadata"]["namespace"] == "shop"
    assert service_of_policy(policy_name(KEY)) == "web"
    assert service_of_policy("theirs") is None


def test_without_exporters_among_the_importers_nothing_is_overridden() -> None:
    objects = rendered({"a": WEB}, "a", "b", "c")

    assert not objects.overrides
    assert objects.propagation is not None


def test_three_objects_however_many_clusters() -> None:
    names = [f"m{number:03}" for number in range(100)]

    objects = rendered(dict.fromkeys(names[:10], WEB), *names)

    assert len(objects.overrides) == 1
    assert len(objects.overrides[0]["spec"]["overrideRules"]) == 10
