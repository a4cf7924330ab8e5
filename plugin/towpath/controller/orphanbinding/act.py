"""Giving the binding of a former template to the present one, or to the garbage collector.

Only the owner of the binding changes, so nothing is removed from the members meanwhile. Both objects are read
from the apiserver first, because what is in memory may be old. A touch then makes Karmada process the
template at once. A Service belongs to the user and is not touched: Karmada returns to it by itself, at the
latest after as long as it has tried in vain.

Where no template is there, the binding gets an owner that never existed: the collector has not looked for
that one yet, does not find it, and deletes the binding.
"""

from __future__ import annotations

from uuid import uuid4

import structlog

from towpath.controller.writer import Writer
from towpath.inventory.snapshot import Template
from towpath.karmada import resources

log = structlog.get_logger()


async def adopt(writer: Writer, template: Template, now: float) -> None:
    """Take a binding from a former template, unless that has happened meanwhile. Raises ApiError."""
    present = await writer.read(template.resource, template.name)
    binding = await writer.read(resources.BINDINGS, template.binding)
    if binding is None or "deletionTimestamp" in binding["metadata"]:
        return
    about, former = f"{template.resource} {'/'.join(template.name)}", binding["spec"]["resource"]["uid"]
    if present is None:
        await writer.adopt(binding, former, str(uuid4()))
        log.warning("binding left to the garbage collector", template=about)
        return
    uid = present["metadata"]["uid"]
    if former == uid:
        return
    await writer.adopt(binding, former, uid)
    log.warning("binding adopted", template=about)
    if template.resource != resources.SERVICES:
        await writer.touch(template.resource, template.name, now)
