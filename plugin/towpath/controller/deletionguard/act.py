"""Collecting what a deleted ServiceExport has left, after a fresh read of the export.

The garbage collector removes what an export owns, unless the owner references were removed with the export
(``--cascade=orphan``), or the collector has missed the end of the export (relist blindness).
"""

from __future__ import annotations

import structlog

from towpath.controller.decision import Collect
from towpath.controller.writer import Writer

log = structlog.get_logger()


async def collect(writer: Writer, step: Collect) -> bool:
    """Delete what is left; return False if the export exists, so that it must be listed again.

    Raises ApiError.
    """
    present = await writer.read(step.export, step.name)
    if present is not None and "deletionTimestamp" not in present["metadata"]:
        log.warning("export exists although it was not listed", export="/".join(step.name))
        return False
    for write in step.writes:
        await writer.write(write)
    log.info("left objects collected", export="/".join(step.name), objects=len(step.writes))
    return True
