"""How often an event is repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from towpath.controller import events
from towpath.controller.events import BURST_EVENTS, DEDUP_WINDOW_SECONDS, REFILL_SECONDS, Events, event
from towpath.controller.news import News, Subject

WEB = Subject("flomesh.io/v1alpha1", "ServiceExport", "shop", "web", "uid")
HOST = Subject("flomesh.io/v1alpha1", "Cluster", "", "cluster-1", "uid")


class Sink:
    """Where events are sent."""

    def __init__(self) -> None:
        self.busy = False
        self.events = Events(self.send, lambda: self.busy)
        self.sent: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()

    async def send(self, body: dict[str, Any]) -> None:
        self.sent.append(body)
        self.arrived.set()

    @property
    def waiting(self) -> int:
        return self.events._waiting.qsize()


def test_the_same_is_not_emitted_again_for_a_while() -> None:
    sink, news = Sink(), News("Normal", "Valid", "Exported.")
    for now in (0.0, DEDUP_WINDOW_SECONDS - 1, DEDUP_WINDOW_SECONDS + 1):
        sink.events.emit([(WEB, news)], now)
    sink.events.emit([(HOST, news)], 0.0)

    assert sink.waiting == 3


def test_an_object_that_flaps_is_cut_short_and_others_are_not() -> None:
    sink = Sink()
    for number in range(10 * BURST_EVENTS):
        sink.events.emit([(WEB, News("Normal", "Valid", f"{number}"))], 1000.0)
    assert sink.waiting == BURST_EVENTS

    sink.events.emit([(HOST, News("Normal", "Managed", "It is."))], 1000.0)
    sink.events.emit([(WEB, News("Normal", "Valid", "later"))], 1000.0 + REFILL_SECONDS)
    assert sink.waiting == BURST_EVENTS + 2


async def test_while_karmada_is_busy_events_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_BUSY_CHECK_SECONDS", 0.001)
    sink = Sink()
    sink.busy = True
    sink.events.emit([(WEB, News("Normal", "Valid", "Exported."))], 0.0)
    running = asyncio.create_task(sink.events.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not sink.sent

    sink.busy = False
    async with asyncio.timeout(10):
        await sink.arrived.wait()
    running.cancel()
    assert sink.sent[0]["reason"] == "Valid"


def test_memory_does_not_grow_with_deleted_objects() -> None:
    sink = Sink()
    for number in range(3000):
        subject = Subject("v1", "ServiceExport", "shop", f"web-{number}", "uid")
        sink.events.emit([(subject, News("Normal", "Valid", "Exported."))], float(number))

    assert max(sink.waiting, len(sink.events._emitted), len(sink.events._allowed)) <= 1000


@pytest.mark.parametrize(("subject", "namespace"), [(WEB, "shop"), (HOST, "default")])
def test_an_event_is_one_that_describe_finds(subject: Subject, namespace: str) -> None:
    made = event(subject, News("Warning", "NoGateway", "x" * 5000), 1_700_000_000.0)

    assert made["metadata"]["namespace"] == namespace
    assert made["metadata"]["name"].startswith(f"{subject.name}.")
    assert made["involvedObject"]["uid"] == "uid"
    assert ("namespace" in made["involvedObject"]) == bool(subject.namespace)
    assert made["firstTimestamp"] == "2023-11-14T22:13:20Z"
    assert len(made["message"]) == 1024
