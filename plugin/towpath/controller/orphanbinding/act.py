"""Giving bindings of former templates to the present ones, so that Karmada can go on (``disowned``).

It is only the owner of the binding that changes: nothing is taken away from the members meanwhile. Both ends
are read from the apiserver first, for what is in memory may be old. A touch then makes Karmada look at the
template at once. A Service is the user's and not touched: Karmada comes back to it by itself, at the latest
after as long as it has tried in vain.
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import structlog

from towpath.controller.orphanbinding.decide import Disowned
from towpath.controller.writer import Writer
from towpath.derivation.stages import is_foreign
from towpath.inventory.inventory import Inventory
from towpath.karmada import decode, resources
from towpath.karmada.client import Resource
from towpath.karmada.reflector import Name, Reflector
from towpath.model.keys import ServiceKey

log = structlog.get_logger()


class _Template(NamedTuple):
    """Where a template is kept, if it is there."""

    reflector: Reflector[Any]
    name: Name

    @property
    def resource(self) -> Resource:
        return self.reflector.resource

    @property
    def binding(self) -> Name:
        """Where Karmada keeps its binding."""
        return Name(self.name.namespace, decode.binding_name(self.name.name, self.resource.kind))

    @property
    def uid(self) -> str:
        """Its uid; empty if it is not there, or is an import of somebody else."""
        there = self.reflector.get(self.name.name, self.name.namespace)
        if isinstance(there, dict):
            return "" if is_foreign(there) else str(there["metadata"]["uid"])
        return there.uid if there else ""


class Adopting:
    """The bindings of what belongs to a service: its Service, export, traffic policy and import."""

    def __init__(self, inventory: Inventory, writer: Writer) -> None:
        self._inventory, self._writer = inventory, writer
        self._disowned = Disowned()

    async def look(self, key: ServiceKey) -> float:
        """Do what is to be done; return when to look again (seconds since 1970). Raises ApiError."""
        again, now = math.inf, time.time()
        inventory, dialect, name = self._inventory, key.dialect, Name(key.namespace, key.name)
        ours = (kind[dialect] for kind in (inventory.exports, inventory.traffic, inventory.imports))
        for reflector in (inventory.services, *ours):
            template = _Template(reflector, name)
            seen = self._disowned.look((template.resource, name), self._former(template), now)
            again = min(again, seen.look_again)
            if seen.adopt:
                await self._adopt(template)
        return again

    def _former(self, template: _Template) -> str:
        """Return the uid of the former template that a template's binding names; empty if it does not."""
        binding = self._inventory.bindings.get(template.binding.name, template.binding.namespace)
        resource, uid = template.resource, template.uid
        if binding is None or not uid or binding.uid == uid:
            return ""
        its_own = (binding.api_version, binding.kind) == (resource.api_version, resource.kind)
        return binding.uid if its_own else ""

    async def _adopt(self, template: _Template) -> None:
        there = await self._writer.read(template.resource, template.name)
        binding = await self._writer.read(resources.BINDINGS, template.binding)
        if there is None or binding is None or "deletionTimestamp" in binding["metadata"]:
            return
        uid, former = there["metadata"]["uid"], binding["spec"]["resource"]["uid"]
        if former == uid:
            return
        await self._writer.adopt(binding, former, uid)
        log.warning("adopted a binding", template=f"{template.resource} {'/'.join(template.name)}")
        if template.reflector is not self._inventory.services:
            await self._writer.touch(template.reflector, template.name)
