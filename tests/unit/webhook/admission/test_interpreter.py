"""Answers to the interpreter, held against Karmada's own verification (resourceinterpretercontext.go)."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.fuzz.bodies import interpreted
from tests.support.reviews import EXPORT, answer, document, patched
from towpath_webhook.admission.hooks import INTERPRET
from towpath_webhook.admission.interpreter import InterpreterRequest
from towpath_webhook.admission.review import Request, Verdict

INVALID = {"conditions": [{"type": "Valid", "status": "False"}]}


class Knowing:
    """A reviewer that has the status of an export."""

    def __init__(self, status: Any) -> None:
        self._status = status

    async def review(self, request: Request) -> Verdict | None:
        raise AssertionError(request)

    async def status(self, context: InterpreterRequest) -> bytes | None:
        assert [json.loads(bytes(item)) for item in context.aggregated_status or ()] == [{"clusterName": "a"}]
        return None if self._status is None else json.dumps(self._status).encode()


def verified(answered: bytes, question: bytes, operation: str) -> dict[str, Any]:
    """Return the response as Karmada takes it, or fail as Karmada does."""
    read, request = json.loads(answered), json.loads(question)["request"]
    assert read["apiVersion"] == "config.karmada.io/v1alpha1"
    assert read["kind"] == "ResourceInterpreterContext"
    response: dict[str, Any] = read["response"]
    assert response["uid"] == request["uid"]
    assert response["successful"] or response["status"]
    assert ("patch" in response) == ("patchType" in response)
    assert response.get("patchType", "JSONPatch") == "JSONPatch"
    json.loads(base64.b64decode(response.get("patch", "W10=")))
    if operation == "InterpretHealth":
        assert isinstance(response["healthy"], bool)
    return response


def ask(obj: Any, operation: str, reviewer: Any = None) -> dict[str, Any]:
    body = interpreted(obj, operation, "u-7", [{"clusterName": "a"}])
    return verified(asyncio.run(answer(INTERPRET, body, reviewer)), body, operation)


@pytest.mark.parametrize("group", ["flomesh.io", "multicluster.flomesh.io"])
@pytest.mark.parametrize(
    ("kind", "status", "healthy"),
    [
        ("ServiceExport", {}, True),
        ("ServiceExport", INVALID, False),
        ("ServiceImport", INVALID, True),
        ("GlobalTrafficPolicy", INVALID, True),
    ],
)
def test_health_needs_no_plugin(group: str, kind: str, status: Any, healthy: bool) -> None:
    obj = {**document(kind, {}, group=group), "status": status}
    for reviewer in (None, Knowing({})):
        assert ask(obj, "InterpretHealth", reviewer)["healthy"] is healthy


@pytest.mark.parametrize("before", [None, {}, INVALID])
def test_the_status_is_what_the_plugin_says(before: Any) -> None:
    obj = EXPORT if before is None else {**EXPORT, "status": before}
    wanted = {"conditions": [{"type": "Valid", "status": "True"}], "offeredTo": ["a"]}
    response = ask(obj, "AggregateStatus", Knowing(wanted))
    assert response["successful"]
    assert patched(obj, response) == {**EXPORT, "status": wanted}


@pytest.mark.parametrize("reviewer", [None, Knowing(None)])
def test_without_its_word_nothing_changes(reviewer: Any) -> None:
    assert ask(EXPORT, "AggregateStatus", reviewer) == {"uid": "u-7", "successful": True}


@pytest.mark.parametrize("operation", ["Retain", "InterpretReplica", "Prune", ""])
def test_an_unregistered_operation_is_refused(operation: str) -> None:
    response = ask(EXPORT, operation)
    assert not response["successful"]
    assert response["status"]["code"] == 422
    assert "Register no other operation" in response["status"]["message"]
