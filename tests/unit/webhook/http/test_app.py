"""The application without a server: malformed requests, limits, unhandled exceptions, the log."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import structlog

from tests.fuzz.bodies import interpreted
from tests.support.asgi import application, post
from tests.support.reviews import EXPORT, PLAIN, RULE, SECRET, document, patched, question, response, review
from towpath_webhook.admission.hooks import (
    HOOKS,
    INTERPRET,
    MUTATE_CLUSTERS,
    MUTATE_DEFAULTS,
    VALIDATE_EXPORTS,
    VALIDATE_TRAFFIC,
)
from towpath_webhook.http.app import MAX_BODY_BYTES, MAX_REQUESTS
from towpath_webhook.http.dispatch import INTERNAL_ERROR, Endpoint, Evaluation, Reply, endpoints
from towpath_webhook.metrics import AnswerLabels, Metrics, Outcome

NINE_MIB = 9 << 20
TOO_MANY = 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"path": "/admit/nothing"}, 404),
        ({"content_type": "text/yaml"}, 415),
        ({"content_type": "application/jsonp"}, 415),
        ({"content_length": str(MAX_BODY_BYTES + 1)}, 413),
        ({"body": b" " * (MAX_BODY_BYTES + 1)}, 413),
        ({"body": b" " * NINE_MIB}, 413),
        ({"body": b" " * MAX_BODY_BYTES}, 400),
    ],
)
async def test_status_codes(request_: dict[str, Any], status: int) -> None:
    metrics = Metrics()
    path = request_.pop("path", MUTATE_CLUSTERS)
    body = request_.pop("body", review(PLAIN))
    assert (await post(application(metrics=metrics), path, body, **request_))[0] == status
    assert metrics.rejected[str(status)]._value.get() == 1


@pytest.mark.parametrize("path", [VALIDATE_EXPORTS, INTERPRET])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda body: b"", "truncated"),
        (lambda body: b"\xff", "malformed"),
        (lambda body: body.replace(b"ServiceExport", b"Service\xffxport"), "utf-8"),
        (lambda body: b"[" * 10_000, "object"),
        (lambda body: body.replace(b'"/web"', b"[" * 10_000 + b"]" * 10_000), "nested too deeply"),
        (lambda body: b"[]", "object"),
        (lambda body: b"{}", "request"),
        (lambda body: body.replace(b"io/v1", b"io/v7", 1), "apiVersion"),
        (lambda body: body.replace(b'"uid"', b'"id"'), "`uid`"),
        (lambda body: body.replace(b'"u-1"', b'""'), "$.request.uid"),
        (lambda body: body.replace(b'"u-1"', json.dumps([SECRET]).encode()), "$.request.uid"),
        (
            lambda body: body.replace(json.dumps(EXPORT).encode(), json.dumps(SECRET).encode()),
            "$.request.object",
        ),
    ],
)
async def test_a_malformed_body_is_refused_without_repeating_it(path: str, change: Any, problem: str) -> None:
    whole = (
        question(EXPORT) if path == VALIDATE_EXPORTS else interpreted(EXPORT, "InterpretHealth", "u-1", [])
    )
    status, answered = await post(application(), path, change(whole))
    assert status == 400
    assert problem in answered.decode()
    assert b"Config" not in answered
    assert answered.count(b"\n") == 1


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


async def test_contained_exceptions_are_answered_and_counted(lines: list[Any]) -> None:
    def broken(of: dict[str, Any]) -> dict[str, Any]:
        async def fail() -> Reply:
            raise RuntimeError(SECRET)

        def asked(path: str, body: bytes) -> Evaluation:
            evaluation = of[path](body)
            return Evaluation(evaluation.request, fail, evaluation.answer_failure)

        return {path: (lambda body, path=path: asked(path, body)) for path in of}

    metrics = Metrics()
    app = application(broken(dict(endpoints(None))), metrics)
    status, answered = await post(app, VALIDATE_EXPORTS, question(EXPORT))
    assert status == 200
    answer = response(answered, question(EXPORT))
    assert answer["status"] == {
        "status": "Failure",
        "code": 500,
        "reason": "InternalError",
        "message": INTERNAL_ERROR.format("u-1"),
    }
    status, answered = await post(app, INTERPRET, interpreted(EXPORT, "InterpretHealth", "u-2", []))
    assert status == 200
    inner = json.loads(answered)["response"]
    assert (inner["uid"], inner["successful"], inner["status"]["code"]) == ("u-2", False, 500)
    assert metrics.answers[AnswerLabels(VALIDATE_EXPORTS, Outcome.FAILED)]._value.get() == 1
    assert [line["uid"] for line in lines if line["event"] == "unhandled exception"] == ["u-1", "u-2"]
    ready: list[Any] = []

    async def send(message: Any) -> None:
        ready.append(message)

    await app({"type": "http", "path": "/readyz", "method": "GET", "headers": []}, send, send)  # type: ignore[arg-type]
    assert ready[0]["status"] == 200


async def test_each_question_leaves_one_line_without_the_object(lines: list[Any]) -> None:
    held = document("Cluster", {"kubeconfig": SECRET})
    await post(application(), MUTATE_CLUSTERS, question(held))
    await post(application(), VALIDATE_EXPORTS, question(document("ServiceExport", {"rules": []})))
    shown = [
        {name: value for name, value in line.items() if name not in {"ms", "path", "log_level"}}
        for line in lines
    ]
    base = {"uid": "u-1", "operation": "CREATE", "name": "web"}
    assert shown == [
        {"event": "allowed", "kind": "Cluster", "namespace": "", **base},
        {"event": "refused", "kind": "ServiceExport", "namespace": "shop", **base},
    ]


def blocked(until: asyncio.Event) -> dict[str, Endpoint]:
    """Return endpoints that answer once an event is set."""

    def decode(path: str, body: bytes) -> Evaluation:
        evaluation = endpoints(None)[path](body)

        async def answer() -> Reply:
            await until.wait()
            return await evaluation.answer()

        return evaluation._replace(answer=answer)

    return {path: partial(decode, path) for path in endpoints(None)}


async def test_the_number_of_requests_in_progress_is_limited() -> None:
    """Further ones are refused at once, and there is room again when the others are done."""
    metrics, released = Metrics(), asyncio.Event()
    app = application(blocked(released), metrics)
    tasks = [
        asyncio.create_task(post(app, VALIDATE_EXPORTS, question(EXPORT)))
        for _ in range(MAX_REQUESTS + TOO_MANY)
    ]
    refused, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    while len(refused) < TOO_MANY:
        refused, _ = await asyncio.wait(tasks, timeout=0.01)
    assert [task.result()[0] for task in refused] == [503] * TOO_MANY
    assert metrics.registry.get_sample_value("towpath_webhook_in_flight") == MAX_REQUESTS
    released.set()
    statuses = [status for status, _ in await asyncio.gather(*tasks)]
    assert sorted(statuses) == [200] * MAX_REQUESTS + [503] * TOO_MANY
    assert (await post(app, VALIDATE_EXPORTS, question(EXPORT)))[0] == 200


QUESTIONS = [
    *((hook.path, question(EXPORT)) for hook in HOOKS),
    *((hook.path, question(None, EXPORT)) for hook in HOOKS),
    (VALIDATE_EXPORTS, question(document("ServiceExport", {"rules": [{**RULE, "path": "x"}]}), EXPORT)),
    (VALIDATE_TRAFFIC, question(document("GlobalTrafficPolicy", {"targets": [{"clusterKey": "x"}] * 2}))),
    (MUTATE_CLUSTERS, question(document("Cluster", {"kubeconfig": SECRET}))),
    (MUTATE_DEFAULTS, question(document("ServiceImport", {"ports": [{"port": 1}]}))),
    (INTERPRET, interpreted(EXPORT, "InterpretHealth", "u-1", [])),
    (INTERPRET, interpreted(EXPORT, "AggregateStatus", "u-1", [{"clusterName": "a"}])),
    (INTERPRET, interpreted(EXPORT, "Retain", "u-1", None)),
]


@pytest.mark.parametrize(("path", "body"), QUESTIONS)
async def test_repeatable_answers_a_replay_gets_the_same_bytes(path: str, body: bytes) -> None:
    first, second = application(), application()
    answers = {await post(app, path, body) for app in (first, first, second)}
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("path", "obj"),
    [
        (MUTATE_CLUSTERS, document("Cluster", {"kubeconfig": SECRET})),
        (MUTATE_DEFAULTS, document("GlobalTrafficPolicy")),
        (MUTATE_DEFAULTS, document("ServiceImport", {"ports": [{"port": 1}, {"port": 2}]})),
        (MUTATE_DEFAULTS, document("ServiceExport", {"rules": [{"portNumber": 80, "path": "/"}]})),
    ],
)
async def test_repeatable_answers_a_second_mutation_is_empty(path: str, obj: dict[str, Any]) -> None:
    _, answered = await post(application(), path, question(obj))
    once = patched(obj, response(answered, question(obj)))
    assert once != obj
    _, answered = await post(application(), path, question(once))
    assert "patch" not in response(answered, question(once))


@pytest.mark.parametrize(("path", "body"), QUESTIONS)
async def test_dry_run_and_no_calls_in_answers(
    path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not it is a dry run: not a single connection is opened."""

    def refused(*_: object, **__: object) -> Any:
        raise AssertionError("somebody was called")

    app = application()
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", refused)
    wet, dry = body, body.replace(b'"dryRun": false', b'"dryRun": true')
    assert await post(app, path, wet) == await post(app, path, dry)
