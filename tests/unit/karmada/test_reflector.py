"""The reflector against a stand-in apiserver that misbehaves as real ones do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.support.standin import answered_by
from towpath.errors import InvalidObject
from towpath.karmada import reflector as module
from towpath.karmada.client import Resource
from towpath.karmada.reflector import Reflector
from towpath.karmada.wire import Name

THINGS = Resource("example.test", "v1", "things", "Thing")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def thing(name: str, version: int, value: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": str(version)},
        "spec": {"value": value},
    }


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def page(version: int, *things: dict[str, Any], more: str = "") -> Answer:
    async def answer(_: web.Request) -> web.Response:
        meta = {"resourceVersion": str(version), **({"continue": more} if more else {})}
        return web.json_response({"metadata": meta, "items": list(things)})

    return answer


def status(code: int) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "code": code, "message": f"no: {code}"}, status=code)

    return answer


def stream(*chunks: bytes, stay: bool = False) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if stay:
            await asyncio.Event().wait()
        return response

    return answer


@dataclass
class Apiserver:
    """Answers one request after the other from a script; the last answer is repeated."""

    lists: list[Answer]
    watches: list[Answer]
    asked: list[dict[str, str]] = field(default_factory=list)
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.progress.set()
        script = self.watches if "watch" in request.query else self.lists
        return await (script.pop(0) if len(script) > 1 else script[0])(request)

    @property
    def watched_from(self) -> list[str]:
        return [query["resourceVersion"] for query in self.asked if "watch" in query]


def decode(raw: bytes) -> str | None:
    spec = msgspec.json.decode(raw)["spec"]
    if spec["value"] == "broken":
        raise InvalidObject("Thing: spec.value: broken")
    return str(spec["value"]) or None


Change = tuple[str, str | None, str | None]


@dataclass
class Seen:
    """A running reflector and the changes that it reported."""

    reflector: Reflector[str]
    changes: list[Change]
    progress: asyncio.Event

    async def until(self, right: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not right():
                self.progress.clear()
                await self.progress.wait()


@asynccontextmanager
async def reflecting(apiserver: Apiserver, folder: Path, *, packed: bool = False) -> AsyncIterator[Seen]:
    changes: list[Change] = []
    progress = apiserver.progress

    def changed(name: Name, old: str | None, new: str | None) -> None:
        changes.append((name.name, old, new))
        progress.set()

    async with answered_by(apiserver.answer, folder) as client:
        reflector = Reflector(client, THINGS, decode, changed, packed=packed)
        running = asyncio.create_task(reflector.run())
        try:
            async with asyncio.timeout(10):
                await reflector.synced.wait()
            yield Seen(reflector, changes, progress)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses, which are no behaviour under test."""
    for name, seconds in {"_FIRST_PAUSE": 0.01, "_LONGEST_PAUSE": 0.05, "_NOT_SERVED_PAUSE": 0.05}.items():
        monkeypatch.setattr(module, name, seconds)


async def test_a_list_is_read_in_pages_and_watched_from_its_version(tmp_path: Path) -> None:
    apiserver = Apiserver(
        [page(7, thing("a", 1, "1"), more="next"), page(7, thing("b", 2, "2"))], [stream(stay=True)]
    )
    async with reflecting(apiserver, tmp_path) as seen:
        assert seen.reflector.items() == {Name("ns", "a"): "1", Name("ns", "b"): "2"}
        assert seen.reflector.get("a", "ns") == "1"

    assert [query.get("continue") for query in apiserver.asked[:2]] == [None, "next"]


@pytest.mark.parametrize("packed", [False, True])
async def test_events_are_applied_however_the_stream_is_cut(tmp_path: Path, packed: bool) -> None:
    lines = (
        event("ADDED", thing("b", 8, "2"))
        + event("MODIFIED", thing("a", 9, "1a"))
        + event("DELETED", thing("b", 10, "2"))
    )
    chunks = [lines[i : i + 7] for i in range(0, len(lines), 7)]
    apiserver = Apiserver([page(7, thing("a", 1, "1"))], [stream(*chunks, stay=True)])
    async with reflecting(apiserver, tmp_path, packed=packed) as seen:
        await seen.until(lambda: len(seen.changes) == 4)
        assert seen.reflector.items() == {Name("ns", "a"): "1a"}

    assert seen.changes == [("a", None, "1"), ("b", None, "2"), ("a", "1", "1a"), ("b", "2", None)]


async def test_a_watch_that_ends_is_taken_up_where_a_bookmark_left_it(tmp_path: Path) -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "40"}, "spec": {}})
    apiserver = Apiserver(
        [page(7)], [stream(bookmark), stream(event("ADDED", thing("a", 41, "1")), stay=True)]
    )
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: bool(seen.changes))

    assert apiserver.watched_from == ["7", "40"]


@pytest.mark.parametrize(
    "gone", [status(410), stream(event("ERROR", {"code": 410, "message": "too old"}))], ids=["HTTP", "event"]
)
async def test_an_expired_version_is_listed_again_without_the_deleted(gone: Answer, tmp_path: Path) -> None:
    apiserver = Apiserver(
        [page(7, thing("a", 1, "1"), thing("b", 2, "2")), page(90, thing("a", 50, "1a"))],
        [gone, stream(stay=True)],
    )
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(apiserver.watched_from) == 2)

    assert seen.changes[2:] == [("a", "1", "1a"), ("b", "2", None)]
    assert apiserver.watched_from == ["7", "90"]


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_failing_apiserver_is_asked_again_and_nothing_is_lost(code: int, tmp_path: Path) -> None:
    apiserver = Apiserver(
        [page(7, thing("a", 1, "1"))],
        [status(code), status(code), stream(event("MODIFIED", thing("a", 8, "2")), stay=True)],
    )
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 2)

    assert seen.changes == [("a", None, "1"), ("a", "1", "2")]
    assert apiserver.watched_from == ["7", "7", "7"]


async def test_a_kind_that_is_not_served_counts_as_empty_until_it_is(tmp_path: Path) -> None:
    apiserver = Apiserver([status(404), page(7, thing("a", 1, "1"))], [stream(stay=True)])
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: seen.changes == [("a", None, "1")])


async def test_a_404_from_an_apiserver_that_starts_forgets_nothing(tmp_path: Path) -> None:
    apiserver = Apiserver(
        [page(7, thing("a", 1, "1")), status(404), page(9, thing("a", 1, "1"), thing("b", 8, "2"))],
        [status(404), stream(stay=True)],
    )
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 2)

    assert seen.changes == [("a", None, "1"), ("b", None, "2")]


async def test_an_object_that_cannot_be_read_keeps_its_last_good_state(tmp_path: Path) -> None:
    broken = event("MODIFIED", thing("a", 8, "broken"))
    after = event("ADDED", thing("b", 9, "2"))
    apiserver = Apiserver([page(7, thing("a", 1, "1"))], [stream(broken, after, stay=True)])
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 2)

        assert seen.reflector.get("a", "ns") == "1"


def nested(body: bytes) -> bytes:
    """Return a body with a value as deep as an apiserver stores it, deeper than Python's stack."""
    return body.replace(b'"deep"', b"[" * 9_000 + b"]" * 9_000)


async def test_an_object_of_any_depth_hides_no_other(tmp_path: Path) -> None:
    async def listed(_: web.Request) -> web.Response:
        items = [thing("a", 1, "deep"), thing("b", 2, "1")]
        body = json.dumps({"metadata": {"resourceVersion": "7"}, "items": items}).encode()
        return web.Response(body=nested(body), content_type="application/json")

    events = nested(event("ADDED", thing("c", 8, "deep"))), event("ADDED", thing("d", 9, "2"))
    async with reflecting(Apiserver([listed], [stream(*events, stay=True)]), tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 2)

    assert seen.changes == [("b", None, "1"), ("d", None, "2")]


async def test_an_older_event_restores_no_object(tmp_path: Path) -> None:
    going, older = event("MODIFIED", thing("a", 8, "")), event("MODIFIED", thing("a", 7, "2"))
    after = event("ADDED", thing("b", 9, "3"))
    apiserver = Apiserver([page(6, thing("a", 1, "1"))], [stream(going, older, after, stay=True)])
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 3)

    assert seen.changes == [("a", None, "1"), ("a", "1", None), ("b", None, "3")]


async def test_nothing_is_remembered_of_what_was_never_of_interest(tmp_path: Path) -> None:
    apiserver = Apiserver(
        [page(7, thing("a", 1, ""))], [stream(event("ADDED", thing("b", 9, "3")), stay=True)]
    )
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 1)

        assert len(seen.reflector) == 1
        assert not seen.reflector._ended


async def test_a_long_list_lets_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLICE", 0.0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    apiserver = Apiserver(
        [page(7), page(900, *(thing(f"a{n}", n, "1") for n in range(1, 200)))], [status(410)]
    )
    async with reflecting(apiserver, tmp_path) as seen:
        running = asyncio.create_task(other())
        await seen.until(lambda: len(seen.changes) == 1)
        before = turns
        await seen.until(lambda: len(seen.changes) == 199)
        running.cancel()

    assert turns - before >= 198, "one after each object"


async def test_objects_written_during_a_list_stay(tmp_path: Path) -> None:
    """The list is of a moment before the write, and does not have it."""
    written = asyncio.Event()

    async def second_page(request: web.Request) -> web.StreamResponse:
        await written.wait()
        return await page(90, thing("b", 2, "2"))(request)

    apiserver = Apiserver(
        [page(7, thing("a", 1, "1")), page(90, thing("c", 3, "3"), more="next"), second_page],
        [status(410), stream(stay=True)],
    )
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 2)
        seen.reflector.learn(json.dumps(thing("a", 91, "ours")).encode())
        written.set()
        await seen.until(lambda: len(apiserver.watched_from) == 2)

        assert seen.reflector.get("a", "ns") == "ours"


async def test_the_echo_of_a_write_of_towpath_is_no_change(tmp_path: Path) -> None:
    asked = asyncio.Event()
    echo = event("ADDED", thing("a", 8, "ours")) + event("ADDED", thing("b", 9, "theirs"))

    async def after_the_write(request: web.Request) -> web.StreamResponse:
        await asked.wait()
        return await stream(echo, stay=True)(request)

    apiserver = Apiserver([page(7)], [after_the_write])
    async with reflecting(apiserver, tmp_path) as seen:
        seen.reflector.learn(json.dumps(thing("a", 8, "ours")).encode())
        asked.set()
        await seen.until(lambda: len(seen.changes) == 2)

    assert seen.changes == [("a", None, "ours"), ("b", None, "theirs")]


async def test_a_late_answer_to_a_write_restores_no_deleted_object(
    tmp_path: Path,
) -> None:
    events = event("ADDED", thing("a", 8, "ours")) + event("DELETED", thing("a", 9, "ours"))
    apiserver = Apiserver([page(7)], [stream(events, stay=True)])
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(seen.changes) == 2)
        seen.reflector.learn(json.dumps(thing("a", 8, "ours")).encode())

        assert not seen.reflector.items()


async def test_a_list_requested_without_a_watch_is_read(tmp_path: Path) -> None:
    apiserver = Apiserver([page(7), page(8, thing("a", 1, "1"))], [status(500), stream(stay=True)])
    async with reflecting(apiserver, tmp_path) as seen:
        seen.reflector.interrupted = lambda _: seen.reflector.relist()
        await seen.until(lambda: bool(seen.changes))


async def test_a_list_that_was_wrong_is_put_right_by_another(tmp_path: Path) -> None:
    apiserver = Apiserver([page(7), page(8, thing("a", 1, "1"))], [stream(stay=True)])
    async with reflecting(apiserver, tmp_path) as seen:
        found_nothing = [seen.reflector.found_nothing]
        await seen.until(lambda: len(apiserver.watched_from) == 1)
        for _ in range(2):  # a second request gets the same answer
            seen.reflector.relist()
        await seen.until(lambda: len(apiserver.watched_from) == 2)
        found_nothing.append(seen.reflector.found_nothing)
    assert found_nothing == [True, False]
    assert seen.changes == [("a", None, "1")]
    assert apiserver.watched_from == ["7", "8"]


@pytest.mark.parametrize("where", ["list", "watch"])
async def test_a_malformed_answer_is_requested_again(where: str, tmp_path: Path) -> None:
    async def page_of_a_proxy(_: web.Request) -> web.Response:
        return web.Response(text="<html>\nSorry\n</html>\n", content_type="text/html")

    lists, watches = [page(7, thing("a", 1, "1"))], [stream(stay=True)]
    {"list": lists, "watch": watches}[where].insert(0, page_of_a_proxy)
    async with reflecting(Apiserver(lists, watches), tmp_path) as seen:
        await seen.until(lambda: len(watches) == 1)

        assert seen.reflector.items() == {Name("ns", "a"): "1"}


async def test_a_kind_without_changes_is_watched_on_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An apiserver ends the watch of a quiet kind without having sent a byte: that is no interruption."""
    monkeypatch.setattr(module, "_STEADY", 0.05)

    async def quiet(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(0.1)
        return response

    apiserver = Apiserver([page(7)], [quiet])
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(apiserver.watched_from) == 4)

    assert "interrupted" not in capsys.readouterr().out


async def test_watches_that_end_at_once_cause_no_hot_loop(tmp_path: Path) -> None:
    apiserver = Apiserver([page(7)], [stream()])
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: len(apiserver.watched_from) == 5)
        began = asyncio.get_running_loop().time()
        await seen.until(lambda: len(apiserver.watched_from) == 9)

    assert asyncio.get_running_loop().time() - began > 4 * 0.05 * 0.5, "each time after the longest pause"


async def test_a_silent_stream_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.2)
    apiserver = Apiserver(
        [page(7)], [stream(stay=True), stream(event("ADDED", thing("a", 8, "1")), stay=True)]
    )
    async with reflecting(apiserver, tmp_path) as seen:
        await seen.until(lambda: bool(seen.changes))

    assert apiserver.watched_from == ["7", "7"]


async def test_the_next_page_comes_while_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLICE", 0.0)
    running: list[Seen] = []
    read_before: list[int] = []

    async def last(request: web.Request) -> web.StreamResponse:
        read_before.extend(len(seen.changes) for seen in running)
        return await page(900)(request)

    long = page(900, *(thing(f"a{n}", n, "1") for n in range(1, 400)), more="next")
    async with reflecting(Apiserver([page(7), long, last], [status(410)]), tmp_path) as seen:
        running.append(seen)
        await seen.until(lambda: len(seen.changes) == 399)
        await seen.until(lambda: bool(read_before))

    assert read_before[0] < 399


async def test_what_is_read_once_is_kept_as_it_is_decoded(tmp_path: Path) -> None:
    apiserver = Apiserver([page(7, thing("a", 1, "a value"))], [])
    async with answered_by(apiserver.answer, tmp_path) as client:
        reflector = Reflector(client, THINGS, decode, lambda *_: None, packed=True)
        await reflector.read()

        assert reflector.get("a", "ns") == "a value"
        assert reflector.get("a", "ns") is reflector.get("a", "ns")
