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
memory grows with what is needed and not with what the fleet has.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, NamedTuple, TypeVar

import msgspec
import structlog

from towpath.errors import ApiError, Gone, InvalidObject, NotFound, Unreachable
from towpath.karmada.client import Client, Resource

log = structlog.get_logger()

T = TypeVar("T")
PAGE = 500
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
    ) -> None:
        self.resource = resource
        self.interrupted: Callable[[ApiError], None] = lambda _: None
        """Hears why a watch had to begin again."""
        self.synced = asyncio.Event()
        self.found_nothing = True
        """Whether the last list held no object at all, or there was none."""
        self._client = client
        self._decode = decode
        self._changed = changed
        self._selector = [("labelSelector", selector)] if selector else []
        self._items: dict[Name, T] = {}
        self._versions: dict[Name, int] = {}
        self._version = ""
        self._watching: asyncio.Timeout | None = None

    def __len__(self) -> int:
        return len(self._items)

    def get(self, name: str, namespace: str = "") -> T | None:
        """Return what is remembered of an object, None if there is none."""
        return self._items.get(Name(namespace, name))

    def items(self) -> dict[Name, T]:
        """Return everything, by name: a copy that stays as it is."""
        return dict(self._items)

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
        found: dict[Name, tuple[int, bytes]] = {}
        query = [("limit", str(PAGE)), *self._selector]
        token: list[tuple[str, str]] = []
        while True:
            body = await self._client.request("GET", self.resource.path(), query=[*query, *token])
            page = msgspec.json.decode(body, type=_Page)
            for raw in page.items:
                meta = msgspec.json.decode(raw, type=_Head).metadata
                found[Name(meta.namespace, meta.name)] = (int(meta.resource_version), bytes(raw))
            if not page.metadata.next_page:
                break
            token = [("continue", page.metadata.next_page)]
        self._replace(found)
        self.found_nothing = not found
        self._version = page.metadata.resource_version

    def _replace(self, found: dict[Name, tuple[int, bytes]]) -> None:
        for name in [name for name in self._items if name not in found]:
            self._remove(name, self._versions.get(name, 0))
        for name, (version, raw) in found.items():
            self._put(name, raw, version)

    async def _watch(self) -> AsyncIterator[None]:
        """Follow one watch to its end; yields after every event."""
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(_WATCH_SECONDS + random.randrange(20))),  # noqa: S311 - spread
            *self._selector,
        ]
        async with self._client.stream(self.resource.path(), query=query, silence=SILENCE) as chunks:
            async for line in lines(chunks):
                self._take(msgspec.json.decode(line, type=_Event))
                yield

    def _take(self, event: _Event) -> None:
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=_Status)
            kind = Gone if status.code == _GONE else Unreachable
            raise kind(f"watch of {self.resource}: {status.message}", status.code)
        meta = msgspec.json.decode(event.object, type=_Head).metadata
        name, version = Name(meta.namespace, meta.name), int(meta.resource_version)
        if event.type == "DELETED":
            self._remove(name, version)
        elif event.type != "BOOKMARK":
            self._put(name, bytes(event.object), version)
        self._version = meta.resource_version

    def learn(self, raw: bytes) -> None:
        """Take in what the apiserver answered to a write of ours, before the watch brings it.

        Raises Unreachable if it is no object.
        """
        try:
            meta = msgspec.json.decode(raw, type=_Head).metadata
        except msgspec.DecodeError as error:
            raise _no_answer(error) from error
        version = int(meta.resource_version)
        if version > int(self._version or 0):  # else the watch told of it already, or that it has gone since
            self._put(Name(meta.namespace, meta.name), raw, version)

    def _put(self, name: Name, raw: bytes, version: int) -> None:
        if version <= self._versions.get(name, 0):
            return  # the echo of a write that we learned from its answer
        try:
            new = self._decode(raw)
        except (InvalidObject, msgspec.DecodeError) as error:
            # Its last good state stays in force: a broken object must not withdraw a service.
            log.error("object ignored", kind=str(self.resource), name="/".join(name), error=str(error))
            return
        self._versions[name] = version
        old = self._items.get(name)
        if new is None:
            self._items.pop(name, None)
        else:
            self._items[name] = new
        if new != old:
            self._changed(name, old, new)

    def _remove(self, name: Name, version: int) -> None:
        if version < self._versions.get(name, 0):
            return  # it has been made anew since, and we learned of that first
        self._versions.pop(name, None)
        old = self._items.pop(name, None)
        if old is not None:
            self._changed(name, old, None)


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
