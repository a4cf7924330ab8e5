"""Keeping one kind's objects in memory: list once, then watch for ever.

The life of a reflector: list in pages, remember the resourceVersion, watch from there. The apiserver
ends a watch after a minute or so and it is taken up where it ended; bookmarks keep that place fresh, and
a stream that stays silent longer than a watch lasts is given up as dead. ``410 Gone`` means the place is
too old: list again. Anything else that fails is tried again with growing, jittered pauses; what is in
memory stays meanwhile. A kind that is not served yet (its CRD is missing) counts as empty, and is asked
for again until it appears. So is what holds something else than Kubernetes objects: whoever answers in the
apiserver's place for a while must not end the process.

A list can be wrong and be believed for as long as its watch lasts. ``found_nothing`` says of the last one
that it was empty, and ``relist`` lists anew.

``decode`` turns an object's bytes into what is worth keeping, or None for objects of no interest, so
memory grows with what is needed and not with what the fleet has. What is looked at rarely and as a whole can
be kept packed, a hundredth of the size, and is decoded when it is asked for (``packed``).

A list may be long: it is taken in page by page, so that no more than one page is held as bytes, and the
event loop gets its turn every few milliseconds. What is in memory then is of different moments for a while,
as it is between two events anyway; ``synced`` tells when the first list is through.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, NamedTuple, TypeVar

import msgspec
import structlog

from towpath.errors import ApiError, Gone, InvalidObject, NotFound, Unreachable
from towpath.karmada.client import Client, Resource

log = structlog.get_logger()

T = TypeVar("T")
PAGE = 200
"""Objects asked for at once: of the largest, bindings to a hundred clusters, that is some 4 MiB."""
_SLICE = 0.002
"""Seconds of decoding after which others get their turn."""
_WATCH_SECONDS = 60
"""The apiserver ends a watch after this and up to a third more. Short, because a kind in which nothing
changes gets no bookmarks either (apiserver cache_watcher.go): only its end shows that the stream lives."""
SILENCE = 90.0
"""Seconds without a byte after which a stream is dead; longer than any watch lasts."""
_STEADY = 5.0
"""Seconds after which a watch counts as having worked."""
_GONE = 410
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_NOT_SERVED_PAUSE = 5.0


_FAST = 1
"""Level of compression: what is kept packed repeats itself so much that more would gain little."""


class Name(NamedTuple):
    """Namespace (empty for cluster-scoped kinds) and name of an object."""

    namespace: str
    name: str


class _Meta(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Head(msgspec.Struct, gc=False):
    metadata: _Meta


class _ListMeta(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    next_page: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Kept(msgspec.Struct, Generic[T], gc=False):
    """What is remembered of an object: its decoded form, or else its bytes."""

    version: int
    item: T | None
    packed: bytes


_pages = msgspec.json.Decoder(_Page)
_events = msgspec.json.Decoder(_Event)
_heads = msgspec.json.Decoder(_Head)


class Reflector(Generic[T]):
    """One kind's objects, decoded, by name. ``changed(name, old, new)`` is called for every difference.

    ``selector`` is a label selector, and ``only`` names the one object that is of interest.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        decode: Callable[[bytes], T | None],
        changed: Callable[[Name, T | None, T | None], None],
        *,
        selector: str = "",
        only: Name | None = None,
        packed: bool = False,
    ) -> None:
        self.resource = resource
        self._path = resource.path(only.namespace if only else "")
        self.interrupted: Callable[[ApiError], None] = lambda _: None
        """Hears why a watch had to begin again."""
        self.synced = asyncio.Event()
        self.found_nothing = True
        """Whether the last list held no object at all, or there was none."""
        self._client = client
        self._decode = decode
        self._changed = changed
        self._selector = [("labelSelector", selector)] if selector else []
        if only is not None:
            self._selector += [("fieldSelector", f"metadata.name={only.name}")]
        self._packed = packed
        self._kept: dict[Name, _Kept[T]] = {}
        self._ended: dict[Name, int] = {}
        """Versions of what is there still and of no interest any more, as while it is being deleted."""
        self._version = ""
        self._watching: asyncio.Timeout | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str, namespace: str = "") -> T | None:
        """Return what is remembered of an object, None if there is none. It is not to be changed."""
        return self._read(self._kept.get(Name(namespace, name)))

    def items(self) -> dict[Name, T]:
        """Return everything, by name: a copy that stays as it is."""
        read = ((name, self._read(kept)) for name, kept in self._kept.items())
        return {name: item for name, item in read if item is not None}

    def _read(self, kept: _Kept[T] | None) -> T | None:
        if kept is None:
            return None
        return self._decode(zlib.decompress(kept.packed)) if kept.packed else kept.item

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
                        pause = _FIRST_PAUSE
            except TimeoutError:
                self._version = ""  # asked to list anew
                continue
            except Gone as error:
                self._version = ""
                self.interrupted(error)
            except NotFound as error:
                # Nothing is forgotten: a CRD that goes takes its objects first, and we are told of each.
                self._version = ""
                if self.synced.is_set():
                    self.interrupted(error)
                self.synced.set()
                await asyncio.sleep(_NOT_SERVED_PAUSE)
            except (ApiError, msgspec.DecodeError) as error:
                log.warning("watch interrupted", kind=str(self.resource), error=str(error))
                self.interrupted(error if isinstance(error, ApiError) else _no_answer(error))
            if time.monotonic() - began > _STEADY:
                pause = _FIRST_PAUSE  # it worked for a while: take it up again at once
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, _LONGEST_PAUSE)

    @asynccontextmanager
    async def _unless_asked(self) -> AsyncIterator[None]:
        """End the block with TimeoutError when asked to list anew."""
        async with asyncio.timeout(None) as watching:
            self._watching = watching
            try:
                yield
            finally:
                self._watching = None

    def relist(self) -> None:
        """List anew, because what was listed may be wrong."""
        self._version = ""
        if self._watching is not None and not self._watching.expired():
            self._watching.reschedule(asyncio.get_running_loop().time())

    async def _list(self) -> None:
        unseen = {name: kept.version for name, kept in self._kept.items()} | self._ended
        query = [("limit", str(PAGE)), *self._selector]
        token: list[tuple[str, str]] = []
        found = False
        while True:
            page = _pages.decode(await self._client.request("GET", self._path, query=[*query, *token]))
            found = found or bool(page.items)
            pause = time.perf_counter() + _SLICE
            for raw in page.items:
                name, version = _head(raw)
                unseen.pop(name, None)
                self._put(name, bytes(raw), version)
                if time.perf_counter() > pause:
                    await asyncio.sleep(0)
                    pause = time.perf_counter() + _SLICE
            if not page.metadata.next_page:
                break
            token = [("continue", page.metadata.next_page)]
        for name, version in unseen.items():
            self._remove(name, version)
        self.found_nothing = not found
        self._version = page.metadata.resource_version

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
                self._take(_events.decode(line))
                yield

    def _take(self, event: _Event) -> None:
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=_Status)
            kind = Gone if status.code == _GONE else Unreachable
            raise kind(f"watch of {self.resource}: {status.message}", status.code)
        name, version = _head(event.object)
        if event.type == "DELETED":
            self._remove(name, version)
        elif event.type != "BOOKMARK":
            self._put(name, bytes(event.object), version)
        self._version = str(version)

    def learn(self, raw: bytes) -> None:
        """Take in what the apiserver answered to a write of ours, before the watch brings it.

        Raises Unreachable if it is no object.
        """
        try:
            name, version = _head(raw)
        except msgspec.DecodeError as error:
            raise _no_answer(error) from error
        if version > int(self._version or 0):  # else the watch told of it already, or that it has gone since
            self._put(name, raw, version)

    def _known(self, name: Name) -> int:
        kept = self._kept.get(name)
        return kept.version if kept else self._ended.get(name, 0)

    def _put(self, name: Name, raw: bytes, version: int) -> None:
        if version <= self._known(name):
            return  # the echo of a write that we learned from its answer
        try:
            new = self._decode(raw)
        except (InvalidObject, msgspec.DecodeError) as error:
            # Its last good state stays in force: a broken object must not withdraw a service.
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
            return  # it has been made anew since, and we learned of that first
        self._ended.pop(name, None)
        old = self._read(self._kept.pop(name, None))
        if old is not None:
            self._changed(name, old, None)


def _head(raw: bytes | msgspec.Raw) -> tuple[Name, int]:
    """Return name and version of an object. Of namespaces there are few: equal ones are one string."""
    meta = _heads.decode(raw).metadata
    return Name(sys.intern(meta.namespace), meta.name), int(meta.resource_version)


def _no_answer(error: msgspec.DecodeError) -> Unreachable:
    return Unreachable(f"no answer of an apiserver: {error}")


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut a stream into its lines, however long they are."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
