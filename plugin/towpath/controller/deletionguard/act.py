"""Collecting what a deleted ServiceExport or traffic policy has left, after a fresh read of it.

The garbage collector removes what they own, unless the owner references were removed with the owner
(``--cascade=orphan``), or the collector has missed its end (relist blindness).
"""

from __future__ import annotations

import structlog

from towpath.controller.decision import Collect
from towpath.controller.writer import Writer

log = structlog.get_logger()


async def collect(writer: Writer, step: Collect) -> bool:
    """Delete what is left; return False if the owner exists, so that it must be listed again.

    Raises ApiError.
    """
    present = await writer.read(step.source, step.name)
    if present is not None and "deletionTimestamp" not in present["metadata"]:
        log.warning("owner exists although it was not listed", owner=_owner(step))
        return False
    for write in step.writes:
        await writer.write(write)
    log.info("left objects collected", owner=_owner(step), objects=len(step.writes))
    return True


def _owner(step: Collect) -> str:
    return f"{step.source.kind} {'/'.join(step.name)}"
