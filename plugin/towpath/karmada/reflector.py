"""Keeping the objects of one kind in memory: list once, then watch.

A reflector lists in pages, remembers the resourceVersion, and watches from there. The apiserver ends a watch
after about a minute, and the next one continues where it ended; bookmarks keep that place recent. A stream
that is silent longer than a watch lasts is dead. ``410 Gone`` means that the place is too old: list again.
Any other failure is retried with growing, jittered pauses, while the objects in memory stay. A kind that is
not served (its CRD is missing) counts as empty and is requested again until it appears. An answer that holds
no Kubernetes objects is retried too: a wrong server in the place of the apiserver must not end the process.

A list can be wrong, and is believed for as long as its watch lasts. ``found_nothing`` reports that the last
one was empty, and ``relist`` lists again.

``decode`` turns the bytes of an object into what is needed of it, or None if the object does not matter, so
memory grows with what is needed and not with the fleet. Objects that are needed rarely and as a whole can be
kept compressed, at a hundredth of the size, and are decoded on request (``packed``).

A long list is processed page by page, the next one on its way meanwhile, so that at most two pages are held
as bytes, and the event loop runs every few milliseconds. ``synced`` is set when the first list is complete.
"""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Generic, TypeVar

import msgspec
import structlog

from towpath.errors import ApiError, Gone, InvalidObject, NotFound, Unreachable
from towpath.karmada.client import Client, Resource
from towpath.karmada.nesting import decoded
from towpath.karmada.wire import Event, Name, Page, Status, events, head, lines, pages

log = structlog.get_logger()

T = TypeVar("T")
PAGE = 200
"""Objects in a page: of the largest, bindings to a hundred clusters, some 4 MiB."""
_SLICE = 0.002
"""Seconds of decoding after which the event loop runs."""
_WATCH_SECONDS = 60
"""The apiserver ends a watch after this and up to a third more. Short, because a kind without changes gets no
bookmarks either (apiserver cache_watcher.go): only the end of the watch shows that the stream lives."""
SILENCE = 90.0
"""Seconds without a byte after which a stream is dead: longer than a watch lasts."""
_STEADY = 5.0
"""Seconds after which a watch counts as successful."""
_GONE = 410
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_NOT_SERVED_PAUSE = 5.0


_FAST = 1
"""Level of compression: packed objects repeat so much that a higher level gains little."""


class _Kept(msgspec.Struct, Generic[T], gc=False):
    """An object in memory: decoded, or as bytes."""

    version: int
    item: T | None
    packed: bytes


class Reflector(Generic[T]):
    """One kind's objects, decoded, by name. ``changed(name, old, new)`` is called for every difference."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        decode: Callable[[bytes], T | None],
        changed: Callable[[Name, T | None, T | None], None],
        *,
        selector: str = "",
        packed: bool = False,
        only: tuple[str, str] | None = None,
    ) -> None:
        """``only`` is the namespace and name of the one object to follow."""
        self.resource = resource
        self.interrupted: Callable[[ApiError], None] = lambda _: None
        """Called with the reason when a watch has to begin again."""
        self.synced = asyncio.Event()
        self.found_nothing = True
        """Whether the last list was empty, or there was none yet."""
        self.lists = 0
        """How often the kind has been listed."""
        self._client = client
        self._decode = decode
        self._changed = changed
        self._path = resource.path(only[0] if only else "")
        self._selector = [("labelSelector", selector)] if selector else []
        self._selector += [("fieldSelector", f"metadata.name={only[1]}")] if only else []
        self._packed = packed
        self._kept: dict[Name, _Kept[T]] = {}
        self._ended: dict[Name, int] = {}
        """Versions of objects that exist and no longer matter, such as those that are being deleted."""
        self._version = self._complaint = ""
        self._watching: asyncio.Timeout | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str, namespace: str = "") -> T | None:
        """Return an object, None if there is none. Callers must not change it."""
        return self._read(self._kept.get(Name(namespace, name)))

    def items(self) -> dict[Name, T]:
        """Return all objects by name: a copy that does not change."""
        read = ((name, self._read(kept)) for name, kept in self._kept.items())
        return {name: item for name, item in read if item is not None}

    def _read(self, kept: _Kept[T] | None) -> T | None:
        if kept is None:
            return None
        return self._decode(zlib.decompress(kept.packed)) if kept.packed else kept.item

    async def read(self) -> None:
        """List once, without a watch: for a program that ends after its answer. Raises ApiError.

        Nothing is packed: what is kept for seconds need not be small.
        """
        self._packed = False
        with suppress(NotFound):  # not served, so there are none
            await self._list()
        self.synced.set()

    async def run(self) -> None:
        """List and watch until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                if not self._version:
                    await self._list()
                    self.synced.set()
                async with self._unless_asked():
                    async for _ in self._watch():
                        pause, self._complaint = _FIRST_PAUSE, ""
            except TimeoutError:
                self._version = ""  # asked to list again
                continue
            except Gone as error:
                self._version = ""
                self.interrupted(error)
            except NotFound as error:
                # Nothing is forgotten: before a CRD is deleted its objects are, with an event for each.
                self._version = ""
                if self.synced.is_set():
                    self.interrupted(error)
                self.synced.set()
                await asyncio.sleep(_NOT_SERVED_PAUSE)
            except (ApiError, msgspec.DecodeError) as error:
                failure = error if isinstance(error, ApiError) else _no_answer(error)
                self._complain(failure)
                self.interrupted(failure)
            if time.monotonic() - began > _STEADY:
                pause = _FIRST_PAUSE  # it worked for a while: continue at once
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _complain(self, error: ApiError) -> None:
        """Log why a watch begins again: the same only once, and missing permissions together."""
        if str(error) == self._complaint or self._client.denials.note(error):
            return
        self._complaint = str(error)
        log.warning("watch interrupted", kind=str(self.resource), error=self._complaint)

    @asynccontextmanager
    async def _unless_asked(self) -> AsyncIterator[None]:
        """End the block with TimeoutError when asked to list again."""
        async with asyncio.timeout(None) as watching:
            self._watching = watching
            try:
                yield
            finally:
                self._watching = None

    def relist(self) -> None:
        """List again, because the last list may be wrong."""
        self._version = ""
        if self._watching is not None and not self._watching.expired():
            self._watching.reschedule(asyncio.get_running_loop().time())

    async def _list(self) -> None:
        unseen = {name: kept.version for name, kept in self._kept.items()} | self._ended
        found, listed_at = False, ""
        async with aclosing(self._pages()) as received:
            async for page in received:
                found, listed_at = found or bool(page.items), page.metadata.resource_version
                pause = time.perf_counter() + _SLICE
                for raw in page.items:
                    name, version = head(raw)
                    unseen.pop(name, None)
                    self._put(name, bytes(raw), version)
                    if time.perf_counter() > pause:
                        await asyncio.sleep(0)
                        pause = time.perf_counter() + _SLICE
        for name, version in unseen.items():
            self._remove(name, version)
        self.found_nothing = not found
        self.lists += 1
        self._version = listed_at

    async def _pages(self) -> AsyncGenerator[Page]:
        """Yield the pages of a list. The apiserver makes the next one while one is processed."""
        query = [("limit", str(PAGE)), *self._selector]

        def ask(*more: tuple[str, str]) -> asyncio.Task[bytes]:
            return asyncio.create_task(self._client.request("GET", self._path, query=[*query, *more]))

        coming = ask()
        try:
            while True:
                page = decoded(pages, await coming)
                if not page.metadata.next_page:
                    yield page
                    return
                coming = ask(("continue", page.metadata.next_page))
                yield page
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _watch(self) -> AsyncIterator[None]:
        """Follow one watch to its end; yields after every event."""
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(_WATCH_SECONDS + random.randrange(20))),  # noqa: S311 - spread
            *self._selector,
        ]
        async with self._client.stream(self._path, query=query, silence=SILENCE) as chunks:
            async for line in lines(chunks):
                self._take(decoded(events, line))
                yield

    def _take(self, event: Event) -> None:
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=Status)
            kind = Gone if status.code == _GONE else Unreachable
            raise kind(f"watch of {self.resource}: {status.message}", status.code)
        name, version = head(event.object)
        if event.type == "DELETED":
            self._remove(name, version)
        elif event.type != "BOOKMARK":
            self._put(name, bytes(event.object), version)
        self._version = str(version)

    def learn(self, raw: bytes) -> None:
        """Store the answer to a write of ours before the watch delivers it.

        Raises Unreachable if it is not an object.
        """
        try:
            name, version = head(raw)
        except msgspec.DecodeError as error:
            raise _no_answer(error) from error
        if version > int(self._version or 0):  # else the watch has delivered it, or its deletion
            self._put(name, raw, version)

    def _known(self, name: Name) -> int:
        kept = self._kept.get(name)
        return kept.version if kept else self._ended.get(name, 0)

    def _put(self, name: Name, raw: bytes, version: int) -> None:
        if version <= self._known(name):
            return  # the event of a write whose answer was stored
        try:
            new = self._decode(raw)
        except (InvalidObject, msgspec.DecodeError, RecursionError) as error:
            # The last good state stays in use: a broken object must not withdraw a service.
            log.error("object ignored", kind=str(self.resource), name="/".join(name), error=str(error))
            return
        kept = self._kept.get(name)
        old = self._read(kept)
        if new is not None:
            self._ended.pop(name, None)
            self._kept[name] = (
                _Kept(version, None, zlib.compress(raw, _FAST)) if self._packed else _Kept(version, new, b"")
            )
        elif kept is not None or name in self._ended:
            self._kept.pop(name, None)
            self._ended[name] = version
        if new != old:
            self._changed(name, old, new)

    def _remove(self, name: Name, version: int) -> None:
        if version < self._known(name):
            return  # it has been created again since, and that was stored first
        self._ended.pop(name, None)
        old = self._read(self._kept.pop(name, None))
        if old is not None:
            self._changed(name, old, None)


def _no_answer(error: msgspec.DecodeError) -> Unreachable:
    return Unreachable(f"The answer is not an apiserver's: {error}")
