"""Every write to Karmada's apiserver: counted, answered for while this process leads, and learned from.

Objects are applied server-side; what comes back is put into the reflectors at once, so that the next look at
a service sees it. A status is written when it would say something else than it does: a CRD of ErieCanal's or
FSM's own may drop a part of it, and what was dropped once is not written again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog

from towpath.controller.metrics import FailedWriteLabels, Metrics, Verb, WriteLabels
from towpath.derivation.stages import Write
from towpath.derivation.status import Status, says
from towpath.errors import ApiError, NotFound
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client, Resource
from towpath.karmada.reflector import Name, Reflector
from towpath.model.ownership import FIELD_MANAGER
from towpath.propagation.claims import without_claim

log = structlog.get_logger()
TOUCHED = "towpath.io/touched"
"""Annotation on a template: when Karmada was last made to look at it anew."""


class _Said(NamedTuple):
    """A status that was written, and what was kept of it."""

    wanted: Status
    kept: Status


class Writer:
    """Writes. Every call raises ApiError, also if it is not for this process to write any more."""

    def __init__(self, client: Client, metrics: Metrics, may_write: Callable[[], bool]) -> None:
        self._client = client
        self._metrics = metrics
        self._may_write = may_write
        self._said: dict[tuple[Resource, Name], _Said] = {}

    async def change(self, reflector: Reflector[Any], change: Write) -> None:
        """Apply or delete one object. What others have made is not taken over: that is a Conflict."""
        live, wanted = change
        meta = (wanted or live or {})["metadata"]
        resource, name = reflector.resource, f"{meta['namespace']}/{meta['name']}"
        if wanted is None:
            uid = meta.get("uid", "")  # one that we have just made is known without
            with self._counted(resource, Verb.DELETE):
                gone = await self._client.delete(resource, meta["name"], meta["namespace"], uid=uid)
            if gone:
                log.info("removed", kind=resource.kind, name=name)
            return
        with self._counted(resource, Verb.APPLY):
            answer = await self._client.apply(resource, wanted, FIELD_MANAGER, force=live is not None)
        reflector.learn(answer)
        log.info("written", kind=resource.kind, name=name)

    async def touch(self, reflector: Reflector[Any], name: Name, *, unclaim: bool = False) -> None:
        """Make Karmada look at a template anew, and ``unclaim``: decide anew which policy has it.

        That is another manager's doing than what is applied, which would take it away again.
        """
        path, query = reflector.resource.path(*name), [("fieldManager", f"{FIELD_MANAGER}-touch")]
        patch = without_claim() if unclaim else {"annotations": {}}
        patch["annotations"][TOUCHED] = f"{time.time():.3f}"
        body = {"metadata": patch}
        with self._counted(reflector.resource, Verb.TOUCH):
            answer = await self._client.request("PATCH", path, query=query, body=body, content_type=MERGE)
        reflector.learn(answer)

    async def say(
        self, reflector: Reflector[Any], name: Name, before: Status, make: Callable[[Status], Status]
    ) -> Status | None:
        """Bring a status to what ``make`` returns for what it says; return that if it had to be written."""
        which = (reflector.resource, name)
        said = self._said.get(which)
        wanted = make(said.wanted if said and said.kept == before else before)
        if says(before, wanted) or said == (wanted, before):
            return None
        resource = reflector.resource
        obj = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name.name, **({"namespace": name.namespace} if name.namespace else {})},
            "status": wanted,
        }
        with self._counted(resource, Verb.STATUS):
            try:
                answer = await self._client.apply(resource, obj, FIELD_MANAGER, subresource="status")
            except NotFound:  # it has gone, or its CRD has no status
                self._said[which] = _Said(wanted, before)
                return None
        reflector.learn(answer)
        self._said[which] = _Said(wanted, json.loads(answer).get("status") or {})
        return wanted

    def forget(self, resource: Resource, name: Name) -> None:
        """An object has gone."""
        self._said.pop((resource, name), None)

    async def read(self, resource: Resource, name: Name) -> dict[str, Any] | None:
        """Return an object as it is now, None if there is none."""
        try:
            return await self._client.get(resource, name.name, name.namespace)
        except NotFound:
            return None

    async def adopt(self, binding: dict[str, Any], former: str, uid: str) -> None:
        """Make a ResourceBinding that of the template of this uid. A Conflict if it has changed meanwhile."""
        meta = binding["metadata"]
        owners = [
            {**one, "uid": uid} if one["uid"] == former else one for one in meta.get("ownerReferences", ())
        ]
        body = {
            "metadata": {"resourceVersion": meta["resourceVersion"], "ownerReferences": owners},
            "spec": {"resource": {"uid": uid}},
        }
        path, query = (
            resources.BINDINGS.path(meta["namespace"], meta["name"]),
            [("fieldManager", FIELD_MANAGER)],
        )
        with self._counted(resources.BINDINGS, Verb.ADOPT):
            await self._client.request("PATCH", path, query=query, body=body, content_type=MERGE)

    async def send_event(self, event: dict[str, Any]) -> None:
        """Create an Event."""
        path = resources.EVENTS.path(event["metadata"]["namespace"])
        with self._counted(resources.EVENTS, Verb.EVENT):
            await self._client.request("POST", path, body=event)

    @contextmanager
    def _counted(self, resource: Resource, verb: Verb) -> Iterator[None]:
        """Count the write in the block."""
        if not self._may_write():
            raise ApiError(f"{verb.value} of {resource.kind}: another process leads")
        try:
            yield
        except ApiError as error:
            self._metrics.write_failures[FailedWriteLabels(resource.kind, verb, type(error).__name__)].inc()
            raise
        self._metrics.writes[WriteLabels(resource.kind, verb)].inc()
