"""One Envoy's stream of the discovery protocol: what it knows, and in which order it learns of a change.

Clusters come before their endpoints, then listeners, then routes, and clusters that nothing refers to any
more go last: at no moment does a route lead to a cluster that is not there. Each step waits for Envoy's
answer. What Envoy rejects keeps its last good state there, and the rest of the response is sent again
(``quarantine``): what is wrong with one object stops no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

import structlog
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any

from towpath.datapath.envoy import Kind
from towpath.net.messages import encode
from towpath.net.quarantine import Quarantine
from towpath.net.snapshot import Snapshot

log = structlog.get_logger()

ANSWER_SECONDS = 10.0
"""How long a step waits for Envoy. It answers within milliseconds, but to hundreds of services in seconds."""
_WILDCARD = (Kind.CLUSTER, Kind.LISTENER)
"""Types of which Envoy always has all. Of the others it asks for what it needs by name."""
_FOLLOWERS = {Kind.CLUSTER: Kind.ENDPOINTS, Kind.LISTENER: Kind.ROUTES}
_KINDS = {kind.url: kind for kind in Kind}
_LISTED = 5

Send = Callable[[discovery_pb2.DiscoveryResponse], Awaitable[None]]


class _State:
    """What is known of one type."""

    def __init__(self) -> None:
        self.wanted: dict[str, Any] = {}
        """What Envoy is to have: of types that it asks for by name, what it has asked for."""
        self.sent: dict[str, Any] = {}
        """What Envoy has, unless it rejects what is on its way."""
        self.accepted: dict[str, Any] = {}
        self.pending: dict[str, dict[str, Any]] = {}
        """Responses that Envoy has not answered yet, by their nonce."""
        self.quarantine = Quarantine()
        self.names: frozenset[str] = frozenset()
        self.is_asked = False
        self.nonce = ""
        self.is_answered = True

    def believe(self, *, all_at_once: bool) -> None:
        """Take it that Envoy accepts what it has not answered yet. ``all_at_once``: each response has all."""
        self.sent = dict(self.accepted)
        for response in self.pending.values():
            self.sent = dict(response) if all_at_once else {**self.sent, **response}


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

    def refused(self) -> Iterator[tuple[Kind, str]]:
        """Yield the resources that Envoy rejects at present."""
        for kind, state in self._states.items():
            yield from ((kind, name) for name in state.quarantine.refused)

    async def push(self, target: Snapshot) -> None:
        """Bring Envoy to a snapshot, in order."""
        self._current = target
        for kind, state in self._states.items():
            state.quarantine.begin(target.of(kind), _now())
        clusters = self._states[Kind.CLUSTER]
        old = {name: body for name, body in clusters.sent.items() if name not in target.of(Kind.CLUSTER)}
        renewed = await self._send_all(Kind.CLUSTER, {**target.of(Kind.CLUSTER), **old})
        # A cluster that has changed starts without endpoints and does not ask for those that it had before.
        # Envoy answers to clusters only when they have their endpoints.
        await self._send_named(Kind.ENDPOINTS, target, renewed)
        await self._subscribed(Kind.ENDPOINTS, target.of(Kind.ENDPOINTS))
        await self._answered(Kind.CLUSTER)
        renewed = await self._send_all(Kind.LISTENER, target.of(Kind.LISTENER))
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
        self._judge(kind, request)
        if request.response_nonce != state.nonce and state.is_asked:
            return  # about an older response: the one to the newer is on its way
        state.pending.clear()
        first, added = not state.is_asked, frozenset(request.resource_names) - state.names
        state.is_asked = True
        state.names = frozenset(request.resource_names)
        if kind not in _WILDCARD:
            for known in (state.wanted, state.sent, state.accepted):
                for name in known.keys() - state.names:
                    del known[name]
        if not await self._try_again(kind):
            state.is_answered = True
        self._heard.set()
        if self._current is not None and (first or added):
            await self._answer(kind, self._current, added)

    def _judge(self, kind: Kind, request: discovery_pb2.DiscoveryRequest) -> None:
        """Take in whether Envoy has accepted a response."""
        state = self._states[kind]
        response = state.pending.pop(request.response_nonce, None)
        if response is None:
            return
        if not request.HasField("error_detail"):
            state.accepted = response if kind in _WILDCARD else {**state.accepted, **response}
            return
        changed = {name: response[name] for name in _changed(response, state.accepted)}
        state.believe(all_at_once=kind in _WILDCARD)
        message = request.error_detail.message
        self._rejected(kind)
        culprits = state.quarantine.reject(changed, message, _now())
        if culprits:
            log.error("Envoy rejects resources", type=kind.name, error=message, resources=culprits[:_LISTED])
        else:
            log.warning("Envoy rejects one of many resources", type=kind.name, error=message)

    async def _try_again(self, kind: Kind) -> bool:
        """Send what a rejected response had beside what is at fault; return whether there is something."""
        state = self._states[kind]
        if state.pending:
            return False
        while state.quarantine.is_searching or state.quarantine.refused:
            state.quarantine.proceed()
            usable = self._usable(kind, state.wanted)
            changed = _changed(usable, state.sent)
            if kind in _WILDCARD and usable != state.sent:
                await self._respond(kind, usable)
                if self._current is not None:
                    await self._send_named(_FOLLOWERS[kind], self._current, changed)
                return True
            if kind not in _WILDCARD and changed:
                await self._respond(kind, {name: usable[name] for name in changed})
                return True
            if not state.quarantine.is_searching:
                break
        return False

    def _usable(self, kind: Kind, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is wanted without what Envoy rejects."""
        state = self._states[kind]
        usable = state.quarantine.without(wanted, state.accepted)
        if kind is Kind.ENDPOINTS:  # Envoy waits for the endpoints of each cluster before it uses any
            missing = state.quarantine.refused.keys() & wanted.keys() - usable.keys()
            usable |= {name: encode(kind, {"cluster_name": name}) for name in missing}
        return usable

    async def _answer(self, kind: Kind, current: Snapshot, added: Collection[str]) -> None:
        if kind in _WILDCARD:
            self._states[kind].wanted = dict(current.of(kind))
            await self._respond(kind, self._usable(kind, current.of(kind)))
        else:
            found = {name: current.of(kind)[name] for name in added if name in current.of(kind)}
            await self._send_some(kind, found, found)

    async def _send_all(self, kind: Kind, resources: Mapping[str, Any]) -> list[str]:
        """Send all of a type if they differ from what Envoy has; return which do."""
        state = self._states[kind]
        state.wanted = dict(resources)
        usable = self._usable(kind, resources)
        changed = _changed(usable, state.sent)
        if state.is_asked and state.sent != usable:
            await self._respond(kind, usable)
        return changed

    async def _send_named(self, kind: Kind, target: Snapshot, renewed: Collection[str]) -> None:
        state, wanted = self._states[kind], target.of(kind)
        await self._send_some(kind, {name: wanted[name] for name in state.names if name in wanted}, renewed)

    async def _send_some(self, kind: Kind, wanted: Mapping[str, Any], again: Collection[str]) -> None:
        """Send what differs from what Envoy has, and what is to be sent in any case."""
        state = self._states[kind]
        state.wanted |= wanted
        usable = self._usable(kind, wanted)
        names = [*_changed(usable, state.sent), *(name for name in again if name in usable)]
        if names:
            await self._respond(kind, {name: usable[name] for name in names})

    async def _answered(self, kind: Kind) -> None:
        await self._until(lambda: self._states[kind].is_answered)

    async def _subscribed(self, kind: Kind, wanted: Mapping[str, Any]) -> None:
        """Wait until Envoy has asked for all endpoints that there are, and has them."""
        clusters, state = self._states[Kind.CLUSTER], self._states[kind]

        def are_there() -> bool:
            used = self._usable(Kind.CLUSTER, clusters.wanted)
            return state.names >= wanted.keys() & used.keys() and state.is_answered

        if clusters.is_asked and wanted:
            await self._until(are_there)

    async def _respond(self, kind: Kind, resources: Mapping[str, Any]) -> None:
        state = self._states[kind]
        async with self._sending:
            self._nonces += 1
            state.nonce, state.is_answered = str(self._nonces), False
            state.pending[state.nonce] = dict(resources)
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


def _now() -> float:
    return asyncio.get_running_loop().time()


def _changed(wanted: Mapping[str, Any], sent: Mapping[str, Any]) -> list[str]:
    return [name for name, body in wanted.items() if sent.get(name) is not body and sent.get(name) != body]
