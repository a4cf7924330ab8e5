"""Giving the binding of a former template to the present one, or to the garbage collector.

Only the owner of the binding changes, so nothing is removed from the members meanwhile. Both objects are read
from the apiserver first, because what is in memory may be old. The binding comes first: if it still names the
former template and does not change any more until it is written, it is not one that Karmada has made for a
template that came meanwhile. A touch then makes Karmada process the template at once. A Service belongs to
the user and is not touched: Karmada returns to it by itself, at the latest after as long as it has tried in
vain.

Where no template is there, the binding gets an owner that never existed: the collector has not looked for
that one yet, does not find it, and deletes the binding. The binding of a Service that was deleted with
``--cascade=orphan`` stays: its user may want to have the Service in the members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import structlog

from towpath.controller.writer import Writer
from towpath.inventory.snapshot import Template
from towpath.karmada import resources

log = structlog.get_logger()


async def adopt(writer: Writer, template: Template, now: float) -> None:
    """Take a binding from a former template, unless that has happened meanwhile. Raises ApiError."""
    binding = await writer.read(resources.BINDINGS, template.binding)
    if binding is None or not _is_of(template.former, binding):
        return
    present = await writer.read(template.resource, template.name)
    about, of_user = f"{template.resource} {'/'.join(template.name)}", template.resource == resources.SERVICES
    if present is None:
        if of_user and not binding["metadata"].get("ownerReferences"):
            return
        await writer.adopt(binding, template.former, str(uuid4()))
        log.warning("binding left to the garbage collector", template=about)
        return
    uid = present["metadata"]["uid"]
    if template.former == uid:
        return
    await writer.adopt(binding, template.former, uid)
    log.warning("binding adopted", template=about)
    if not of_user:
        await writer.touch(template.resource, template.name, now)


def _is_of(former: str, binding: Mapping[str, Any]) -> bool:
    """Tell whether a binding is still the one of this template, and is not being deleted."""
    return binding["spec"]["resource"].get("uid") == former and "deletionTimestamp" not in binding["metadata"]
