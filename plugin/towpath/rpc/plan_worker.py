"""The child process that computes one plan: ``python -m towpath.rpc.plan_worker``.

It reads a PlanInput from standard input and writes a PlanOutput to standard output, both as MessagePack. It
exits when standard input ends, because then its parent is gone, and when it has used ``CPU_SECONDS``."""

from __future__ import annotations

import os
import resource
import sys
import threading

import msgspec

from towpath.errors import InvalidObject
from towpath.plan.propose import Unreadable, propose
from towpath.rpc import convert
from towpath.rpc.plan_process import LENGTH_BYTES, PlanInput, PlanOutput

CPU_SECONDS = 60
_NICENESS = 10
"""A plan gives way to the controller."""


def main() -> None:
    """Compute the plan."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    length = int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES))
    given = msgspec.msgpack.decode(sys.stdin.buffer.read(length), type=PlanInput)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    sys.stdout.buffer.write(msgspec.msgpack.encode(_plan(given)))
    sys.stdout.flush()
    os._exit(0)  # the thread waits for its input


def _exit_with_parent() -> None:
    if not sys.stdin.buffer.read(1):
        os._exit(1)


def _plan(given: PlanInput) -> PlanOutput:
    try:
        made, differences = propose(
            given.live, given.proposals, namespace=given.namespace, resolved=given.resolved, now=given.now
        )
    except Unreadable as error:
        return PlanOutput(field=f"manifests[{error.number}].text", problem=str(error))
    except InvalidObject as error:
        return PlanOutput(field="namespace", problem=str(error))
    return PlanOutput(plan=convert.plan(made, differences).SerializeToString())


if __name__ == "__main__":
    main()
