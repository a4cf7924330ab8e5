"""The decision of a reconcile pass on a snapshot: tables of states of Karmada and the steps that follow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.support.inventories import (
    GROUP,
    Object,
    aggregated,
    binding,
    claimed,
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
from towpath.controller.backoff import TOUCH_DELAYS_SECONDS
from towpath.controller.decision import Adopt, Collect, Decision, Latency, PatchStatus, Touch
from towpath.controller.deletionguard.decide import COLLECTION_GRACE_SECONDS as GC_SECONDS
from towpath.controller.deletionguard.limit import CONFIRMATION_SECONDS, SETTLING_SECONDS
from towpath.controller.followpolicy.decide import USER_POLICY_GRACE_SECONDS
from towpath.controller.metrics import Metrics
from towpath.controller.orphanbinding.decide import COLLECTION_GRACE_SECONDS
from towpath.controller.reconciler import Reconciler
from towpath.controller.rollout.decide import REFLECTION_GRACE_SECONDS
from towpath.controller.rollout.first_import import JOINING_GRACE_SECONDS
from towpath.controller.rollout.throttle import BINDING_GRACE_SECONDS, LAG_DELAYS_SECONDS
from towpath.controller.rollout.touches import AFTER_A_LOST_WRITE
from towpath.controller.service_export import AUDIT_SECONDS, ServiceExports
from towpath.derivation.derive import STALE_SECONDS
from towpath.derivation.followpolicy import export_policy
from towpath.derivation.render import Rendered, render
from towpath.derivation.stages import Write
from towpath.errors import ApiError
from towpath.inventory.inventory import Inventory
from towpath.inventory.take import take
from towpath.karmada.client import Resource
from towpath.karmada.wire import Name
from towpath.model.cluster import DRAIN_ANNOTATION
from towpath.model.keys import Dialect
from towpath.model.world import ExportedService

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
    """An inventory and a decider; each call is one reconcile pass."""

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
        """Store the derived objects in Karmada."""
        rendered = self.rendered()
        tell(self.inventory, *(_stored(obj) for obj in rendered.objects))
        return rendered

    def report(self, digests: dict[str, str]) -> None:
        """Let members report the views that they hold."""
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
    """Return the kinds that the stages write; a deletion has a minus sign."""
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


def test_exporters_that_come_together_are_written_once() -> None:
    objects = exported("web", "a", "b")
    coming = {**objects[2], "status": {"aggregatedStatus": aggregated({"a": {}})}}
    reconcile = Pass(*FLEET, USER, *objects[:2], coming, objects[3])
    early = reconcile()
    tell(reconcile.inventory, objects[2])
    together = reconcile(JOINING_GRACE_SECONDS / 2)

    assert (early.stages, early.news, early.look_again) == ((), (), NOW + JOINING_GRACE_SECONDS)
    assert not conditions(early)
    assert written(together) == [["OverridePolicy", "PropagationPolicy"], ["ServiceImport"]]


def test_ready_is_known_of_every_export_for_the_metric() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    rendered = reconcile.apply()
    reconcile()
    assert reconcile.exports.ready[key()].status == "Unknown"
    reconcile.report(dict(rendered.digests))
    reconcile()
    assert (reconcile.exports.ready[key()].status, reconcile.exports.ready[key()].reason) == (
        "True",
        "Exported",
    )


def test_a_settled_service_writes_nothing_but_its_status() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    rendered = reconcile.apply()
    reconcile.report(dict(rendered.digests))
    decision = reconcile()

    assert (decision.stages, decision.records, kinds(decision)) == ((), (), ["PatchStatus"])
    [status] = [step.make({}) for step in decision.steps if isinstance(step, PatchStatus)]
    assert [claim["path"] for claim in status["claims"]] == ["/web"]
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
    reconcile = Pass(*FLEET, USER, *objects)
    reconcile()
    found = conditions(reconcile(REFLECTION_GRACE_SECONDS))

    assert {name: found[name] for name in reasons} == reasons


def test_an_unbound_export_is_not_reported_at_once() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web"))
    reconcile.inventory.changed_at[key()] = NOW
    early, late = reconcile(0.1), reconcile(BINDING_GRACE_SECONDS)

    assert (conditions(early), early.took_up) == ({}, False)
    assert early.look_again <= NOW + BINDING_GRACE_SECONDS
    assert conditions(late)["Valid"] == "NotPropagated"


def test_a_member_that_lags_is_touched_for_after_a_while() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    rendered = reconcile.apply()
    reconcile.report(dict(rendered.digests) | {"c": "old"})

    first = reconcile()
    assert not any(isinstance(step, Touch) for step in first.steps)
    assert first.look_again == NOW + LAG_DELAYS_SECONDS[0]
    later = reconcile(3.0)
    [touch] = [step for step in later.steps if isinstance(step, Touch)]
    assert (touch.why, touch.unclaim) == ("not reported by c", False)
    assert conditions(later)["Ready"] == "Pending"
    reconcile.report(dict(rendered.digests))
    assert reconcile(4.0).latencies == (Latency(4.0, withdrawal=False),)


OVERRIDE = {
    "apiVersion": "policy.karmada.io/v1alpha1",
    "kind": "OverridePolicy",
    "metadata": {"name": "users", "namespace": "shop", "uid": "uid-of-users"},
    "spec": {
        "overrideRules": [
            {
                "targetCluster": {"clusterNames": ["c"]},
                "overriders": {
                    "plaintext": [{"path": "/spec/ports/0/port", "operator": "replace", "value": 9090}]
                },
            }
        ]
    },
}


def test_an_override_of_the_import_is_reported_and_not_touched() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"), OVERRIDE)
    reconcile.report(dict(reconcile.apply().digests) | {"c": "of other content"})
    first, later = reconcile(), reconcile(100.0)

    patches = [step for step in first.steps if isinstance(step, PatchStatus)]
    (ready,) = (c for c in patches[0].make({})["conditions"] if c["type"] == "Ready")
    assert ready["reason"] == "ImportOverridden"
    assert ready["message"].startswith("OverridePolicy shop/users in c: ")
    assert "Touch" not in kinds(first) + kinds(later)


def test_an_export_that_a_member_does_not_hold_is_touched() -> None:
    """Karmada reports a write that timed out as applied (lost write); the condition reports it in the end."""
    web, behind, bound, served = exported("web", "a", "b")
    reconcile = Pass(*FLEET, USER, web, behind, bound, served)
    reconcile.report(dict(reconcile.apply().digests))
    tell(reconcile.inventory, {**bound, "status": {"aggregatedStatus": lost_in("b")}})
    since = reconcile.inventory.world.services[key()].stale["b"] - NOW
    first, later = reconcile(since), reconcile(since + TOUCH_DELAYS_SECONDS[AFTER_A_LOST_WRITE])
    assert conditions(first)["Valid"] == "Valid"
    assert "Touch" not in kinds(first)
    (touch,) = (step for step in later.steps if isinstance(step, Touch))
    assert (touch.resource.kind, touch.why) == ("ServiceExport", "not reported by b")
    assert message(later) == "Exported by a, b."

    assert message(reconcile(since + STALE_SECONDS)).startswith("Exported by a, b. b: Karmada reports")
    tell(reconcile.inventory, bound)
    assert message(reconcile(since + STALE_SECONDS + 1)) == "Exported by a, b."


def test_an_import_whose_binding_keeps_a_cluster_is_touched() -> None:
    """A change of the policy never reached it (lost placement), and all conditions are true."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    digests = dict(reconcile.apply().digests)
    assert digests.keys() == {"b", "c"}
    reconcile.report(digests | {"a": "of before"})
    passes = [reconcile(after) for after in (0.0, 2.9, 3.0, 12.9, 13.0)]
    touches = [step for decision in passes for step in decision.steps if isinstance(step, Touch)]
    assert [touch.why for touch in touches] == ["still bound to a"] * 2
    assert {touch.resource.kind for touch in touches} == {"ServiceImport"}
    assert passes[0].look_again == NOW + TOUCH_DELAYS_SECONDS[0]

    reconcile.report(digests)
    assert "Touch" not in kinds(reconcile(100.0))


def test_an_import_on_which_others_depend_is_not_touched() -> None:
    """It is where they are, and a touch would change nothing."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    digests = dict(reconcile.apply().digests)
    template = {**IMPORT, "metadata": {"name": "web", "namespace": "shop", "uid": "uid-of-import"}}
    bound = binding(template, *digests, reported={name: {"view": view} for name, view in digests.items()})
    requirer = {"namespace": "shop", "name": "shop-deployment", "clusters": [{"name": "a"}]}
    tell(reconcile.inventory, {**bound, "spec": {**bound["spec"], "requiredBy": [requirer]}})

    assert not [after for after in (0.0, 3.0, 100.0) if "Touch" in kinds(reconcile(after))]


def test_a_claimed_import_is_touched_by_its_rollout_alone() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    rendered = reconcile.apply()
    reconcile.report(dict(rendered.digests) | {"a": "of before"})
    template = _stored(rendered.objects[-1])
    template["metadata"]["annotations"]["propagationpolicy.karmada.io/name"] = "all"
    tell(reconcile.inventory, template)

    whys = [[s.why for s in reconcile(after).steps if isinstance(s, Touch)] for after in (0.0, 3.0)]
    assert whys == [["claimed by PropagationPolicy shop/all"], []]


def test_an_export_that_changes_again_and_again_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version is on its way for a moment, and none is lost."""
    web, behind, bound, served = exported("web", "a", "b")
    reconcile = Pass(*FLEET, USER, web, behind, bound, served)
    reconcile.report(dict(reconcile.apply().digests))
    found: list[str] = []
    for number in range(10):
        after = number * TOUCH_DELAYS_SECONDS[0] / 2
        monkeypatch.setattr("time.time", lambda after=after: NOW + after)
        tell(reconcile.inventory, {**web, "spec": {"rules": [{"portNumber": 80, "path": f"/{number}"}]}})
        tell(reconcile.inventory, {**bound, "status": {"aggregatedStatus": lost_in("b")}})
        found += kinds(reconcile(after))

    assert reconcile.inventory.world.services[key()].stale.keys() >= {"b"}
    assert "Touch" not in found


def lost_in(cluster: str) -> list[Object]:
    """Return the aggregated status if a write in one cluster was lost."""
    old = {"clusterName": cluster, "applied": True, "health": "Healthy", "status": {"digest": "old"}}
    return [{**old, "clusterName": "a", "status": {}}, old]


def message(decision: Decision) -> str:
    """Return the message of Valid that the pass writes."""
    status = next(step for step in decision.steps if isinstance(step, PatchStatus)).make({})
    return str(status["conditions"][0]["message"])


def test_a_pass_that_writes_does_not_touch() -> None:
    """The time until a touch begins when the objects are written, also after writes that failed."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    reconcile.report({"c": "old"})
    for after in (0.0, 100.0):
        decision = reconcile(after)
        assert decision.stages
        assert not any(isinstance(step, Touch) for step in decision.steps)


def test_a_claim_of_another_policy_is_removed_at_once() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    template = _stored(reconcile.apply().objects[-1])
    template["metadata"]["annotations"]["propagationpolicy.karmada.io/name"] = "all"
    tell(reconcile.inventory, template)
    decision = reconcile()

    [touch] = [step for step in decision.steps if isinstance(step, Touch)]
    assert (touch.why, touch.unclaim) == ("claimed by PropagationPolicy shop/all", True)
    assert conditions(decision)["Ready"] == "ClaimedElsewhere"


def test_an_import_whose_binding_is_taken_is_not_touched() -> None:
    """Karmada goes by the other one (shared binding names): a touch would change nothing."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    reconcile.report(dict(reconcile.apply().digests) | {"c": "old"})
    other = {"apiVersion": "multicluster.flomesh.io/v1alpha1", "kind": "ServiceImport"}
    tell(
        reconcile.inventory,
        binding({**other, "metadata": {"name": "web", "namespace": "shop", "uid": "x"}}, "c"),
    )
    reconcile()
    decision = reconcile(10.0)

    assert conditions(decision)["Ready"] == "ImportNameTaken"
    assert "Touch" not in kinds(decision)


def test_an_export_whose_name_is_taken_gets_no_follow_policy() -> None:
    taken = binding(export(version="multicluster.flomesh.io/v1alpha1"), "a")
    alone = [export(), service(), binding(service(), "a")]
    follows = []
    for more in ([], [taken]):
        reconcile = Pass(*FLEET, *alone, *more)
        reconcile()
        follows.append("Write" in kinds(reconcile(USER_POLICY_GRACE_SECONDS)))

    assert follows == [True, False]


def test_overrides_go_only_when_members_hold_the_new_view() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    reconcile.report(dict(reconcile.apply().digests))
    tell(reconcile.inventory, *exported("web", "a")[2:])
    rendered = reconcile.rendered()
    tell(reconcile.inventory, *(_stored(obj) for obj in rendered.objects))
    assert "-OverridePolicy" not in str(written(reconcile()))
    reconcile.report(dict(rendered.digests))

    assert "-OverridePolicy" in str(written(reconcile(1.0)))


def withdrawn(*more: Object) -> Pass:
    """Return a service with an import and without its Service, so that the import should go."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"), *exported("other", "a"), *more)
    reconcile.apply()
    forget_service = {**binding(service()), "spec": {**binding(service())["spec"], "clusters": []}}
    tell(reconcile.inventory, forget_service)
    return reconcile


def test_an_import_without_exporters_is_deleted_last() -> None:
    reconcile = withdrawn()

    assert reconcile(idle=False).look_again < NOW + SETTLING_SECONDS
    assert written(reconcile(0.2)) == [["-ServiceImport"]]


def test_an_export_that_moves_keeps_its_import() -> None:
    """Karmada removes it from one cluster before it has applied it in the next."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    reconcile.apply()
    moved = [binding(obj, "b") for obj in exported("web")[:2]]
    for obj in moved:
        obj["status"] = {}
    tell(reconcile.inventory, *moved)

    assert (reconcile().stages, written(reconcile(SETTLING_SECONDS))) == ((), [["-ServiceImport"]])


def test_an_empty_list_withdraws_nothing() -> None:
    reconcile = withdrawn()
    reconcile.listed(False)
    first, refused = reconcile(), reconcile(CONFIRMATION_SECONDS)

    assert (first.stages, first.relist, refused.stages) == ((), True, ())
    assert conditions(refused)["Ready"] == "WithdrawalWithheld"
    assert [refusal.value for refusal in refused.refusals] == ["empty_list"]
    assert key() in reconcile.exports.withheld


def test_after_an_empty_list_not_even_a_change_is_written() -> None:
    """Events bring back only a part of the objects that a list left out."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    reconcile.apply()
    reconcile.listed(False)
    assert conditions(reconcile()).get("Ready") != "WithdrawalWithheld"
    tell(reconcile.inventory, cluster("b", "10.9.9.9:80"))
    first, refused = reconcile(), reconcile(CONFIRMATION_SECONDS)

    assert (first.stages, refused.stages) == ((), ())
    assert conditions(refused)["Ready"] == "WithdrawalWithheld"
    reconcile.listed(True)
    assert reconcile(3.0).stages


def test_an_import_of_an_unlisted_export_is_kept_at_first() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    reconcile.apply()
    forget(reconcile.inventory, export())
    reconcile.listed(False)

    assert reconcile().look_again == NOW + CONFIRMATION_SECONDS
    decision = reconcile(CONFIRMATION_SECONDS)
    assert ([r.value for r in decision.refusals], decision.relist) == (["unknown_export"], True)
    assert not decision.steps


@pytest.mark.parametrize("listed", [True, False])
def test_objects_left_by_the_garbage_collector_are_collected(listed: bool) -> None:
    """The template first, its policies when it is gone, and each only after a fresh read of the export."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    rendered = reconcile.apply()
    forget(reconcile.inventory, export())
    reconcile.listed(listed)

    assert reconcile().steps == ()
    [template] = [step for step in reconcile(GC_SECONDS).steps if isinstance(step, Collect)]
    assert (template.source.kind, [_kind(write) for write in template.writes]) == (
        "ServiceExport",
        ["-ServiceImport"],
    )
    forget(reconcile.inventory, _stored(rendered.objects[-1]))
    [policies] = [step for step in reconcile(2 * GC_SECONDS).steps if isinstance(step, Collect)]
    assert [_kind(write) for write in policies.writes] == ["-PropagationPolicy"]
    for obj in (*map(_stored, rendered.objects), binding(export())):
        forget(reconcile.inventory, obj)
    assert reconcile(3 * GC_SECONDS) == Decision(took_up=True, forgotten=reconcile(3 * GC_SECONDS).forgotten)


def test_the_policies_of_the_other_dialect_are_not_left_over() -> None:
    """Both dialects give their policies the same names."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    rendered = reconcile.apply()
    other = key()._replace(dialect=Dialect.MULTICLUSTER)
    forget(reconcile.inventory, _stored(rendered.objects[-1]))
    for after in (0.0, GC_SECONDS, 10 * GC_SECONDS):
        decision = reconcile.exports.decide(take(reconcile.inventory, other, NOW + after, idle=True))
        assert (decision.steps, decision.refusals, decision.look_again) == ((), (), math.inf)


def test_an_export_that_a_finalizer_holds_is_withdrawn_at_once() -> None:
    """The case 30: the deletion was requested, so the deletion guard is not asked."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    reconcile.apply()
    reconcile.listed(False)
    tell(reconcile.inventory, deleting(export()))
    decision = reconcile()

    assert written(decision) == [["-ServiceImport"]]
    assert conditions(decision) == {"Valid": "BeingDeleted", "Ready": "NotImported"}


def test_a_lost_exporter_becomes_an_event_with_the_reason() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    reconcile()
    drained = cluster("b")
    drained["metadata"]["annotations"]["towpath.io/drain"] = "true"
    tell(reconcile.inventory, drained)
    [(subject, news)] = reconcile(1.0).news

    assert (subject.name, news.type, news.reason) == ("web", "Warning", "Drained")


@pytest.mark.parametrize("selected", [True, False])
def test_an_export_that_no_policy_selects_follows_its_service(selected: bool) -> None:
    reconcile = Pass(*FLEET, export(), service(), binding(service(), "a"), *([USER] if selected else []))
    reconcile()
    names = [
        step.wanted["metadata"]["name"]
        for step in reconcile(USER_POLICY_GRACE_SECONDS).steps
        if isinstance(step, Write) and step.wanted
    ]

    assert names == ([] if selected else ["towpath-export-web"])


def test_a_traffic_policy_has_conditions_and_follows_imports() -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a"), policy())
    reconcile()
    decision = reconcile(USER_POLICY_GRACE_SECONDS)

    [write] = [step for step in decision.steps if isinstance(step, Write)]
    assert write.wanted
    assert write.wanted["spec"]["placement"]["clusterAffinity"]["clusterNames"] == ["b", "c"]
    [patch] = [
        s for s in decision.steps if isinstance(s, PatchStatus) and s.resource.kind == "GlobalTrafficPolicy"
    ]
    assert [c["type"] for c in patch.make({})["conditions"]] == ["Accepted", "Resolved"]


def test_a_binding_of_a_former_template_is_adopted() -> None:
    former = binding(export(uid="former"), "a")
    reconcile = Pass(*FLEET, export(), service(), binding(service(), "a"), former)

    assert reconcile().look_again <= NOW + COLLECTION_GRACE_SECONDS
    [adopt] = [step for step in reconcile(COLLECTION_GRACE_SECONDS).steps if isinstance(step, Adopt)]
    assert adopt.template.former == "former"


@pytest.mark.parametrize("kind", ["Service", "ServiceExport", "ServiceImport"])
def test_a_binding_that_a_deleted_template_left_goes(kind: str) -> None:
    """The garbage collector has missed its end (relist blindness), and what members hold stays."""
    version = "v1" if kind == "Service" else "flomesh.io/v1alpha1"
    meta = {"name": "web", "namespace": "shop", "uid": "former"}
    template: Object = {"apiVersion": version, "kind": kind, "metadata": meta}
    reconcile = Pass(*FLEET, binding(template, "a"))

    assert reconcile().look_again == NOW + COLLECTION_GRACE_SECONDS
    [adopt] = [step for step in reconcile(COLLECTION_GRACE_SECONDS).steps if isinstance(step, Adopt)]
    assert (adopt.template.resource.kind, adopt.template.former) == (kind, "former")


def test_the_binding_of_an_import_of_others_is_left_alone() -> None:
    theirs, former = (
        {**IMPORT, "metadata": {"name": "web", "namespace": "shop", "uid": uid}} for uid in ("theirs", "x")
    )
    reconcile = Pass(*FLEET, theirs, binding(former, "a"))

    assert [kinds(reconcile(after)) for after in (0.0, 10.0)] == [[], []]


def test_a_terminating_namespace_gets_no_writes() -> None:
    parts = exported("web", "a")
    reconcile = Pass(*FLEET, *parts)
    reconcile()
    tell(reconcile.inventory, NAMESPACE_GOING)

    assert (reconcile(), reconcile.exports.lagging) == (Decision(), (key(),))
    forget(reconcile.inventory, parts[0])
    assert [resource.kind for resource, _ in reconcile().forgotten] == ["ServiceExport", "ServiceImport"]
    assert reconcile.exports.lagging == ()


def test_one_snapshot_gives_the_same_decision_again() -> None:
    inventory: Inventory = knowing(*FLEET, *exported("web", "a", "b"))
    snapshot = take(inventory, key(), NOW, idle=True)

    first, second = (ServiceExports().decide(snapshot) for _ in range(2))
    assert written(first) == written(second)
    assert first.stages == second.stages


def named(kind: str, name: str, **metadata: Any) -> Object:
    """Return an object of a user with a name that Towpath derives."""
    if kind == "ServiceImport":
        return {**IMPORT, "metadata": {"name": name, "namespace": "shop", "uid": "u", **metadata}, "spec": {}}
    made = propagation(name, {"apiVersion": "v1", "kind": "ConfigMap"})
    return {**made, "kind": kind, "metadata": {**made["metadata"], **metadata}}


FORGED = {
    "labels": {"app.kubernetes.io/managed-by": "towpath"},
    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "web", "uid": "u"}],
}


class Apiserver:
    """Stores what is applied, in this order; ``fails`` as a status."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.applied: list[str] = []
        self.meanwhile: Callable[[], None] | None = None
        """What happens while the first policy is written."""

    async def apply(
        self, resource: Resource, obj: Object, _: str, *, force: bool = True, subresource: str = ""
    ) -> bytes:
        if subresource and self.fails:
            raise ApiError("no")
        if self.meanwhile:
            self.meanwhile()
            self.meanwhile = None
        self.applied.append(subresource or resource.kind)
        return msgspec.json.encode(
            {**obj, "metadata": {**obj["metadata"], "uid": "u", "resourceVersion": "1"}}
        )


@pytest.mark.parametrize("fails", [True, False], ids=["the record fails", "the record is written"])
async def test_a_path_of_an_edit_is_recorded_before_it_is_served(fails: bool) -> None:
    """Otherwise another export could take it after a restart. Policies alone serve nothing."""
    apiserver = Apiserver(fails=fails)
    status = {"conditions": [{"type": "Valid", "status": "True"}, {"type": "Theirs"}], "claims": []}
    inventory = knowing(*FLEET, USER, *exported("web", "a", "b"), client=apiserver)
    tell(inventory, {**claimed(export(generation=2), USER), "status": status})
    exports = ServiceExports()
    decision = exports.decide(take(inventory, key(), NOW, idle=True))
    [record] = decision.records
    reconciler = Reconciler(apiserver, inventory, exports, Metrics(), lambda: True)  # type: ignore[arg-type]
    with contextlib.suppress(ApiError):
        await reconciler.reconcile(key(), NOW, idle=True)

    assert record.make(status) == {
        "conditions": status["conditions"][:1],
        "offeredTo": [],
        "claims": [
            {"path": "/web", "pathType": "Prefix", "since": "2027-01-15T08:00:00Z", "clusters": ["a", "b"]}
        ],
    }
    written = ["status", "OverridePolicy", "PropagationPolicy", "ServiceImport"]
    assert apiserver.applied[:4] == (written[1:3] if fails else written)


def test_the_first_import_comes_after_the_record() -> None:
    """Policies alone serve nothing, so the record costs a new export no time."""
    rival = export("younger", (80, "/web"))
    inventory = knowing(*FLEET, USER, *exported("web", "a", "b"), *exported("younger", "b"), rival)
    decision = ServiceExports().decide(take(inventory, key(), NOW, idle=True))
    first, *rest = ([type(step).__name__ for step in stage] for stage in decision.ordered)

    assert first == ["PatchStatus", "Write", "Write"]
    assert rest == [["Write"]]


def test_an_import_stands_for_the_record_until_the_first_report() -> None:
    """Where nobody else claims the path that saves a write. The import itself changes after the record."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    first = reconcile()
    reconcile.apply()
    held = reconcile.inventory.world.services[key()].shown
    tell(reconcile.inventory, *exported("web", "a", "b"))
    further = reconcile()

    assert first.records == ()
    assert held == {("a", "/web")}
    assert written(further)
    assert [claim["clusters"] for claim in further.records[0].make({})["claims"]] == [["a", "b"]]


async def test_a_rival_heard_of_meanwhile_comes_before_the_import() -> None:
    """Otherwise both could serve the path."""
    inventory = knowing(*FLEET, USER, *exported("web", "a", "b"), client=(apiserver := Apiserver()))
    rival = [
        *exported("older", "a"),
        claimed(export("older", (80, "/web"), created="2025-01-01T00:00:00Z"), USER),
    ]
    apiserver.meanwhile = lambda: tell(inventory, *rival)
    exports = ServiceExports()
    reconciler = Reconciler(apiserver, inventory, exports, Metrics(), lambda: True)  # type: ignore[arg-type]

    assert await reconciler.reconcile(key(), NOW, idle=True) == NOW, "the pass is repeated"
    assert sorted(apiserver.applied) == ["OverridePolicy", "PropagationPolicy"]
    assert exports.decide(take(inventory, key(), NOW, idle=True)).records


def drained(name: str) -> Object:
    made = cluster(name)
    made["metadata"]["annotations"][DRAIN_ANNOTATION] = "true"
    return made


@pytest.mark.parametrize(
    ("rules", "further", "recorded"),
    [
        ([(80, "/web")], [], False),
        ([(80, "/other"), (80, "/web")], [], True),
        ([(80, "/web")], [drained("b")], True),
    ],
    ids=["all is shown", "two rules of one port", "a cluster is drained"],
)
def test_what_the_import_does_not_show_is_recorded_before_it(
    rules: list[tuple[int, str]], further: list[Object], recorded: bool
) -> None:
    """Nothing would stand for the record."""
    made = claimed(export("web", *rules), USER)
    inventory = knowing(*FLEET, USER, *exported("web", "a", "b"), made, *further)
    decision = ServiceExports().decide(take(inventory, key(), NOW, idle=True))

    assert "ServiceImport" in written(decision)[-1]
    assert bool(decision.records) is recorded


def test_a_record_is_removed_though_it_is_too_early_for_a_status() -> None:
    """An export that waits for the path gets it at once."""
    before = {"path": "/before", "pathType": "Prefix", "since": "2026-01-01T00:00:00Z", "clusters": ["a"]}
    inventory = knowing(*FLEET, USER, *exported("web", "a", "b"))
    tell(inventory, {**claimed(export(generation=2), USER), "status": {"claims": [before]}})
    decision = ServiceExports().decide(take(inventory, key(), NOW, idle=True))
    [record] = decision.records

    assert conditions(decision) == {}
    assert [claim["path"] for claim in record.make({})["claims"]] == ["/web"]


OWNED = {
    "labels": FORGED["labels"],
    "ownerReferences": [{"apiVersion": GROUP, "kind": "ServiceExport", "name": "web", "uid": "uid-of-web"}],
}
SELECTING = {"resourceSelectors": [{**IMPORT, "name": "web"}]}


@pytest.mark.parametrize(
    "theirs",
    [
        named("PropagationPolicy", "towpath-import-web"),
        named("OverridePolicy", "towpath-import-web"),
        named("PropagationPolicy", "towpath-import-web", **FORGED),
        named("OverridePolicy", "towpath-import-web", **FORGED),
        {
            **named("OverridePolicy", "towpath-import-web", **OWNED),
            "spec": {**SELECTING, "overriders": {"x": 1}},
        },
        named("ServiceImport", "web"),
        named("ServiceImport", "web", **FORGED),
    ],
    ids=lambda obj: f"{obj['kind']}, {'labelled' if 'labels' in obj['metadata'] else 'not labelled'}",
)
def test_a_derived_name_in_use_is_a_reason(theirs: Object) -> None:
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"), theirs)
    reconcile.inventory.reflecting = True
    decision, later = reconcile(), reconcile(100.0)

    assert decision.stages == ()
    assert "Touch" not in kinds(later), "an import of others, or none"
    assert reconcile.exports.ready[key()].reason == "DerivedNameInUse"
    assert reconcile.exports.ready[key()].message.startswith(
        f"{theirs['kind']} shop/{theirs['metadata']['name']}: "
    )
    assert "Write" not in kinds(decision)


def test_a_policy_in_the_name_of_the_younger_export_is_a_reason() -> None:
    """Only a user can have made it, and the plugin would fail to write over it again and again."""
    later = export(
        version=Dialect.MULTICLUSTER.api_version, created="2026-02-01T00:00:00Z", uid="uid-of-twin"
    )
    forged = {**named("PropagationPolicy", "towpath-import-web", labels=FORGED["labels"]), "spec": SELECTING}
    reconcile = Pass(*FLEET, USER, *exported("web", "a"), later, owned_by(forged, "uid-of-twin"))

    assert reconcile().stages == ()
    assert reconcile.exports.ready[key()].reason == "DerivedNameInUse"


def test_a_follow_name_in_use_is_a_reason() -> None:
    objects = exported("web", "a", "b")
    theirs = named("PropagationPolicy", "towpath-export-web")
    reconcile = Pass(*FLEET, *objects[:2], objects[3], theirs)
    reconcile()
    decision = reconcile(2 * USER_POLICY_GRACE_SECONDS)

    assert not [step for step in decision.steps if isinstance(step, Write)]
    assert reconcile.exports.ready[key()].reason == "DerivedNameInUse"


def owned_by(obj: Object, *uids: str, version: str = GROUP, **spec: Any) -> Object:
    """Return a derived object as exports of these uids own it, with further fields in its spec."""
    kind = "GlobalTrafficPolicy" if "traffic" in obj["metadata"]["name"] else "ServiceExport"
    owner = {"apiVersion": version, "kind": kind, "name": "web"}
    owners = [{**owner, "uid": uid} for uid in uids]
    return {
        **obj,
        "metadata": {**obj["metadata"], "ownerReferences": owners},
        "spec": {**obj["spec"], **spec},
    }


def follow_policy(kind: str = "ServiceExport") -> Object:
    """Return the follow policy of the export or of the traffic policy, for cluster ``c`` alone."""
    service = ExportedService(key(), "uid-of-web", {}, serving=frozenset("c"), selected=False)
    made = export_policy(service, "abc")
    assert made is not None
    prefix = "export" if kind == "ServiceExport" else "traffic"
    meta = {**made["metadata"], "name": f"towpath-{prefix}-web", "uid": "uid-of-import"}
    selectors = [{**made["spec"]["resourceSelectors"][0], "kind": kind}]
    return owned_by({**made, "metadata": meta}, "uid-of-web", resourceSelectors=selectors)


@pytest.mark.parametrize("former", [(), ("former",)], ids=["no owner", "a former owner"])
@pytest.mark.parametrize("first", ["left", "made again"])
def test_what_an_export_has_left_is_taken_over(former: tuple[str, ...], first: str) -> None:
    """Of a former export of the name, or of one that was deleted without its dependents."""
    objects = [USER, *exported("web", "a", "b")]
    left = [owned_by(_stored(obj), *former) for obj in Pass(*FLEET, *objects).rendered().objects]
    reconcile = Pass(*FLEET, *(left + objects if first == "left" else objects + left))

    writes = [write for stage in reconcile().stages for write in stage]
    assert [write.live is not None for write in writes] == [True] * 3
    assert {write.wanted["metadata"]["ownerReferences"][0]["uid"] for write in writes if write.wanted} == {
        "uid-of-web"
    }
    assert reconcile.exports.ready[key()].reason != "DerivedNameInUse"


@pytest.mark.parametrize("former", [(), ("former",)], ids=["no owner", "a former owner"])
@pytest.mark.parametrize("first", ["left", "made again"])
def test_a_follow_policy_that_was_left_is_taken_over(former: tuple[str, ...], first: str) -> None:
    objects = [*exported("web", "a", "b"), policy("web")]
    left = [owned_by(follow_policy(kind), *former) for kind in ("ServiceExport", "GlobalTrafficPolicy")]
    reconcile = Pass(*FLEET, *(left + objects if first == "left" else objects + left))
    writes = [step for step in reconcile().steps if isinstance(step, Write)]

    owners = {
        write.wanted["metadata"]["name"]: write.wanted["metadata"]["ownerReferences"]
        for write in writes
        if write.wanted
    }
    owner = {"apiVersion": GROUP, "name": "web", "uid": "uid-of-web"}
    assert owners == {
        "towpath-export-web": [{**owner, "kind": "ServiceExport"}],
        "towpath-traffic-web": [{**owner, "kind": "GlobalTrafficPolicy"}],
    }


@pytest.mark.parametrize("former", [(), ("former",)], ids=["no owner", "a former owner"])
def test_the_policy_of_a_traffic_policy_that_is_gone_goes(former: tuple[str, ...]) -> None:
    """The garbage collector has its time first, and a policy of the other API group stays."""
    left = owned_by(follow_policy("GlobalTrafficPolicy"), *former)
    reconcile = Pass(*FLEET, USER, *exported("web", "a"), left)

    def collected(after: float, dialect: Dialect = Dialect.FLOMESH) -> list[Collect]:
        asked = key()._replace(dialect=dialect)
        decision = reconcile.exports.decide(take(reconcile.inventory, asked, NOW + after, idle=True))
        return [step for step in decision.steps if isinstance(step, Collect)]

    other = Dialect.MULTICLUSTER
    assert collected(0) == collected(GC_SECONDS - 1) == []
    assert collected(0, other) == collected(GC_SECONDS, other) == []
    (step,) = collected(GC_SECONDS)
    (write,) = step.writes
    assert (step.source.kind, step.name) == ("GlobalTrafficPolicy", Name("shop", "web"))
    assert write.live is not None
    assert (write.live["metadata"]["name"], write.wanted) == ("towpath-traffic-web", None)
    tell(reconcile.inventory, policy("web"))
    assert collected(2 * GC_SECONDS) == []


def test_policies_of_the_other_dialects_export_stay() -> None:
    """The younger export of a name exports nothing, and the policies of the older one are not its own."""
    other = key()._replace(dialect=Dialect.MULTICLUSTER)
    later = export(version=other.dialect.api_version, created="2026-02-01T00:00:00Z", uid="uid-of-twin")
    reconcile = Pass(*FLEET, USER, *exported("web", "a"), later)
    reconcile.apply()
    tell(reconcile.inventory, follow_policy())
    for after in (0.0, 2 * USER_POLICY_GRACE_SECONDS, 10 * GC_SECONDS):
        decision = reconcile.exports.decide(take(reconcile.inventory, other, NOW + after, idle=True))
        assert decision.stages == ()
        assert not [step for step in decision.steps if isinstance(step, Write | Collect)]
    assert take(reconcile.inventory, key(), NOW, idle=True).current.propagation is not None


def test_clusters_bound_to_an_import_or_a_former_one_are_known() -> None:
    """The scheduler is late: what such a cluster would be sent has to be right for it."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a"))
    reconcile.apply()
    former = {**IMPORT, "metadata": {"name": "web", "namespace": "shop", "uid": "uid-of-a-former-one"}}
    tell(reconcile.inventory, binding(former, "a", "b"))
    assert take(reconcile.inventory, key(), NOW, idle=True).current.bound == {"a", "b"}
    other = key()._replace(dialect=Dialect.MULTICLUSTER)
    assert take(reconcile.inventory, other, NOW, idle=True).current.bound == set()


def test_policies_of_a_deleted_export_go_to_the_other_dialect() -> None:
    """The first withdraws its import alone, and the second takes the policies over."""
    other = key()._replace(dialect=Dialect.MULTICLUSTER)
    objects = exported("web", "a", version=other.dialect.api_version, uid="uid-of-twin")
    first = export(created="2025-01-01T00:00:00Z")
    reconcile = Pass(*FLEET, *objects, first)
    left = [_stored(obj) for obj in Pass(*FLEET, USER, *exported("web", "a", "b")).rendered().objects]
    tell(reconcile.inventory, *left, deleting(first))
    taken = take(reconcile.inventory, other, NOW, idle=True).current

    assert (taken.propagation is not None, len(taken.overrides)) == (True, 1)
    tell(
        reconcile.inventory,
        *(owned_by(obj, "uid-of-twin", version=other.dialect.api_version) for obj in left[:2]),
    )
    forget(reconcile.inventory, left[2])
    assert reconcile().stages == ()


def test_a_policy_that_selects_more_is_ours_by_its_owner_alone() -> None:
    """A user may have edited it while the webhook was away: then it is restored."""
    reconcile = Pass(*FLEET, USER, *exported("web", "a", "b"))
    [edited] = [_stored(obj) for obj in reconcile.apply().objects if obj["kind"] == "PropagationPolicy"]
    more = [*edited["spec"]["resourceSelectors"], {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}]
    reasons, writes = {}, {}
    for uids in (("uid-of-web",), ("former",), ()):
        tell(reconcile.inventory, owned_by(edited, *uids, resourceSelectors=more))
        writes[uids] = written(reconcile())
        reasons[uids] = reconcile.exports.ready[key()].reason

    assert writes == {("uid-of-web",): [["PropagationPolicy"]], ("former",): [], (): []}
    assert reasons[("former",)] == reasons[()] == "DerivedNameInUse" != reasons[("uid-of-web",)]


def bringing(*objects: Object) -> Pass:
    """Return a pass where cluster c has the data path and imports what a exports."""
    data_path = {
        **cluster("c"),
        "metadata": {**cluster("c")["metadata"], "labels": {"towpath.io/data-path": "net"}},
    }
    return Pass(cluster("a"), data_path, *exported("web", "a"), *objects)


def of_service(decision: Decision) -> list[tuple[list[str], bool]]:
    """Return the clusters of each policy of the Service that is written; none for its deletion."""
    found = []
    for number, stage in enumerate(decision.stages):
        for live, wanted in stage:
            if (wanted or live or {})["metadata"]["name"] == "towpath-service-web":
                rules = wanted["spec"]["overrideRules"] if wanted else []
                found.append(([n for r in rules for n in r["targetCluster"]["clusterNames"]], number == 0))
    return found


def required(*clusters: str) -> Object:
    """Return the binding of the Service that the import brings to clusters."""
    bound = exported("web", "a")[3]
    requirer = {"namespace": "shop", "name": "web-serviceimport", "clusters": [{"name": n} for n in clusters]}
    return {**bound, "spec": {**bound["spec"], "requiredBy": [requirer]}}


def test_a_service_is_made_plain_before_its_import_brings_it() -> None:
    bring = bringing()

    assert of_service(bring()) == [(["c"], True)]


def test_the_plain_service_stays_plain_until_it_has_left() -> None:
    bring = bringing(required("c"))
    (wanted,) = [
        w for s in bring().stages for _, w in s if w and w["metadata"]["name"] == "towpath-service-web"
    ]
    tell(bring.inventory, {**wanted, "metadata": {**wanted["metadata"], "uid": "u"}})
    bring.apply()
    assert of_service(bring()) == []

    forget(bring.inventory, exported("web", "a")[0])
    assert of_service(bring()) == [], "the Service is still there"

    tell(bring.inventory, required())
    assert of_service(bring()) == [([], True)]


def test_without_the_data_path_no_service_is_changed() -> None:
    assert of_service(Pass(*FLEET, *exported("web", "a"))()) == []


def test_what_is_left_to_others_goes_at_once() -> None:
    """The members keep it, so no limit protects anything, and a fleet has thousands."""
    service = Pass(*FLEET, USER, *exported("web", "a"), *exported("other", "a"))
    service.apply()
    export = exported("web", "a")[0]
    released = {"towpath.io/released": ",".join(obj["metadata"]["name"] for obj in FLEET)}
    tell(service.inventory, {**export, "metadata": {**export["metadata"], "annotations": released}})

    assert written(service(idle=False)) == [["-ServiceImport"]]
