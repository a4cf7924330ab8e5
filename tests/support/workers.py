"""How many workers run the tests: ``python -m tests.support.workers`` prints it.

Each worker boots a Karmada, some tests a further one, and one worker those with nodes. Three workers take
more inotify instances than a kernel gives a user, and 16 GB of memory; two make do with less, and take half
as long again. The instances cost nothing: root gets as many as three workers need, until the next boot of
this machine.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_INSTANCES = 256
ENOUGH_MIB = 16 * 1024


def workers(instances: int, available_mib: int) -> int:
    """Return how many workers this much serves."""
    return 3 if instances >= ENOUGH_INSTANCES and available_mib >= ENOUGH_MIB else 2


def raised(file: Path) -> int:
    """Return the inotify instances of a user, after raising them where that is allowed and needed."""
    if int(file.read_text()) < ENOUGH_INSTANCES and os.access(file, os.W_OK):
        with suppress(OSError):  # a container's view of /proc/sys
            file.write_text(str(ENOUGH_INSTANCES))
    return int(file.read_text())


if __name__ == "__main__":
    print(workers(raised(INSTANCES), psutil.virtual_memory().available >> 20))
