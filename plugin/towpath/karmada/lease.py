"""One Lease: as a candidate has seen it last, and the writes with the resourceVersion that it has read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from towpath.errors import Conflict, NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.model.ownership import MANAGED_BY


class Lease:
    """The Lease as last seen. Calls raise ApiError, after ``deadline`` seconds at the latest."""

    def __init__(
        self, client: Client, namespace: str, name: str, identity: str, duration: int, deadline: float
    ) -> None:
        self._client, self._identity, self._duration, self._deadline = client, identity, duration, deadline
        self._collection, self._path = (
            resources.LEASES.path(namespace),
            resources.LEASES.path(namespace, name),
        )
        head = {"apiVersion": resources.LEASES.api_version, "kind": resources.LEASES.kind}
        self._new: Object = {
            **head,
            "metadata": {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY)},
        }
        self._lease: Object | None = None  # None: there is none
        self._spec: Object = {}  # of the last one that there was
        self._changed_at = 0.0  # when that was first seen
        self._tried = False  # to take it
        self.is_certain = False
        """Whether it is still as last seen, if others follow the rules."""

    @property
    def holder(self) -> str:
        """The candidate that holds it, as last seen; empty if none does."""
        return str(self._spec.get("holderIdentity") or "")

    @property
    def is_ours(self) -> bool:
        """Whether this candidate holds it, as last seen."""
        return self.holder == self._identity

    @property
    def is_taken(self) -> bool:
        """Whether another candidate holds it, as last seen."""
        return self.holder not in {"", self._identity} and now() < self.free_at

    @property
    def free_at(self) -> float:
        """When it expires if its holder does not renew it."""
        return self._changed_at + float(self._spec.get("leaseDurationSeconds") or self._duration)

    async def look(self) -> None:
        """Read it."""
        try:
            self._saw(await self._client.json("GET", self._path, deadline=self._deadline))
        except NotFound:
            # Its holder may not know yet that it is gone: what was seen last counts until it expires.
            self._lease = None
        self.is_certain = True

    async def take(self) -> None:
        """Take it, or renew it if it is ours. Raises Conflict if it has changed."""
        self._tried = True
        renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {**self._spec, "leaseDurationSeconds": self._duration, "renewTime": renewed}
        if not self.is_ours:
            changes = int(self._spec.get("leaseTransitions") or 0) + bool(self._spec)
            spec |= {"holderIdentity": self._identity, "acquireTime": renewed, "leaseTransitions": changes}
        await self._write(spec)

    async def empty(self) -> bool:
        """Empty it; return False if it was not ours."""
        while self._tried:
            if not self.is_certain:
                await self.look()
            self._tried = self.is_ours and self._lease is not None
            if self._tried:
                with suppress(Conflict):
                    await self._write({**self._spec, "holderIdentity": "", "leaseDurationSeconds": 1})
                    self._tried = False
                    return True
        return False

    async def _write(self, spec: Object) -> None:
        self.is_certain = False  # until the answer is here
        method, path = ("POST", self._collection) if self._lease is None else ("PUT", self._path)
        body = {**(self._lease or self._new), "spec": spec}
        self._saw(await self._client.json(method, path, body=body, deadline=self._deadline))
        self.is_certain = True

    def _saw(self, lease: Object) -> None:
        spec = lease.get("spec") or {}
        if self._lease is None or spec != self._spec:
            self._changed_at = now()
        self._lease, self._spec = lease, spec


def now() -> float:
    """Return the candidate's own monotonic clock."""
    return asyncio.get_running_loop().time()
