"""Webhook and plugin of two versions side by side, as during an upgrade: the answers are the same."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from tests.fuzz.bodies import interpreted
from tests.support.inventories import aggregated, export, invalid
from tests.support.reviews import answer
from tests.support.skew import Skew, newer, older, skewed
from tests.unit.webhook.plugin.test_client import WARNING, running, warned
from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath_webhook.admission.hooks import INTERPRET
from towpath_webhook.metrics import Metrics
from towpath_webhook.plugin.client import PluginAddress, PluginClient

pytestmark = pytest.mark.timeout(60)
STATUS = interpreted(export(), "AggregateStatus", "u-1", aggregated({"a": invalid("no such port")}))


def failures(metrics: Metrics) -> float:
    return float(sum(metrics.plugin_failures[code.name]._value.get() for code in grpc.StatusCode))


def same(message: Message) -> bytes:
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("webhook", "plugin"),
    [pair for pair in itertools.product((older, same, newer), repeat=2) if pair != (same, same)],
    ids=lambda version: version.__name__,
)
async def test_other_versions_have_the_same_answers(webhook: Skew, plugin: Skew, tmp_path: Path) -> None:
    metrics = Metrics()
    async with running(tmp_path / "s") as target, PluginClient(PluginAddress(target), metrics) as direct:
        status = await answer(INTERPRET, STATUS, direct)
        async with (
            skewed(target, tmp_path / "other", webhook, plugin) as through,
            PluginClient(PluginAddress(through), metrics) as client,
        ):
            assert await warned(client) == [WARNING]
            assert await answer(INTERPRET, STATUS, client) == status
    assert "patch" in json.loads(status)["response"]
    assert failures(metrics) == 0


async def test_a_question_of_a_newer_webhook_is_refused_alone(tmp_path: Path) -> None:
    """The others of its message are answered, and the stream goes on."""

    def with_another(message: Message) -> bytes:
        assert isinstance(message, pb.ReviewRequest)
        return pb.ReviewRequest(
            questions=[pb.Question.FromString(newer(pb.Question()))]
        ).SerializeToString() + same(message)

    def first_is_refused(message: Message) -> bytes:
        assert isinstance(message, pb.ReviewResponse)
        refused, *others = message.answers
        assert refused.WhichOneof("said") == "refusal"
        return pb.ReviewResponse(answers=others).SerializeToString()

    metrics = Metrics()
    async with (
        running(tmp_path / "s") as target,
        skewed(target, tmp_path / "other", with_another, first_is_refused) as through,
        PluginClient(PluginAddress(through), metrics) as client,
    ):
        assert await warned(client) == [WARNING]
        assert await warned(client) == [WARNING]
    assert failures(metrics) == 0
