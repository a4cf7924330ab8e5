"""Every write to the Karmada apiserver: counted, allowed only while this process leads, and learned from.

Objects are applied server-side. The answer goes into the reflectors at once, so that the next snapshot holds
it. A status is written only if it differs from the newest one that is known: the CRDs of ErieCanal and FSM
may drop a part of it, and what they have dropped once is not written again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog

from towpath.controller.decision import PatchStatus
from towpath.controller.metrics import FailedWriteLabels, Metrics, Verb, WriteLabels
from towpath.derivation.stages import Write
from towpath.derivation.status import Status, says
from towpath.errors import ApiError, NotFound
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client, Resource
from towpath.karmada.reflector import Reflector
from towpath.karmada.wire import Name
from towpath.model.ownership import FIELD_MANAGER
from towpath.propagation.claims import without_claim

log = structlog.get_logger()
TOUCHED_ANNOTATION = "towpath.io/touched"
"""On a template: when Karmada was last made to process it again."""


class StatusChange(NamedTuple):
    """A status that was written, and the one before it."""

    before: Status
    after: Status


class _Written(NamedTuple):
    """A status as it was written, and as the apiserver stored it."""

    wanted: Status
    stored: Status


class Writer:
    """Writes. ``kept`` is where the objects of each resource are kept.

    Every call raises ApiError, also when this process does not lead any more.
    """

    def __init__(
        self,
        client: Client,
        kept: Mapping[Resource, Reflector[Any]],
        metrics: Metrics,
        may_write: Callable[[], bool],
    ) -> None:
        self._client = client
        self._kept = kept
        self._by_kind = {(resource.api_version, resource.kind): resource for resource in kept}
        self._metrics = metrics
        self._may_write = may_write
        self._statuses: dict[tuple[Resource, Name], _Written] = {}

    async def write(self, write: Write) -> None:
        """Apply or delete one object. An object that somebody else has created is not taken over: a
        Conflict."""
        obj = write.wanted or write.live or {}
        meta, resource = obj["metadata"], self._by_kind[obj["apiVersion"], obj["kind"]]
        name = f"{meta['namespace']}/{meta['name']}"
        if write.wanted is None:
            uid = meta.get("uid", "")  # an object that was created in this pass is known without
            with self._counted(resource, Verb.DELETE):
                deleted = await self._client.delete(resource, meta["name"], meta["namespace"], uid=uid)
            if deleted:
                log.info("deleted", kind=resource.kind, name=name)
            return
        with self._counted(resource, Verb.APPLY):
            answer = await self._client.apply(
                resource, write.wanted, FIELD_MANAGER, force=write.live is not None
            )
        self._kept[resource].learn(answer)
        log.info("applied", kind=resource.kind, name=name)

    async def touch(self, resource: Resource, name: Name, now: float, *, unclaim: bool = False) -> None:
        """Make Karmada process a template again; with ``unclaim`` it also chooses the policy again.

        Another field manager writes the annotation, or the next apply would remove it.
        """
        path, query = resource.path(*name), [("fieldManager", f"{FIELD_MANAGER}-touch")]
        patch = without_claim() if unclaim else {"annotations": {}}
        patch["annotations"][TOUCHED_ANNOTATION] = f"{now:.3f}"
        body = {"metadata": patch}
        with self._counted(resource, Verb.TOUCH):
            answer = await self._client.request("PATCH", path, query=query, body=body, content_type=MERGE)
        self._kept[resource].learn(answer)

    async def patch_status(self, patch: PatchStatus) -> StatusChange | None:
        """Bring a status to what is wanted; return the change if a write was necessary."""
        resource, name = patch.resource, patch.name
        before = _status(self._kept[resource].get(name.name, name.namespace))
        if before is None:
            return None
        which = (resource, name)
        written = self._statuses.get(which)
        wanted = patch.make(written.wanted if written and written.stored == before else before)
        if says(before, wanted) or written == (wanted, before):
            return None
        obj = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name.name, **({"namespace": name.namespace} if name.namespace else {})},
            "status": wanted,
        }
        with self._counted(resource, Verb.STATUS):
            try:
                answer = await self._client.apply(resource, obj, FIELD_MANAGER, subresource="status")
            except NotFound:  # the object is gone, or its CRD has no status
                self._statuses[which] = _Written(wanted, before)
                return None
        self._kept[resource].learn(answer)
        self._statuses[which] = _Written(wanted, json.loads(answer).get("status") or {})
        return StatusChange(before, wanted)

    def forget(self, resource: Resource, name: Name) -> None:
        """An object no longer exists."""
        self._statuses.pop((resource, name), None)

    async def read(self, resource: Resource, name: Name) -> dict[str, Any] | None:
        """Return an object as it is now, None if it does not exist."""
        try:
            return await self._client.get(resource, name.name, name.namespace)
        except NotFound:
            return None

    async def adopt(self, binding: dict[str, Any], former: str, uid: str) -> None:
        """Make the template of this uid the owner of a binding. A Conflict if it has changed meanwhile.

        Deleting the former one with ``--cascade=orphan`` has left it without an owner.
        """
        meta, template = binding["metadata"], binding["spec"]["resource"]
        anew = {part: template[part] for part in ("apiVersion", "kind", "name")} | {"uid": former}
        owners = [
            {**owner, "uid": uid} if owner["uid"] == former else owner
            for owner in meta.get("ownerReferences") or (anew,)
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


def _status(stored: Any) -> Status | None:
    """Return what the status of a stored object says, None if there is no object."""
    if stored is None:
        return None
    status: Status = (stored.get("status") or {}) if isinstance(stored, dict) else stored.status
    return status
