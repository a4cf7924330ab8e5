"""What a pass decides, from a snapshot: tables of what Karmada holds and of what is done about it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.inventories import (
    Object,
    binding,
    cluster,
    clusters,
    deleting,
    export,
    exported,
    forget,
    invalid,
    key,
    knowing,
    policy,
    propagation,
    service,
    tell,
)
from towpath.controller.decision import Adopt, Collect, Decision, Latency, PatchStatus, Touch
from towpath.controller.deletionguard.decide import COLLECTION_GRACE_SECONDS as GC_SECONDS
from towpath.controller.deletionguard.decide import CONFIRMATION_SECONDS, SETTLING_SECONDS
from towpath.controller.followpolicy.decide import USER_POLICY_GRACE_SECONDS
from towpath.controller.orphanbinding.decide import COLLECTION_GRACE_SECONDS
from towpath.controller.rollout.decide import REFLECTION_GRACE_SECONDS
from towpath.controller.rollout.throttle import BINDING_GRACE_SECONDS, LAG_DELAYS_SECONDS
from towpath.controller.service_export import AUDIT_SECONDS, ServiceExports
from towpath.derivation.render import Rendered, render
from towpath.derivation.stages import Write
from towpath.inventory.inventory import Inventory
from towpath.inventory.snapshot import take
from towpath.model.keys import Dialect

NOW = 1_800_000_000.0
FLEET = clusters("a", "b", "c")
USER = propagation("user", {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "name": "web"})
IMPORT = {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceImport"}
NAMESPACE_GOING = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"},
}


class Pass:
    """An inventory and a decider; each call is one pass."""

    def __init__(self, *objects: Object) -> None:
        self.inventory = knowing(*objects)
        self.inventory.changed_at.clear()
        self.listed(True)
        self.exports = ServiceExports()

    def __call__(self, after: float = 0.0, *, idle: bool = True) -> Decision:
        return self.exports.decide(take(self.inventory, key(), NOW + after, idle=idle))

    def listed(self, found: bool) -> None:
        """Let every list of the apiserver have held objects, or none."""
        for reflector in self.inventory.watched.reflectors:
            reflector.found_nothing = not found

    def rendered(self) -> Rendered:
        derived = self.inventory.world.derived(key(), NOW)
        assert derived is not None
        return render(key(), "uid-of-web", derived)

    def apply(self) -> Rendered:
        """Let Karmada have what is derived."""
        rendered = self.rendered()
        tell(self.inventory, *(_stored(obj) for obj in rendered.objects))
        return rendered

    def report(self, digests: dict[str, str]) -> None:
        """Let members report what they hold."""
        template = {**IMPORT, "metadata": {"name": "web", "namespace": "shop", "uid": "uid-of-import"}}
        reported: dict[str, Object] = {name: {"view": digest} for name, digest in digests.items()}
        tell(self.inventory, binding(template, *digests, reported=reported))


def _stored(obj: Any) -> Object:
    """Return a rendered object as the apiserver stores it, claimed by the derived policy."""
    meta = {**obj["metadata"], "uid": "uid-of-import"}
    if obj["kind"] == "ServiceImport":
        claim = {"propagationpolicy.karmada.io/name": "towpath-import-web"}
        claim["propagationpolicy.karmada.io/namespace"] = "shop"
        meta["annotations"] = {**meta["annotations"], **claim}
    return {**obj, "metadata": meta}


def written(decision: Decision) -> list[list[str]]:
    """Return what the stages write, as kinds; a deletion has a minus sign."""
    return [sorted(_kind(write) for write in stage) for stage in decision.stages]


def _kind(write: Write) -> str:
    obj = write.wanted or write.live or {}
    return f"{'' if write.wanted else '-'}{obj['kind']}"


def conditions(decision: Decision) -> dict[str, str]:
    """Return the reason of each condition that the pass writes on the export."""
    patches = [s for s in decision.steps if isinstance(s, PatchStatus) and s.resource.kind == "ServiceExport"]
    return {c["type"]: c["reason"] for patch in patches for c in patch.make({})["conditions"]}


def kinds(decision: Decision) -> list[str]:
    return [type(step).__name__ for step in decision.steps]


def test_a_new_export_writes_policies_before_the_template() -> None:
    decision = Pass(*FLEET, USER, *exported("web", "a", "b"))()

    assert written(decision) == [["OverridePolicy", "PropagationPolicy"], ["ServiceImport"]]
    assert decision.took_up
    assert NOW < decision.look_again <= NOW + AUDIT_SECONDS * 4 / 3


def test_ready_is_known_of_every_export_for_the_metric() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    rendered = one.apply()
    one()
    assert one.exports.ready[key()].status == "Unknown"
    one.report(dict(rendered.digests))
    one()
    assert (one.exports.ready[key()].status, one.exports.ready[key()].reason) == ("True", "Exported")


def test_a_settled_service_writes_nothing_but_its_statuses() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    rendered = one.apply()
    one.report(dict(rendered.digests))
    decision = one()

    assert (decision.stages, kinds(decision)) == ((), ["PatchStatus", "PatchStatus"])
    assert conditions(decision) == {"Valid": "Valid", "Conflict": "NoConflicts", "Ready": "Exported"}


@pytest.mark.parametrize(
    ("objects", "reasons"),
    [
        (exported("web", "a"), {"Valid": "Valid", "Ready": "NotReported"}),
        (exported("web"), {"Valid": "NotPropagated", "Ready": "NotImported"}),
        ([*exported("web", "a")[:1], *exported("web", "a")[2:3]], {"Valid": "NoService"}),
        ([*exported("web", "x")], {"Valid": "NotAMember"}),
        (
            [
                *exported("web", "a")[:2],
                binding(export(), "a", reported={"a": invalid("no")}),
                binding(service(), "a"),
            ],
            {"Valid": "RefusedInMember"},
        ),
    ],
)
def test_the_status_names_the_reason(objects: list[Object], reasons: dict[str, str]) -> None:
    one = Pass(*FLEET, USER, *objects)
    one()
    found = conditions(one(REFLECTION_GRACE_SECONDS))

    assert {name: found[name] for name in reasons} == reasons


def test_an_unbound_export_is_not_reported_at_once() -> None:
    one = Pass(*FLEET, USER, *exported("web"))
    one.inventory.changed_at[key()] = NOW
    early, late = one(0.1), one(BINDING_GRACE_SECONDS)

    assert (conditions(early), early.took_up) == ({}, False)
    assert early.look_again <= NOW + BINDING_GRACE_SECONDS
    assert conditions(late)["Valid"] == "NotPropagated"


def test_a_member_that_lags_is_touched_for_after_a_while() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    rendered = one.apply()
    one.report(dict(rendered.digests) | {"c": "old"})

    first = one()
    assert not any(isinstance(step, Touch) for step in first.steps)
    assert first.look_again == NOW + LAG_DELAYS_SECONDS[0]
    later = one(3.0)
    [touch] = [step for step in later.steps if isinstance(step, Touch)]
    assert (touch.why, touch.unclaim) == ("not reported by c", False)
    assert conditions(later)["Ready"] == "Pending"
    one.report(dict(rendered.digests))
    assert one(4.0).latencies == (Latency(4.0, withdrawal=False),)


def test_a_pass_that_writes_does_not_touch() -> None:
    """The time until a touch begins when the objects are written, also after writes that failed."""
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    one.report({"c": "old"})
    for after in (0.0, 100.0):
        decision = one(after)
        assert decision.stages
        assert not any(isinstance(step, Touch) for step in decision.steps)


def test_a_claim_of_another_policy_is_removed_at_once() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    template = _stored(one.apply().objects[-1])
    template["metadata"]["annotations"]["propagationpolicy.karmada.io/name"] = "all"
    tell(one.inventory, template)
    decision = one()

    [touch] = [step for step in decision.steps if isinstance(step, Touch)]
    assert (touch.why, touch.unclaim) == ("claimed by PropagationPolicy shop/all", True)
    assert conditions(decision)["Ready"] == "ClaimedElsewhere"


def test_an_import_whose_binding_is_taken_is_not_touched() -> None:
    """Karmada goes by the other one (shared binding names): a touch would change nothing."""
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    one.report(dict(one.apply().digests) | {"c": "old"})
    other = {"apiVersion": "multicluster.flomesh.io/v1alpha1", "kind": "ServiceImport"}
    tell(one.inventory, binding({**other, "metadata": {"name": "web", "namespace": "shop", "uid": "x"}}, "c"))
    one()
    decision = one(10.0)

    assert conditions(decision)["Ready"] == "ImportNameTaken"
    assert "Touch" not in kinds(decision)


def test_an_export_whose_name_is_taken_gets_no_follow_policy() -> None:
    taken = binding(export(version="multicluster.flomesh.io/v1alpha1"), "a")
    alone = [export(), service(), binding(service(), "a")]
    follows = []
    for more in ([], [taken]):
        one = Pass(*FLEET, *alone, *more)
        one()
        follows.append("Write" in kinds(one(USER_POLICY_GRACE_SECONDS)))

    assert follows == [True, False]


def test_overrides_go_only_when_members_hold_the_new_view() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    one.report(dict(one.apply().digests))
    tell(one.inventory, *exported("web", "a")[2:])
    rendered = one.rendered()
    tell(one.inventory, *(_stored(obj) for obj in rendered.objects))
    assert "-OverridePolicy" not in str(written(one()))
    one.report(dict(rendered.digests))

    assert "-OverridePolicy" in str(written(one(1.0)))


def withdrawn(*more: Object) -> Pass:
    """Return a service with an import and without its Service, so that the import should go."""
    one = Pass(*FLEET, USER, *exported("web", "a"), *exported("other", "a"), *more)
    one.apply()
    forget_service = {**binding(service()), "spec": {**binding(service())["spec"], "clusters": []}}
    tell(one.inventory, forget_service)
    return one


def test_an_import_without_exporters_is_deleted_last() -> None:
    one = withdrawn()

    assert one(idle=False).look_again < NOW + SETTLING_SECONDS
    assert written(one(0.2)) == [["-ServiceImport"]]


def test_an_export_that_moves_keeps_its_import() -> None:
    """Karmada removes it from one cluster before it has applied it in the next."""
    one = Pass(*FLEET, USER, *exported("web", "a"))
    one.apply()
    moved = [binding(obj, "b") for obj in exported("web")[:2]]
    for obj in moved:
        obj["status"] = {}
    tell(one.inventory, *moved)

    assert (one().stages, written(one(SETTLING_SECONDS))) == ((), [["-ServiceImport"]])


def test_an_empty_list_withdraws_nothing() -> None:
    one = withdrawn()
    one.listed(False)
    first, refused = one(), one(CONFIRMATION_SECONDS)

    assert (first.stages, first.relist, refused.stages) == ((), True, ())
    assert conditions(refused)["Ready"] == "WithdrawalWithheld"
    assert [refusal.value for refusal in refused.refusals] == ["empty_list"]
    assert key() in one.exports.withheld


def test_after_an_empty_list_not_even_a_change_is_written() -> None:
    """Events bring back only a part of what a list left out."""
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    one.apply()
    one.listed(False)
    assert conditions(one()).get("Ready") != "WithdrawalWithheld"
    tell(one.inventory, cluster("b", "10.9.9.9:80"))
    first, refused = one(), one(CONFIRMATION_SECONDS)

    assert (first.stages, refused.stages) == ((), ())
    assert conditions(refused)["Ready"] == "WithdrawalWithheld"
    one.listed(True)
    assert one(3.0).stages


def test_an_import_of_an_unlisted_export_is_kept_at_first() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a"))
    one.apply()
    forget(one.inventory, export())
    one.listed(False)

    assert one().look_again == NOW + CONFIRMATION_SECONDS
    decision = one(CONFIRMATION_SECONDS)
    assert ([r.value for r in decision.refusals], decision.relist) == (["unknown_export"], True)
    assert not decision.steps


@pytest.mark.parametrize("listed", [True, False])
def test_what_the_garbage_collector_leaves_is_collected(listed: bool) -> None:
    """The template first, its policies when it is gone, and each only after a fresh read of the export."""
    one = Pass(*FLEET, USER, *exported("web", "a"))
    rendered = one.apply()
    forget(one.inventory, export())
    one.listed(listed)

    assert one().steps == ()
    [template] = [step for step in one(GC_SECONDS).steps if isinstance(step, Collect)]
    assert (template.export.kind, [_kind(write) for write in template.writes]) == (
        "ServiceExport",
        ["-ServiceImport"],
    )
    forget(one.inventory, _stored(rendered.objects[-1]))
    [policies] = [step for step in one(2 * GC_SECONDS).steps if isinstance(step, Collect)]
    assert [_kind(write) for write in policies.writes] == ["-PropagationPolicy"]
    for obj in rendered.objects:
        forget(one.inventory, _stored(obj))
    assert one(3 * GC_SECONDS) == Decision(took_up=True, forgotten=one(3 * GC_SECONDS).forgotten)


def test_the_policies_of_the_other_dialect_are_not_left_over() -> None:
    """Both dialects give their policies the same names."""
    one = Pass(*FLEET, USER, *exported("web", "a"))
    rendered = one.apply()
    other = key()._replace(dialect=Dialect.MULTICLUSTER)
    forget(one.inventory, _stored(rendered.objects[-1]))
    for after in (0.0, GC_SECONDS, 10 * GC_SECONDS):
        decision = one.exports.decide(take(one.inventory, other, NOW + after, idle=True))
        assert (decision.steps, decision.refusals, decision.look_again) == ((), (), math.inf)


def test_an_export_that_a_finalizer_holds_is_withdrawn_at_once() -> None:
    """The case 30: the deletion was requested, so the deletion guard is not asked."""
    one = Pass(*FLEET, USER, *exported("web", "a"))
    one.apply()
    one.listed(False)
    tell(one.inventory, deleting(export()))
    decision = one()

    assert written(decision) == [["-ServiceImport"]]
    assert conditions(decision) == {"Valid": "BeingDeleted", "Ready": "NotImported"}


def test_a_lost_exporter_becomes_an_event_with_the_reason() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a", "b"))
    one()
    drained = cluster("b")
    drained["metadata"]["annotations"]["towpath.io/drain"] = "true"
    tell(one.inventory, drained)
    [(subject, news)] = one(1.0).news

    assert (subject.name, news.type, news.reason) == ("web", "Warning", "Drained")


@pytest.mark.parametrize("selected", [True, False])
def test_an_export_that_no_policy_selects_follows_its_service(selected: bool) -> None:
    one = Pass(*FLEET, export(), service(), binding(service(), "a"), *([USER] if selected else []))
    one()
    names = [
        step.wanted["metadata"]["name"]
        for step in one(USER_POLICY_GRACE_SECONDS).steps
        if isinstance(step, Write) and step.wanted
    ]

    assert names == ([] if selected else ["towpath-export-web"])


def test_a_traffic_policy_has_conditions_and_follows_imports() -> None:
    one = Pass(*FLEET, USER, *exported("web", "a"), policy())
    one()
    decision = one(USER_POLICY_GRACE_SECONDS)

    [write] = [step for step in decision.steps if isinstance(step, Write)]
    assert write.wanted
    assert write.wanted["spec"]["placement"]["clusterAffinity"]["clusterNames"] == ["b", "c"]
    [patch] = [
        s for s in decision.steps if isinstance(s, PatchStatus) and s.resource.kind == "GlobalTrafficPolicy"
    ]
    assert [c["type"] for c in patch.make({})["conditions"]] == ["Accepted", "Resolved"]


def test_a_binding_of_a_former_template_is_adopted() -> None:
    former = binding(export(uid="former"), "a")
    one = Pass(*FLEET, export(), service(), binding(service(), "a"), former)

    assert one().look_again <= NOW + COLLECTION_GRACE_SECONDS
    [adopt] = [step for step in one(COLLECTION_GRACE_SECONDS).steps if isinstance(step, Adopt)]
    assert adopt.template.former == "former"


def test_a_terminating_namespace_gets_no_writes() -> None:
    parts = exported("web", "a")
    one = Pass(*FLEET, *parts)
    one()
    tell(one.inventory, NAMESPACE_GOING)

    assert (one(), one.exports.lagging) == (Decision(), (key(),))
    forget(one.inventory, parts[0])
    assert [resource.kind for resource, _ in one().forgotten] == ["ServiceExport", "ServiceImport"]
    assert one.exports.lagging == ()


def test_one_snapshot_gives_the_same_decision_again() -> None:
    inventory: Inventory = knowing(*FLEET, *exported("web", "a", "b"))
    snapshot = take(inventory, key(), NOW, idle=True)

    first, second = (ServiceExports().decide(snapshot) for _ in range(2))
    assert written(first) == written(second)
    assert first.stages == second.stages
