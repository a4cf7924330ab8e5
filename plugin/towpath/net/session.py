"""One Envoy's stream of the discovery protocol: what it knows, and in which order it learns of a change.

Clusters come before their endpoints, then listeners, then routes, and clusters that nothing refers to any
more go last: at no moment does a route lead to a cluster that is not there. Each step waits for Envoy's
answer. A step that Envoy rejects changes nothing there, and the following ones are made all the same: what
is wrong with one object stops no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any

from towpath.datapath.envoy import Kind
from towpath.net.snapshot import Snapshot

log = structlog.get_logger()

ANSWER_SECONDS = 10.0
"""How long a step waits for Envoy. It answers within milliseconds, but to hundreds of services in seconds."""
_WILDCARD = (Kind.CLUSTER, Kind.LISTENER)
"""Types of which Envoy always has all. Of the others it asks for what it needs by name."""
_KINDS = {kind.url: kind for kind in Kind}
_LISTED = 5

Send = Callable[[discovery_pb2.DiscoveryResponse], Awaitable[None]]


class _State:
    """What is known of one type."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}
        self.names: frozenset[str] = frozenset()
        self.is_asked = False
        self.nonce = ""
        self.is_answered = True
        self.changed: tuple[str, ...] = ()
        """Names in the last response."""


class Session:
    """One stream. ``rejected`` is called with the type of each update that Envoy rejects."""

    def __init__(self, send: Send, rejected: Callable[[Kind], None]) -> None:
        self._send = send
        self._rejected = rejected
        self._states = {kind: _State() for kind in Kind}
        self._current: Snapshot | None = None
        self._heard = asyncio.Event()
        self._nonces = 0
        self._sending = asyncio.Lock()

    async def push(self, target: Snapshot) -> None:
        """Bring Envoy to a snapshot, in order."""
        self._current = target
        clusters = self._states[Kind.CLUSTER]
        old = {name: body for name, body in clusters.sent.items() if name not in target.of(Kind.CLUSTER)}
        renewed = _changed(target.of(Kind.CLUSTER), clusters.sent)
        await self._send_all(Kind.CLUSTER, {**target.of(Kind.CLUSTER), **old})
        # A cluster that has changed starts without endpoints and does not ask for those that it had before.
        # Envoy answers to clusters only when they have their endpoints.
        await self._send_named(Kind.ENDPOINTS, target, renewed)
        await self._subscribed(Kind.ENDPOINTS, target.of(Kind.ENDPOINTS))
        await self._answered(Kind.CLUSTER)
        renewed = _changed(target.of(Kind.LISTENER), self._states[Kind.LISTENER].sent)
        await self._send_all(Kind.LISTENER, target.of(Kind.LISTENER))
        await self._send_named(Kind.ROUTES, target, renewed)
        await self._answered(Kind.LISTENER)
        await self._answered(Kind.ROUTES)
        await self._send_all(Kind.CLUSTER, target.of(Kind.CLUSTER))
        await self._answered(Kind.CLUSTER)

    async def take(self, request: discovery_pb2.DiscoveryRequest) -> None:
        """Take in what Envoy asks for, accepts or rejects."""
        kind = _KINDS.get(request.type_url)
        if kind is None:
            return
        state = self._states[kind]
        if request.response_nonce != state.nonce and state.is_asked:
            return  # about an older response: the one to the newer is on its way
        if request.HasField("error_detail"):
            self._reject(kind, request.error_detail.message)
        first, added = not state.is_asked, frozenset(request.resource_names) - state.names
        state.is_asked, state.is_answered = True, True
        state.names = frozenset(request.resource_names)
        if kind not in _WILDCARD:
            state.sent = {name: state.sent[name] for name in state.names if name in state.sent}
        self._heard.set()
        if self._current is not None and (first or added):
            await self._answer(kind, self._current, added)

    async def _answer(self, kind: Kind, current: Snapshot, added: Collection[str]) -> None:
        if kind in _WILDCARD:
            await self._respond(kind, current.of(kind))
        elif found := {name: current.of(kind)[name] for name in added if name in current.of(kind)}:
            await self._respond(kind, found)

    def _reject(self, kind: Kind, message: str) -> None:
        self._rejected(kind)
        state = self._states[kind]
        culprits = [name for name in state.sent if name in message] or list(state.changed)
        log.error("Envoy rejected an update", type=kind.name, error=message, resources=culprits[:_LISTED])

    async def _send_all(self, kind: Kind, resources: Mapping[str, Any]) -> None:
        state = self._states[kind]
        if state.is_asked and state.sent != resources:
            await self._respond(kind, resources)

    async def _send_named(self, kind: Kind, target: Snapshot, renewed: Collection[str]) -> None:
        state, wanted = self._states[kind], target.of(kind)
        changed = _changed({name: wanted[name] for name in state.names if name in wanted}, state.sent)
        again = [name for name in renewed if name in state.names and name in wanted]
        if found := {name: wanted[name] for name in (*changed, *again)}:
            await self._respond(kind, found)

    async def _answered(self, kind: Kind) -> None:
        await self._until(lambda: self._states[kind].is_answered)

    async def _subscribed(self, kind: Kind, wanted: Mapping[str, Any]) -> None:
        """Wait until Envoy has asked for all endpoints that there are, and has them."""
        state = self._states[kind]
        if self._states[Kind.CLUSTER].is_asked and wanted:
            await self._until(lambda: state.names >= wanted.keys() and state.is_answered)

    async def _respond(self, kind: Kind, resources: Mapping[str, Any]) -> None:
        state = self._states[kind]
        async with self._sending:
            self._nonces += 1
            state.nonce, state.is_answered = str(self._nonces), False
            state.changed = tuple(_changed(resources, state.sent))
            state.sent = dict(resources) if kind in _WILDCARD else {**state.sent, **resources}
            response = discovery_pb2.DiscoveryResponse(
                type_url=kind.url, version_info=state.nonce, nonce=state.nonce, resources=resources.values()
            )
            await self._send(response)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Wait for Envoy's answer, and go on without one after a while."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not is_so():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            log.warning("Envoy does not answer", seconds=ANSWER_SECONDS)


def _changed(wanted: Mapping[str, Any], sent: Mapping[str, Any]) -> list[str]:
    return [name for name, body in wanted.items() if sent.get(name) is not body and sent.get(name) != body]
