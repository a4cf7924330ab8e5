"""Giving the binding of a former template to the present one.

Only the owner of the binding changes, so nothing is removed from the members meanwhile. Both objects are read
from the apiserver first, because what is in memory may be old. A touch then makes Karmada process the
template at once. A Service belongs to the user and is not touched: Karmada returns to it by itself, at the
latest after as long as it has tried in vain.
"""

from __future__ import annotations

import structlog

from towpath.controller.writer import Writer
from towpath.inventory.snapshot import Template
from towpath.karmada import resources

log = structlog.get_logger()


async def adopt(writer: Writer, template: Template, now: float) -> None:
    """Give a template its binding, unless that has happened meanwhile. Raises ApiError."""
    present = await writer.read(template.resource, template.name)
    binding = await writer.read(resources.BINDINGS, template.binding)
    if present is None or binding is None or "deletionTimestamp" in binding["metadata"]:
        return
    uid, former = present["metadata"]["uid"], binding["spec"]["resource"]["uid"]
    if former == uid:
        return
    await writer.adopt(binding, former, uid)
    log.warning("binding adopted", template=f"{template.resource} {'/'.join(template.name)}")
    if template.resource != resources.SERVICES:
        await writer.touch(template.resource, template.name, now)
