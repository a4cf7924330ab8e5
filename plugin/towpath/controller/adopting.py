"""Giving bindings of former templates to the present ones, so that Karmada can go on (``disowned``).

It is only the owner of the binding that changes: nothing is taken away from the members meanwhile. Both ends
are read from the apiserver first, for what is in memory may be old. A touch then makes Karmada look at the
template at once. A Service is the user's and not touched: Karmada comes back to it by itself, at the latest
after as long as it has tried in vain.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import structlog

from towpath.changes import is_foreign
from towpath.controller.disowned import Disowned
from towpath.controller.inventory import Inventory
from towpath.controller.writing import Writer
from towpath.karmada import resources
from towpath.karmada.reflector import Name, Reflector
from towpath.model.keys import ServiceKey

log = structlog.get_logger()


class _Template(NamedTuple):
    """A template, and the uid of the former one that its binding names; empty if it names this one."""

    reflector: Reflector[Any]
    name: Name
    former: str

    @property
    def binding(self) -> Name:
        """Where Karmada keeps its binding (pkg/util/names)."""
        return Name(self.name.namespace, f"{self.name.name}-{self.reflector.resource.kind.lower()}")


class Adopting:
    """The bindings of what belongs to a service: its export, Service, traffic policy and import."""

    def __init__(self, inventory: Inventory, writer: Writer) -> None:
        self._inventory, self._writer = inventory, writer
        self._disowned = Disowned()

    async def look(self, key: ServiceKey) -> float:
        """Do what is to be done; return when to look again (seconds since 1970). Raises ApiError."""
        again, now = math.inf, time.time()
        for one in self._templates(key):
            seen = self._disowned.look((one.reflector.resource, one.name), one.former, now)
            again = min(again, seen.look_again)
            if seen.adopt:
                await self._adopt(one)
        return again

    def _templates(self, key: ServiceKey) -> Iterator[_Template]:
        inventory, name = self._inventory, Name(key.namespace, key.name)
        of_dialect = (inventory.exports, inventory.traffic, inventory.imports)
        for reflector in (inventory.services, *(kind[key.dialect] for kind in of_dialect)):
            there = reflector.get(name.name, name.namespace)
            if there is None or (isinstance(there, dict) and is_foreign(there)):
                uid = ""
            else:
                uid = there["metadata"]["uid"] if isinstance(there, dict) else there.uid
            yield _Template(reflector, name, self._former(reflector, name, uid) if uid else "")

    def _former(self, reflector: Reflector[Any], name: Name, uid: str) -> str:
        resource = reflector.resource
        binding = self._inventory.bindings.get(f"{name.name}-{resource.kind.lower()}", name.namespace)
        if binding is None or binding.uid == uid:
            return ""
        its_own = (binding.api_version, binding.kind) == (resource.api_version, resource.kind)
        return binding.uid if its_own else ""

    async def _adopt(self, one: _Template) -> None:
        resource = one.reflector.resource
        template = await self._writer.read(resource, one.name)
        binding = await self._writer.read(resources.BINDINGS, one.binding)
        if template is None or binding is None or "deletionTimestamp" in binding["metadata"]:
            return
        uid, former = template["metadata"]["uid"], binding["spec"]["resource"]["uid"]
        if former == uid:
            return
        await self._writer.adopt(binding, former, uid)
        log.warning("adopted a binding", template=f"{resource} {'/'.join(one.name)}", former=former)
        if resource is not resources.SERVICES:
            await self._writer.touch(one.reflector, one.name)
