"""The status of an export that Karmada gets, beside the one that the controller writes for the same world."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.support.inventories import (
    GROUP,
    Object,
    aggregated,
    binding,
    carry,
    clusters,
    export,
    exported,
    invalid,
    key,
    knowing,
    metadata,
    tell,
)
from tests.support.standin import answered_by
from towpath.controller.metrics import Metrics
from towpath.controller.reconciler import Reconciler
from towpath.controller.rollout.decide import REFLECTION_GRACE_SECONDS
from towpath.controller.service_export import ServiceExports
from towpath.inventory.inventory import Inventory
from towpath.inventory.take import take
from towpath.karmada import decode
from towpath.karmada.client import Client
from towpath.model.claim import ClaimRecord
from towpath.model.keys import ServiceKey
from towpath.review.status import Aggregation, StatusQuestion

NOW = 1_800_000_000.0
STAMP = "2027-01-15T08:00:00Z"
EARLIER = "2026-06-01T00:00:00Z"
FLEET = clusters("a", "b", "c")
WEB, SERVICE, WEB_BINDING, SERVICE_BINDING = exported("web", "a", "b")
NET = {"towpath.io/data-path": "net"}
ROUTED = {"towpath.io/gateway": "10.0.0.1", "towpath.io/gateway-route": "HTTPRoute/infra/public"}
UNREADY: Object = {"conditions": [{"type": "Serving", "status": "False", "reason": "NoReadyPod"}]}
FOREIGN: Object = {
    "type": "Their",
    "status": "True",
    "reason": "R",
    "message": "m",
    "lastTransitionTime": EARLIER,
}


def asked(obj: Object, reported: Mapping[str, Object] | None = None) -> StatusQuestion:
    meta = obj["metadata"]
    items = aggregated({"a": {}, "b": {}} | dict(reported or {}))
    copies = decode.copies_of("ServiceExport", msgspec.json.encode({"aggregatedStatus": items}))
    return StatusQuestion(key(), meta["uid"], meta["generation"], obj.get("status", {}), copies)


def say(status: Mapping[str, Any] | None) -> dict[str, tuple[str, str, str]]:
    assert status is not None
    return {c["type"]: (c["status"], c["reason"], c["lastTransitionTime"]) for c in status["conditions"]}


def with_status(obj: Object, status: Mapping[str, Any] | None) -> Object:
    return obj if status is None else {**obj, "status": status}


@pytest.fixture
def inventory() -> Inventory:
    return knowing(*FLEET, WEB, SERVICE, WEB_BINDING, SERVICE_BINDING)


def test_reports_of_members_count_at_once(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, {})
    fine = aggregation.status(asked(WEB), NOW)
    assert say(fine) == {
        "Valid": ("True", "Valid", STAMP),
        "Conflict": ("False", "NoConflicts", STAMP),
        "Ready": ("Unknown", "NotReported", STAMP),
    }
    assert fine
    assert fine["offeredTo"] == ["a", "b", "c"]
    status = aggregation.status(asked(WEB, {"a": invalid("no such port")}), NOW)
    assert status
    assert "Left out: a (RefusedInMember: no such port)." in status["conditions"][0]["message"]
    assert status["offeredTo"] == ["a", "c"]
    both = {"a": invalid("no"), "b": invalid("no")}
    assert say(aggregation.status(asked(WEB, both), NOW))["Valid"] == ("False", "RefusedInMember", STAMP)


def test_pods_that_are_not_ready_count_at_once() -> None:
    """The status says what the controller says as soon as the binding has the report."""
    members = [{**obj, "metadata": {**obj["metadata"], "labels": NET}} for obj in FLEET]
    inventory = knowing(*members, WEB, SERVICE, WEB_BINDING, SERVICE_BINDING)
    carry(inventory)
    aggregation, controller = Aggregation(inventory, {}), ServiceExports()
    assert say(aggregation.status(asked(WEB), NOW))["Ready"] == ("True", "Exported", STAMP)
    status = aggregation.status(asked(WEB, {"a": UNREADY}), NOW)
    tell(inventory, binding(WEB, "a", "b", reported={"a": UNREADY}))
    controller.decide(take(inventory, key(), NOW, idle=True))
    wanted = controller.ready[key()]
    assert status
    assert wanted.message.startswith("a: The Service has no ready pod")
    (ready,) = (c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == wanted[1:]


def test_a_route_that_is_not_accepted_is_told() -> None:
    gateway = {**FLEET[0], "metadata": {**FLEET[0]["metadata"], "annotations": ROUTED}}
    inventory = knowing(gateway, *FLEET[1:], WEB, SERVICE, WEB_BINDING, SERVICE_BINDING)
    carry(inventory)
    controller = ServiceExports()
    controller.decide(take(inventory, key(), NOW, idle=True))
    wanted = controller.ready[key()]
    assert wanted.message.startswith("a: The gateway of the cluster has not reported the route yet.")
    aggregation = Aggregation(inventory, {})
    status = aggregation.status(asked(WEB), NOW)
    assert status
    (ready,) = (c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == wanted[1:]
    tell(inventory, FLEET[0])
    assert say(aggregation.status(asked(WEB), NOW))["Ready"][1] != "RoutePending"


def test_an_outdated_report_is_removed(inventory: Inventory) -> None:
    """It is a question, and no news: the world is what the watch brings."""
    aggregation = Aggregation(inventory, {})
    before = inventory.world.derived(key(), NOW)
    aggregation.status(asked(WEB, {"a": invalid("no")}), NOW)
    assert inventory.world.derived(key(), NOW) is before


def test_a_report_that_is_gone_is_gone() -> None:
    inventory = knowing(
        *FLEET, WEB, SERVICE, binding(WEB, "a", "b", reported={"a": invalid("no")}), SERVICE_BINDING
    )
    status = Aggregation(inventory, {}).status(asked(WEB, {}), NOW)
    assert status
    assert "Left out" not in status["conditions"][0]["message"]


def test_an_equal_status_is_left_alone(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, {})
    status = aggregation.status(asked(WEB), NOW)
    assert aggregation.status(asked(with_status(WEB, status)), NOW + 1000) is None


def test_the_same_question_gets_the_same_answer(inventory: Inventory) -> None:
    """Also later, while the answer is still on its way to the store."""
    aggregation = Aggregation(inventory, {})
    first = aggregation.status(asked(WEB), NOW)
    assert aggregation.status(asked(WEB), NOW + 1000) == first
    bad = asked(WEB, {"a": invalid("no"), "b": invalid("no")})
    assert say(aggregation.status(bad, NOW + 2000))["Conflict"] == ("False", "NoConflicts", STAMP)


def test_times_are_those_of_the_last_change(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, {})
    both = {"a": invalid("no"), "b": invalid("no")}
    wrong = with_status(WEB, aggregation.status(asked(WEB, both), NOW))
    right = with_status(WEB, aggregation.status(asked(wrong), NOW + 60))
    assert say(right["status"])["Valid"] == ("True", "Valid", "2027-01-15T08:01:00Z")
    assert say(right["status"])["Conflict"][2] == STAMP
    # The status has been correct since: an earlier time is not the time of this change.
    again = aggregation.status(asked(right, both), NOW + 120)
    assert say(again)["Valid"] == ("False", "RefusedInMember", "2027-01-15T08:02:00Z")


def test_an_old_status_gets_the_times_of_the_newest(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, {})
    old = with_status(WEB, aggregation.status(asked(WEB), NOW))
    wrong = with_status(
        WEB, aggregation.status(asked(old, {"a": invalid("no"), "b": invalid("no")}), NOW + 60)
    )
    right = with_status(WEB, aggregation.status(asked(wrong), NOW + 120))
    tell(inventory, right)
    assert say(aggregation.status(asked(old), NOW + 180)) == say(right["status"])
    assert say(right["status"])["Valid"] == ("True", "Valid", "2027-01-15T08:02:00Z")


def test_conditions_of_others_stay_in_place(inventory: Inventory) -> None:
    there = {"conditions": [FOREIGN], "theirs": 1}
    status = Aggregation(inventory, {}).status(asked(with_status(WEB, there)), NOW)
    assert status
    assert status["conditions"][0] == FOREIGN
    assert [c["type"] for c in status["conditions"]] == ["Their", "Valid", "Conflict", "Ready"]
    assert status["theirs"] == 1


def test_a_status_field_that_a_foreign_crd_drops_is_written_once(inventory: Inventory) -> None:
    """ErieCanal's and FSM's own have no offeredTo."""
    aggregation = Aggregation(inventory, {})
    status = aggregation.status(asked(WEB), NOW)
    assert status
    dropped = {"conditions": status["conditions"]}
    assert aggregation.status(asked(with_status(WEB, dropped)), NOW) is None


@pytest.mark.parametrize(
    "question",
    [
        asked(export("web", uid="another")),
        asked(export(generation=2)),
        asked(export(generation=0)),
        StatusQuestion(key("other"), "uid-of-other", 1, {}, decode.Copies()),
    ],
)
def test_an_unknown_status_is_not_changed(inventory: Inventory, question: StatusQuestion) -> None:
    assert Aggregation(inventory, {}).status(question, NOW) is None


def test_exports_that_are_gone_are_forgotten(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, {})
    for number in range(300):
        again = with_status(export(uid=f"uid-{number}"), {"conditions": [FOREIGN]})
        tell(inventory, again)
        aggregation.status(asked(again), NOW)
    assert len(aggregation._answered) < 150
    assert len(aggregation._rendered) < 150


def test_on_the_way_up_karmada_hears_nothing_yet() -> None:
    """Neither before the controller reports, nor where an export has no status and is not bound."""
    up = knowing(*FLEET, WEB, SERVICE, WEB_BINDING, SERVICE_BINDING)
    assert Aggregation(up, {}, {key()}).status(asked(WEB), NOW) is None
    assert Aggregation(up, {}).status(asked(WEB), NOW) is not None
    unbound = knowing(*FLEET, WEB, SERVICE, WEB_BINDING)
    assert Aggregation(unbound, {}).status(asked(WEB), NOW) is None


class Store:
    """The apiserver's side: server-side apply of a status to the one export there is. It counts these."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self.writes = 0
        self._version = itertools.count(10**9)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "/serviceexports/" not in request.path:
            meta = {**body.get("metadata", {}), "uid": "made", "resourceVersion": str(next(self._version))}
            return web.json_response({**body, "metadata": meta})
        assert request.query["force"] == "true", "or what Karmada has written is a conflict for ever"
        self.writes += 1
        self.apply(body["status"])
        return web.json_response(self.obj)

    def apply(self, status: Object) -> None:
        there = self.obj.get("status", {})
        mine = {c["type"]: c for c in status["conditions"]}
        kept = [mine.pop(c["type"], c) for c in there.get("conditions", [])]
        self.put({**there, **status, "conditions": [*kept, *mine.values()]})

    def put(self, status: Mapping[str, Any]) -> None:
        meta = {**self.obj["metadata"], "resourceVersion": str(next(self._version))}
        self.obj = {**self.obj, "metadata": meta, "status": dict(status)}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Store, Client]]:
    kept = Store(WEB)
    async with answered_by(kept.answer, tmp_path) as client:
        yield kept, client


THEIRS: Object = {"apiVersion": GROUP, "kind": "ServiceImport", "metadata": metadata("web"), "spec": {}}
"""Of a user: so nothing is written but statuses, and none waits for what is written."""


def canonical(status: object) -> bytes:
    return msgspec.json.encode(status, order="sorted")


BAD: dict[str, Mapping[str, Object]] = {
    "nobody": {},
    "one": {"a": invalid("no such port")},
    "all": {"a": invalid("no"), "b": invalid("no")},
}


@pytest.mark.parametrize("there", [{}, {"conditions": [FOREIGN], "theirs": 1}])
@pytest.mark.parametrize("first", ["karmada", "controller"])
@pytest.mark.parametrize("sequence", [("one",), ("all",), ("one", "nobody", "all", "one")])
async def test_karmada_and_the_controller_write_the_same(
    store: tuple[Store, Client],
    there: Object,
    first: str,
    sequence: tuple[str, ...],
) -> None:
    kept, client = store
    kept.obj = with_status(WEB, there)
    inventory = knowing(*FLEET, kept.obj, SERVICE, WEB_BINDING, SERVICE_BINDING, THEIRS, client=client)
    exports = ServiceExports()
    reconciler = Reconciler(client, inventory, exports, Metrics(), lambda: True)
    aggregation = Aggregation(inventory, exports.withheld)
    for step, name in enumerate(("nobody", *sequence)):
        now = NOW + 60 * step
        reported = BAD[name]
        question = asked(kept.obj, reported)
        status = aggregation.status(question, now)
        assert status is not None, "each step changes something"
        if first == "karmada":  # its own write is there before the binding's event
            kept.put(status)
            inventory.watched.exports[key().dialect].learn(msgspec.json.encode(kept.obj))
        tell(inventory, binding(WEB, "a", "b", reported=reported))
        if not step:  # at first it is too early to say that no member reports anything
            await reconciler.reconcile(key(), now - REFLECTION_GRACE_SECONDS, idle=True)
        await reconciler.reconcile(key(), now, idle=True)
        assert canonical(kept.obj["status"]) == canonical(status)
        # And neither has anything to add, to the new status and also to the old one, asked again later.
        assert aggregation.status(asked(kept.obj, reported), now + 30) is None
        assert canonical(aggregation.status(question, now + 30)) == canonical(status)
        writes = kept.writes
        await reconciler.reconcile(key(), now + 30, idle=True)
        assert kept.writes == writes


async def test_claims_begin_with_the_first_import(store: tuple[Store, Client]) -> None:
    """No status after that changes them."""
    kept, client = store
    inventory = knowing(*FLEET, WEB, SERVICE, WEB_BINDING, SERVICE_BINDING, THEIRS, client=client)
    reconciler = Reconciler(client, inventory, ServiceExports(), Metrics(), lambda: True)
    await reconciler.reconcile(key(), NOW - REFLECTION_GRACE_SECONDS, idle=True)
    await reconciler.reconcile(key(), NOW, idle=True)

    claim = {"path": "/web", "pathType": "Prefix", "since": STAMP, "clusters": ["a", "b"]}
    assert kept.obj["status"]["claims"] == [claim]
    inventory.watched.exports[key().dialect].learn(msgspec.json.encode(kept.obj))
    writes = kept.writes
    await reconciler.reconcile(key(), NOW + 3600, idle=True)
    assert (kept.obj["status"]["claims"], kept.writes) == ([claim], writes)


@pytest.mark.parametrize(
    ("status", "claims"),
    [
        pytest.param({}, (), id="never reported"),
        pytest.param({"conditions": [FOREIGN]}, None, id="reported without a record"),
        pytest.param({"conditions": [FOREIGN], "claims": []}, (), id="nothing claimed"),
        pytest.param({"claims": [{"path": 5}]}, None, id="what a foreign CRD allows"),
        pytest.param(
            {"claims": [{"path": "/x", "pathType": "Exact", "since": STAMP, "clusters": ["a"]}]},
            (ClaimRecord("/x", "Exact", STAMP, ("a",)),),
            id="recorded",
        ),
    ],
)
def test_what_a_status_records(status: Object, claims: tuple[ClaimRecord, ...] | None) -> None:
    stored = decode.service_export(msgspec.json.encode(with_status(WEB, status)))
    assert stored is not None
    assert stored.claims == claims


@pytest.mark.parametrize("kept", [{}, {key(): ""}])
def test_an_import_that_may_not_go_is_reported_as_kept(kept: Mapping[ServiceKey, str]) -> None:
    inventory = knowing(*FLEET, WEB, SERVICE, WEB_BINDING)
    status = Aggregation(inventory, kept).status(asked(with_status(WEB, {"conditions": [FOREIGN]})), NOW)
    reason = "WithdrawalWithheld" if kept else "NotImported"
    assert say(status)["Ready"] == ("False", reason, STAMP)
