"""The hop to the plugin, over a real socket: its word is added, and without it the rules stand alone."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.fuzz.bodies import interpreted
from tests.support.certificates import HOSTS, authority, identity, written
from tests.support.inventories import aggregated, clusters, export, exported, invalid, knowing
from tests.support.plugins import server
from tests.support.reviews import answer, question, response
from tests.support.waiting import until
from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerServicer, add_ReviewerServicer_to_server
from towpath.proto.v1alpha1.service_pb2 import Finding
from towpath.rpc.credentials import for_client
from towpath.rpc.server import Port
from towpath.rules.reasons import Advice
from towpath_webhook.admission.hooks import INTERPRET, VALIDATE_EXPORTS, VALIDATE_POLICIES
from towpath_webhook.http.dispatch import PLUGIN_UNAVAILABLE
from towpath_webhook.metrics import Metrics, PluginCall
from towpath_webhook.plugin import client as hop
from towpath_webhook.plugin.client import PluginAddress, PluginClient
from towpath_webhook.plugin.stream import MAX_BATCH_BYTES, MAX_BATCH_QUESTIONS

pytestmark = pytest.mark.timeout(60)
KNOWN = knowing(*clusters("a", "b"), *exported("web", "a", "b"))
WARNING = f"spec.targetClusters[0] (r/z/g/nowhere): {Advice.UNKNOWN_TARGET_CLUSTER.text}"


def written_by_user(path_type: str = "Prefix", target: str = "r/z/g/nowhere") -> dict[str, Any]:
    made = export(targets=[target])
    made["spec"]["rules"][0]["pathType"] = path_type
    return made


EXPORT = written_by_user()


@asynccontextmanager
async def running(path: Path | None, port: Port | None = None) -> AsyncIterator[str]:
    async with server(KNOWN, path, port=port) as made:
        made.in_sync()
        yield f"127.0.0.1:{made.number}" if port else f"unix:{path}"


async def warned(plugin: PluginClient, obj: dict[str, Any] = EXPORT) -> list[str]:
    answered = await answer(VALIDATE_EXPORTS, question(obj), plugin)
    return list(response(answered, question(obj)).get("warnings", []))


async def test_its_word_is_added_each_thing_once(tmp_path: Path) -> None:
    async with running(tmp_path / "s") as target, PluginClient(PluginAddress(target), Metrics()) as plugin:
        assert await warned(plugin) == [WARNING]
        answered = await answer(VALIDATE_POLICIES, question(None, EXPORT), plugin)
        assert response(answered, question(None, EXPORT))["allowed"]


async def test_a_plugin_that_is_down_is_one_warning_and_is_asked_again(tmp_path: Path) -> None:
    metrics = Metrics()
    async with PluginClient(PluginAddress(f"unix:{tmp_path / 's'}"), metrics) as plugin:
        rule, silent = await warned(plugin, written_by_user("Exact"))
        assert rule.startswith("spec.rules[0].pathType (Exact): ")
        assert silent == PLUGIN_UNAVAILABLE
        assert await warned(plugin, written_by_user(target="x")) == [], "a refusal carries no warning"
        asked = interpreted(EXPORT, "AggregateStatus", "u-1", [])
        result = json.loads(await answer(INTERPRET, asked, plugin))["response"]
        assert result == {"uid": "u-1", "successful": True}
        assert metrics.plugin_failures["UNAVAILABLE"]._value.get() == 2
        async with running(tmp_path / "s"):
            await until(lambda: warned(plugin), lambda warnings: warnings == [WARNING])
        await until(lambda: warned(plugin), lambda warnings: warnings == [PLUGIN_UNAVAILABLE])
        assert metrics.plugin_seconds[PluginCall.REVIEW]._sum.get() > 0


async def test_the_status_of_an_export_is_its_word(tmp_path: Path) -> None:
    async with running(tmp_path / "s") as target, PluginClient(PluginAddress(target), Metrics()) as plugin:
        asked = interpreted(export(), "AggregateStatus", "u-1", aggregated({"a": invalid("no such port")}))
        result = json.loads(await answer(INTERPRET, asked, plugin))["response"]
        (patch,) = json.loads(base64.b64decode(result["patch"]))
        assert patch["path"] == "/status"
        conditions = {condition["type"]: condition for condition in patch["value"]["conditions"]}
        assert "no such port" in conditions["Valid"]["message"]


class Odd(ReviewerServicer):
    """A plugin that reads a message and handles it as a test defines, until the stream ends."""

    def __init__(self, *turns: Turn) -> None:
        self._turns = iter(turns)
        self.sizes: list[int] = []

    async def Review(  # noqa: N802 - named by the contract
        self, request_iterator: AsyncIterator[pb.ReviewRequest], context: Any
    ) -> AsyncIterator[pb.ReviewResponse]:
        turn = next(self._turns)
        async for request in request_iterator:
            self.sizes.append(len(request.questions))
            response = await turn(request, context)
            if response is None:
                return
            yield response

    async def ReviewAdmission(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Not called by the webhook."""

    async def AggregateStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Not called by the webhook."""

    async def InterpretHealth(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Not called by the webhook."""


Turn = Callable[[pb.ReviewRequest, Any], Awaitable[pb.ReviewResponse | None]]


async def named(request: pb.ReviewRequest, _: Any = None) -> pb.ReviewResponse:
    """Answer each question with the name of its object."""
    return pb.ReviewResponse(
        answers=(
            pb.Answer(
                review_admission=pb.ReviewAdmissionResponse(
                    warnings=[Finding(text=question.review_admission.name)]
                )
            )
            for question in request.questions
        )
    )


FAILURES = "towpath_webhook_plugin_failures"


@asynccontextmanager
async def asking(odd: Odd, path: Path) -> AsyncIterator[tuple[PluginClient, Metrics]]:
    made = grpc.aio.server()
    add_ReviewerServicer_to_server(odd, made)
    made.add_insecure_port(f"unix:{path}")
    await made.start()
    metrics = Metrics()
    try:
        async with PluginClient(PluginAddress(f"unix:{path}"), metrics) as plugin:
            yield plugin, metrics
    finally:
        await made.stop(None)


def failures(metrics: Metrics) -> dict[str, float]:
    [family] = [family for family in metrics.registry.collect() if family.name == FAILURES]
    counted = {sample.labels["code"]: sample.value for sample in family.samples}
    return {code: number for code, number in counted.items() if number}


def about(name: str) -> dict[str, Any]:
    return {**EXPORT, "metadata": {**EXPORT["metadata"], "name": name}}


async def test_concurrent_questions_share_a_message(tmp_path: Path) -> None:
    odd = Odd(named)
    names = [f"web-{number}" for number in range(200)]
    async with asking(odd, tmp_path / "s") as (plugin, _):
        warnings = await asyncio.gather(*(warned(plugin, about(name)) for name in names))
    assert warnings == [[name] for name in names]
    assert sum(odd.sizes) == len(names)
    assert max(odd.sizes) == MAX_BATCH_QUESTIONS
    assert len(odd.sizes) < len(names) / 2


async def test_a_large_question_goes_alone(tmp_path: Path) -> None:
    odd = Odd(named)
    large = {"labels": {"x": "y" * MAX_BATCH_BYTES}}
    objects = [about("a"), {**EXPORT, "metadata": {**EXPORT["metadata"], **large}}, about("b"), about("c")]
    async with asking(odd, tmp_path / "s") as (plugin, _):
        warnings = await asyncio.gather(*(warned(plugin, obj) for obj in objects))
    assert warnings == [["a"], ["web"], ["b"], ["c"]]
    assert odd.sizes == [2, 2]


async def test_a_plugin_that_stops_before_it_answers_is_asked_again(tmp_path: Path) -> None:
    async def stops(*_: Any) -> None:
        return None

    async with asking(Odd(stops, named), tmp_path / "s") as (plugin, metrics):
        warnings = await asyncio.gather(*(warned(plugin, about(name)) for name in "abc"))
        assert warnings == [["a"], ["b"], ["c"]]
        assert failures(metrics) == {}


async def test_a_plugin_that_stops_and_stops_is_silent(tmp_path: Path) -> None:
    async def stops(*_: Any) -> None:
        return None

    async with asking(Odd(stops, stops, named), tmp_path / "s") as (plugin, metrics):
        assert await warned(plugin) == [PLUGIN_UNAVAILABLE]
        assert failures(metrics) == {"OK": 1}
        assert await warned(plugin) == ["web"]


async def test_a_plugin_that_hangs_delays_only_the_first_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hop, "DEADLINE_SECONDS", 0.2)

    async def hangs(*_: Any) -> None:
        await asyncio.Event().wait()

    async with asking(Odd(hangs, named), tmp_path / "s") as (plugin, metrics):
        assert await warned(plugin) == [PLUGIN_UNAVAILABLE]
        assert await warned(plugin) == ["web"], "on a stream of its own"
        assert failures(metrics) == {"DEADLINE_EXCEEDED": 1}


async def test_an_answer_to_another_question_is_not_used(tmp_path: Path) -> None:
    async def twice(request: pb.ReviewRequest, _: Any) -> pb.ReviewResponse:
        answers = (await named(request)).answers
        return pb.ReviewResponse(answers=[*answers, *answers])

    async def nothing(*_: Any) -> pb.ReviewResponse:
        return pb.ReviewResponse()

    async def healthy(*_: Any) -> pb.ReviewResponse:
        return pb.ReviewResponse(answers=[pb.Answer(interpret_health=pb.InterpretHealthResponse())])

    for odd in (twice, nothing, healthy):
        async with asking(Odd(odd, named), tmp_path / odd.__name__) as (plugin, metrics):
            assert await warned(plugin) == [PLUGIN_UNAVAILABLE]
            assert failures(metrics) == {"INTERNAL": 1}
    async with asking(Odd(twice, named), tmp_path / "s") as (plugin, _):
        assert [await warned(plugin) for _ in range(2)] == [[PLUGIN_UNAVAILABLE], ["web"]], (
            "on another stream"
        )


async def test_a_refused_question_does_not_end_the_stream(tmp_path: Path) -> None:
    refusal = pb.Answer(refusal=pb.Refusal(code=grpc.StatusCode.UNAVAILABLE.value[0], reason="X", text="no"))

    async def refuses_first(request: pb.ReviewRequest, _: Any) -> pb.ReviewResponse:
        response = await named(request)
        if len(odd.sizes) == 1:
            response.answers[0].CopyFrom(refusal)
        return response

    odd = Odd(refuses_first)
    async with asking(odd, tmp_path / "s") as (plugin, metrics):
        assert await warned(plugin) == [PLUGIN_UNAVAILABLE]
        assert await warned(plugin) == ["web"]
        assert failures(metrics) == {"UNAVAILABLE": 1}


async def test_whoever_gives_up_leaves_the_others_their_answers(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(request: pb.ReviewRequest, _: Any) -> pb.ReviewResponse:
        begun.set()
        await go_on.wait()
        return await named(request)

    async with asking(Odd(slowly), tmp_path / "s") as (plugin, metrics):
        asked = [asyncio.create_task(warned(plugin, about(name))) for name in "abcd"]
        await begun.wait()
        late = [asyncio.create_task(warned(plugin, about(name))) for name in "efg"]
        await asyncio.sleep(0)
        asked[1].cancel()
        late[1].cancel()
        go_on.set()
        results = await asyncio.gather(*asked, *late, return_exceptions=True)
        answered = ["".join(result) for result in results if isinstance(result, list)]
        assert answered == ["a", "c", "d", "e", "g"]
        assert failures(metrics) == {}


async def test_by_mutual_tls_with_certificates_that_are_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hop, "CHANNEL_RENEWAL_SECONDS", 0.1)
    ours, theirs, strange = (authority(name) for name in ("a", "b", "c"))
    serving = identity(ours, "plugin", serves=HOSTS)
    port = Port("127.0.0.1:0", written(tmp_path / "plugin", serving, theirs))
    mine = written(tmp_path / "webhook", identity(strange, "webhook"), ours)
    async with (
        running(None, port) as target,
        PluginClient(PluginAddress(target, lambda: for_client(mine)), Metrics()) as plugin,
    ):
        assert await warned(plugin) == [PLUGIN_UNAVAILABLE], "a certificate of a stranger"
        written(tmp_path / "webhook", identity(theirs, "webhook"), ours)
        await until(lambda: warned(plugin), lambda warnings: warnings == [WARNING])
