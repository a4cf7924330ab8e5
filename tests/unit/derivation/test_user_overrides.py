"""What the user's override policies make of derived imports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.worlds import KEY, UID, WEB, derived, fleet
from towpath.derivation.render import Rendered, render
from towpath.derivation.user_overrides import ImportOverride, cautions_of, import_overrides
from towpath.propagation.policies import OverridePolicy, Target, read_override
from towpath.rules.reasons import Advice, Caution

TARGETS = {name: Target(name) for name in "abc"}
PORT = {"path": "/spec/ports/0/port", "operator": "replace", "value": 9090}
NOT_THERE = {"path": "/spec/selector/app", "operator": "replace", "value": "x"}
SAME = {"path": "/spec/type", "operator": "replace", "value": "ClusterSetIP"}
IMPORT = {"apiVersion": KEY.dialect.api_version, "kind": "ServiceImport"}
WHAT = "OverridePolicy shop/users"


def rendered() -> Rendered:
    return render(KEY, UID, derived({"a": WEB}, fleet("a", "b", "c")))


def policy(
    *patch: dict[str, Any],
    name: str = "users",
    selectors: list[dict[str, str]] | None = None,
    clusters: str = "b",
    kind: str = "OverridePolicy",
    **overriders: object,
) -> OverridePolicy:
    rule = {
        "targetCluster": {"clusterNames": list(clusters)},
        "overriders": {"plaintext": list(patch), **overriders},
    }
    meta = {"name": name, "namespace": "shop"} if kind == "OverridePolicy" else {"name": name}
    spec = {"overrideRules": [rule], "resourceSelectors": selectors or []}
    return read_override({"kind": kind, "metadata": meta, "spec": spec})


def effects(*policies: OverridePolicy) -> list[ImportOverride]:
    return [*import_overrides(rendered(), policies, TARGETS)]


@pytest.mark.parametrize("selectors", [[], [IMPORT], [{**IMPORT, "name": "web"}]])
def test_a_user_override_that_changes_the_import_is_named(selectors: list[dict[str, str]]) -> None:
    assert effects(policy(PORT, selectors=selectors)) == [ImportOverride("b", (WHAT,))]


def test_a_cluster_wide_policy_is_named_without_namespace() -> None:
    [effect] = effects(policy(PORT, kind="ClusterOverridePolicy"))
    assert effect == ImportOverride("b", ("ClusterOverridePolicy users",))


def test_a_policy_that_cannot_be_applied_blocks_the_import() -> None:
    [effect] = effects(policy(NOT_THERE, clusters="c"))
    assert (effect.cluster, effect.policies) == ("c", (WHAT,))
    assert effect.fault.startswith(f"{WHAT}: spec.overrideRules[0].overriders.plaintext[0]: Cannot replace")


@pytest.mark.parametrize(
    "harmless",
    [
        policy(PORT, selectors=[{"apiVersion": "v1", "kind": "Service"}]),
        policy(PORT, selectors=[{**IMPORT, "name": "other"}]),
        policy(PORT, clusters="a"),  # exports, and does not import
        policy(SAME),
        policy(labelsOverrider=[{"operator": "add", "value": {"team": "a"}}]),
        policy(clusters="b"),
    ],
)
def test_a_user_override_without_effect_is_not_reported(harmless: OverridePolicy) -> None:
    assert effects(harmless) == []


def test_without_the_view_annotation_a_member_reports_nothing() -> None:
    """Its value does not matter: a member reports the digest of the content that it holds."""
    view = {"towpath.io/view": "0"}
    removed = [{"operator": "remove", "value": view}]
    assert effects(policy(annotationsOverrider=removed)) == [ImportOverride("b", (WHAT,))]
    assert effects(policy(annotationsOverrider=[{"operator": "replace", "value": view}])) == []


def test_only_policies_that_do_something_are_named() -> None:
    found = effects(policy(SAME, name="fine"), policy(PORT), policy(PORT, name="elsewhere", clusters="c"))
    assert found == [ImportOverride("b", (WHAT,)), ImportOverride("c", ("OverridePolicy shop/elsewhere",))]


def test_the_derived_override_wins_over_a_less_specific_policy() -> None:
    """An exporter's override replaces all ports by name, which Karmada applies last."""
    both = render(KEY, UID, derived({"a": WEB, "b": WEB}, fleet("a", "b", "c")))
    assert import_overrides(both, [policy(PORT, clusters="ab")], TARGETS) == ()
    last = policy(PORT, name="zz", selectors=[{**IMPORT, "name": "web"}], clusters="ab")
    assert [effect.cluster for effect in import_overrides(both, [last], TARGETS)] == ["a", "b"]


def test_a_service_without_imports_has_no_effects() -> None:
    assert import_overrides(Rendered(), [policy(PORT)], TARGETS) == ()


def test_clusters_with_the_same_policies_share_a_warning() -> None:
    found = effects(policy(PORT, clusters="bc"))
    assert cautions_of(found) == (Caution(Advice.IMPORT_OVERRIDDEN, "", f"{WHAT} in b, c"),)
    blocked = effects(policy(NOT_THERE, clusters="bc"))
    assert cautions_of(blocked) == (Caution(Advice.IMPORT_OVERRIDE_FAILS, "", f"{WHAT} in b, c"),)
