"""Bad input: work, memory and answer are bounded by small constants for any body up to the limit."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tests.fuzz.bodies import interpreted
from tests.support.asgi import application, post
from tests.support.reviews import RULE, document, question, response, review
from tests.support.waiting import until
from towpath.model.ownership import LAST_APPLIED
from towpath_webhook.admission.hooks import (
    HOOKS,
    INTERPRET,
    MUTATE_CLUSTERS,
    MUTATE_DEFAULTS,
    VALIDATE_EXPORTS,
    VALIDATE_IMPORTS,
    VALIDATE_TRAFFIC,
)
from towpath_webhook.admission.review import MAX_REPORTED
from towpath_webhook.http.app import MAX_BODY_BYTES, MAX_VALUES, App

CPU_SECONDS, MEMORY_BYTES, ANSWER_BYTES, HELD_SECONDS = 0.25, 64 << 20, 64 << 10, 0.1
ATTEMPTS = 10
"""A busy machine makes work slower, and has quiet moments."""
pytestmark = pytest.mark.timeout(120)


def filled(make: Callable[[list[Any]], bytes], item: str, *, values: int = MAX_VALUES) -> bytes:
    """Return a body with as many items as fit into the limits of bytes and of values."""
    empty = make([])
    by_size = (MAX_BODY_BYTES - len(empty)) // (len(item) + 1)
    by_values = (values - 100) // (1 + sum(map(item.count, ",[{")))
    assert b"[]" in empty
    return empty.replace(b"[]", b"[" + b",".join([item.encode()] * min(by_size, by_values)) + b"]", 1)


def of_export(rules: list[Any]) -> bytes:
    return question(document("ServiceExport", {"rules": rules}))


def of_targets(keys: list[Any]) -> bytes:
    return review(document("ServiceExport", {"targetClusters": keys, "rules": 0}))


def of_policy(targets: list[Any]) -> bytes:
    return review(document("GlobalTrafficPolicy", {"lbType": "ActiveActive", "targets": targets}))


def of_import(ports: list[Any]) -> bytes:
    return review(document("ServiceImport", {"ports": ports}))


def of_endpoints(endpoints: list[Any]) -> bytes:
    return review(document("ServiceImport", {"ports": [{"port": 1, "endpoints": endpoints}]}))


def of_anything(values: list[Any]) -> bytes:
    return review({"spec": values})


def of_statuses(statuses: list[Any]) -> bytes:
    return interpreted({"apiVersion": "v1", "kind": "x"}, "AggregateStatus", "u-1", statuses)


LONG = "x" * (MAX_BODY_BYTES - 2000)
MEMBERS = ",".join(f'"{number}":0' for number in range(MAX_VALUES - 100))
MANIFEST = '{"spec":{"kubeconfig":[' + "[]," * 80_000 + "0]}}"
HALF = LONG[: len(LONG) // 2]
BODIES = [
    ("empty rules", VALIDATE_EXPORTS, filled(of_export, "{}")),
    ("empty rules defaulted", MUTATE_DEFAULTS, filled(of_export, "{}")),
    ("rules without anything right", VALIDATE_EXPORTS, filled(of_export, '{"path":"x","portNumber":0}')),
    ("numbers for rules", VALIDATE_EXPORTS, filled(of_export, "1")),
    ("keys that are none", VALIDATE_EXPORTS, filled(of_targets, '"x"')),
    ("one key many times", VALIDATE_EXPORTS, filled(of_targets, '"a/b/c/d"')),
    ("targets", VALIDATE_TRAFFIC, filled(of_policy, '{"clusterKey":"x","weight":-1}')),
    ("ports", VALIDATE_IMPORTS, filled(of_import, "{}")),
    ("ports defaulted", MUTATE_DEFAULTS, filled(of_import, "{}")),
    ("endpoints", VALIDATE_IMPORTS, filled(of_endpoints, '{"target":{}}')),
    ("valid endpoints", VALIDATE_IMPORTS, filled(of_endpoints, '{"target":{"ip":"10.0.0.1","port":1}}')),
    ("lists", VALIDATE_EXPORTS, filled(of_anything, "[]")),
    ("floats", VALIDATE_EXPORTS, filled(of_anything, "1.5")),
    ("short texts", VALIDATE_EXPORTS, filled(of_anything, '"ab"')),
    ("members", VALIDATE_EXPORTS, review({"spec": []}).replace(b"[]", b"{" + MEMBERS.encode() + b"}")),
    ("statuses", INTERPRET, filled(of_statuses, "{}")),
    ("a long uid", VALIDATE_EXPORTS, review(document("ServiceExport", {}), uid=LONG)),
    ("a long name", VALIDATE_EXPORTS, review(document("ServiceExport", {"rules": 0}), name=LONG)),
    ("a long path", VALIDATE_EXPORTS, of_export([{**RULE, "path": LONG}])),
    ("a long key", VALIDATE_EXPORTS, of_targets([LONG])),
    ("a long account", VALIDATE_EXPORTS, review(document("ServiceExport", {"serviceAccountName": LONG}))),
    ("a long operation", INTERPRET, interpreted({}, LONG, "u-1", [])),
    (
        "a large manifest",
        MUTATE_CLUSTERS,
        review(document("Cluster", {}, annotations={LAST_APPLIED: MANIFEST})),
    ),
    ("more values than allowed", VALIDATE_EXPORTS, filled(of_anything, "[]", values=4 * MAX_VALUES)),
    *((f"a long text at {hook.path}", hook.path, review({"kind": HALF, "spec": HALF})) for hook in HOOKS),
]


@pytest.mark.parametrize(("path", "body"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
async def test_work_and_answer_are_bounded_for_bad_input(path: str, body: bytes) -> None:
    assert len(body) <= MAX_BODY_BYTES
    app, taken = application(), [CPU_SECONDS]
    while min(taken) >= CPU_SECONDS and len(taken) <= ATTEMPTS:
        started = time.process_time()
        status, answer = await post(app, path, body)
        taken.append(time.process_time() - started)
        assert status in {200, 400, 413}
        assert len(answer) < ANSWER_BYTES
    assert min(taken) < CPU_SECONDS


@pytest.mark.parametrize(("path", "body"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
async def test_memory_is_bounded_for_bad_input(path: str, body: bytes) -> None:
    app = application()
    tracemalloc.start()
    await post(app, path, body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY_BYTES


async def test_others_are_answered_while_large_bodies_are_processed() -> None:
    """The event loop is never held for long, however many large bodies there are."""
    app = application()
    longest = [HELD_SECONDS]
    while min(longest) >= HELD_SECONDS and len(longest) <= ATTEMPTS:
        longest.append(await _longest_hold(app))
    assert min(longest) < HELD_SECONDS


async def _longest_hold(app: App) -> float:
    held, done = [0.0], asyncio.Event()

    async def measure() -> None:
        while not done.is_set():
            before = time.process_time()
            await asyncio.sleep(0)
            held.append(time.process_time() - before)

    measuring = asyncio.create_task(measure())
    statuses = await asyncio.gather(*(post(app, path, body) for _, path, body in BODIES[:10]))
    done.set()
    await measuring
    assert {status for status, _ in statuses} <= {200, 400, 413}
    return max(held)


async def test_bodies_in_progress_are_bounded_together() -> None:
    """Large bodies beyond the limit are refused at once; small ones are answered."""
    app = application()
    large = of_export([{**RULE, "path": LONG}])
    waiting = asyncio.Event()

    async def receive_slowly() -> dict[str, Any]:
        await waiting.wait()
        return {"type": "http.disconnect"}

    def receiver() -> Any:
        first = {"type": "http.request", "body": large, "more_body": True}
        messages = [first]

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else await receive_slowly()

        return receive

    statuses: list[int] = []

    async def _number() -> int:
        return len(statuses)

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    scope = {
        "type": "http",
        "path": VALIDATE_EXPORTS,
        "method": "POST",
        "headers": [(b"content-type", b"application/json")],
    }
    tasks = [asyncio.create_task(app(dict(scope), receiver(), send)) for _ in range(20)]
    await until(_number, lambda number: number == 10)
    assert set(statuses) == {503}
    assert (await post(app, VALIDATE_EXPORTS, of_export([RULE])))[0] == 200
    waiting.set()
    await asyncio.gather(*tasks)
    assert (await post(app, VALIDATE_EXPORTS, large))[0] == 200, "there is room again"


async def test_an_answer_names_the_first_problems_and_counts_the_rest() -> None:
    rules = [{"portNumber": 0, "path": "x", "pathType": "y"}] * 100
    body = of_export(rules)
    _, answer = await post(application(), VALIDATE_EXPORTS, body)
    causes = response(answer, body)["status"]["details"]["causes"]
    assert len(causes) == MAX_REPORTED + 1
    assert causes[-1]["message"] == f"The object has {300 - MAX_REPORTED} more problems. Correct these first."


async def test_warnings_are_limited_as_well() -> None:
    rules = [{"portNumber": 1 + n, "path": f"/{n}", "pathType": "Exact"} for n in range(100)]
    body = of_export(rules)
    _, answer = await post(application(), VALIDATE_EXPORTS, body)
    warnings = json.loads(answer)["response"]["warnings"]
    assert len(warnings) == MAX_REPORTED + 1
    assert warnings[-1] == f"{100 - MAX_REPORTED} more warnings are not shown."


@pytest.mark.parametrize("kind", ["ServiceExport", "ServiceImport"])
async def test_no_defaults_are_added_beyond_what_a_crd_allows(kind: str) -> None:
    entries = [{"portNumber": 1, "port": 1}] * 129
    body = question(document(kind, {"rules": entries, "ports": entries, "type": "Headless"}))
    _, answer = await post(application(), MUTATE_DEFAULTS, body)
    assert "patch" not in response(answer, body)
