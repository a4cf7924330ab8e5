"""The status that Karmada is told of an export, next to what the controller writes of the same world."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.support.inventories import (
    Object,
    aggregated,
    binding,
    clusters,
    export,
    exported,
    invalid,
    key,
    knowing,
    tell,
)
from tests.support.standin import answered_by
from towpath.controller.metrics import Metrics
from towpath.controller.reconciler import Reconciler
from towpath.controller.rollout.decide import REFLECTION_GRACE_SECONDS
from towpath.controller.service_export import ServiceExports
from towpath.inventory.inventory import Inventory
from towpath.karmada import decode
from towpath.karmada.client import Client
from towpath.model.keys import ServiceKey
from towpath.review.status import Aggregation, StatusQuestion

NOW = 1_800_000_000.0
STAMP = "2027-01-15T08:00:00Z"
EARLIER = "2026-06-01T00:00:00Z"
FLEET = clusters("a", "b", "c")
WEB, SERVICE, WEB_BINDING, SERVICE_BINDING = exported("web", "a", "b")
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


def test_what_members_report_counts_at_once(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, ())
    fine = aggregation.status(asked(WEB), NOW)
    assert say(fine) == {
        "Valid": ("True", "Valid", STAMP),
        "Conflict": ("False", "NoConflicts", STAMP),
        "Ready": ("Unknown", "NotReported", STAMP),
    }
    assert fine
    assert fine["offeredTo"] == ["a", "b", "c"]
    one = aggregation.status(asked(WEB, {"a": invalid("no such port")}), NOW)
    assert one
    assert "Left out: a (RefusedInMember: no such port)." in one["conditions"][0]["message"]
    assert one["offeredTo"] == ["a", "c"]
    both = {"a": invalid("no"), "b": invalid("no")}
    assert say(aggregation.status(asked(WEB, both), NOW))["Valid"] == ("False", "RefusedInMember", STAMP)


def test_what_is_reported_does_not_stay(inventory: Inventory) -> None:
    """It is a question, and no news: the world is what the watch brings."""
    aggregation = Aggregation(inventory, ())
    before = inventory.world.derived(key(), NOW)
    aggregation.status(asked(WEB, {"a": invalid("no")}), NOW)
    assert inventory.world.derived(key(), NOW) is before


def test_a_report_that_is_gone_is_gone() -> None:
    inventory = knowing(
        *FLEET, WEB, SERVICE, binding(WEB, "a", "b", reported={"a": invalid("no")}), SERVICE_BINDING
    )
    status = Aggregation(inventory, ()).status(asked(WEB, {}), NOW)
    assert status
    assert "Left out" not in status["conditions"][0]["message"]


def test_what_says_so_already_is_left_alone(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, ())
    status = aggregation.status(asked(WEB), NOW)
    assert aggregation.status(asked(with_status(WEB, status)), NOW + 1000) is None


def test_the_same_question_gets_the_same_answer(inventory: Inventory) -> None:
    """Also later, while the answer is still on its way to the store."""
    aggregation = Aggregation(inventory, ())
    first = aggregation.status(asked(WEB), NOW)
    assert aggregation.status(asked(WEB), NOW + 1000) == first
    bad = asked(WEB, {"a": invalid("no"), "b": invalid("no")})
    assert say(aggregation.status(bad, NOW + 2000))["Conflict"] == ("False", "NoConflicts", STAMP)


def test_times_are_those_of_the_last_change(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, ())
    both = {"a": invalid("no"), "b": invalid("no")}
    wrong = with_status(WEB, aggregation.status(asked(WEB, both), NOW))
    right = with_status(WEB, aggregation.status(asked(wrong), NOW + 60))
    assert say(right["status"])["Valid"] == ("True", "Valid", "2027-01-15T08:01:00Z")
    assert say(right["status"])["Conflict"][2] == STAMP
    # It has been right since: what was said before that is no time of this change.
    again = aggregation.status(asked(right, both), NOW + 120)
    assert say(again)["Valid"] == ("False", "RefusedInMember", "2027-01-15T08:02:00Z")


def test_an_old_status_gets_the_times_of_the_newest(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, ())
    old = with_status(WEB, aggregation.status(asked(WEB), NOW))
    wrong = with_status(
        WEB, aggregation.status(asked(old, {"a": invalid("no"), "b": invalid("no")}), NOW + 60)
    )
    right = with_status(WEB, aggregation.status(asked(wrong), NOW + 120))
    tell(inventory, right)
    assert say(aggregation.status(asked(old), NOW + 180)) == say(right["status"])
    assert say(right["status"])["Valid"] == ("True", "Valid", "2027-01-15T08:02:00Z")


def test_what_others_have_put_there_stays_in_its_place(inventory: Inventory) -> None:
    there = {"conditions": [FOREIGN], "theirs": 1}
    status = Aggregation(inventory, ()).status(asked(with_status(WEB, there)), NOW)
    assert status
    assert status["conditions"][0] == FOREIGN
    assert [c["type"] for c in status["conditions"]] == ["Their", "Valid", "Conflict", "Ready"]
    assert status["theirs"] == 1


def test_what_a_foreign_crd_drops_is_not_said_for_ever(inventory: Inventory) -> None:
    """ErieCanal's and FSM's own have no offeredTo."""
    aggregation = Aggregation(inventory, ())
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
def test_what_is_not_known_so_is_not_changed(inventory: Inventory, question: StatusQuestion) -> None:
    assert Aggregation(inventory, ()).status(question, NOW) is None


def test_exports_that_are_gone_are_forgotten(inventory: Inventory) -> None:
    aggregation = Aggregation(inventory, ())
    for number in range(300):
        again = export(uid=f"uid-{number}")
        tell(inventory, again)
        aggregation.status(asked(again), NOW)
    assert len(aggregation._answered) < 150
    assert len(aggregation._rendered) < 150


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
    inventory = knowing(*FLEET, kept.obj, SERVICE, WEB_BINDING, SERVICE_BINDING, client=client)
    exports = ServiceExports()
    reconciler = Reconciler(client, inventory, exports, Metrics(), lambda: True)
    aggregation = Aggregation(inventory, exports.withheld)
    for step, name in enumerate(("nobody", *sequence)):
        now = NOW + 60 * step
        reported = BAD[name]
        question = asked(kept.obj, reported)
        told = aggregation.status(question, now)
        assert told is not None, "each step changes something"
        if first == "karmada":  # its own write is there before the binding's event
            kept.put(told)
            inventory.watched.exports[key().dialect].learn(msgspec.json.encode(kept.obj))
        tell(inventory, binding(WEB, "a", "b", reported=reported))
        if not step:  # at first it is too early to say that no member reports anything
            await reconciler.reconcile(key(), now - REFLECTION_GRACE_SECONDS, idle=True)
        await reconciler.reconcile(key(), now, idle=True)
        assert canonical(kept.obj["status"]) == canonical(told)
        # And neither has anything to add, to the new status and also to the old one, asked again later.
        assert aggregation.status(asked(kept.obj, reported), now + 30) is None
        assert canonical(aggregation.status(question, now + 30)) == canonical(told)
        writes = kept.writes
        await reconciler.reconcile(key(), now + 30, idle=True)
        assert kept.writes == writes


@pytest.mark.parametrize("kept", [(), (key(),)])
def test_an_import_that_may_not_go_is_reported_as_kept(kept: Sequence[ServiceKey]) -> None:
    inventory = knowing(*FLEET, WEB, SERVICE, WEB_BINDING)
    status = Aggregation(inventory, kept).status(asked(WEB), NOW)
    reason = "WithdrawalWithheld" if kept else "NotImported"
    assert say(status)["Ready"] == ("False", reason, STAMP)
