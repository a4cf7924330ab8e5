"""Calls that a pod of a member makes, by ``kubectl exec`` as in the walk-through."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from towpath.local.spec import Environment


@dataclass(frozen=True)
class Call:
    """What came of a command in a pod: its exit code, and what it wrote."""

    code: int
    output: str
    errors: str


async def curl(env: Environment, member: str, pod: str, url: str) -> Call:
    """Run curl in the client pod of the walk-through. Errors are shown: ``-s`` alone hides them."""
    return await execute(env, member, "curl", pod, "curl", "-sS", "--max-time", "10", url)


async def answers(env: Environment, member: str, pod: str, url: str, count: int) -> list[str]:
    """Make calls one after the other in the client pod of the walk-through, each with a curl of its own.

    Returns what each got: the answer, or curl's own words.
    """
    script = f"for call in $(seq {count}); do curl -sS --max-time 10 {url} 2>&1; done"
    call = await execute(env, member, "curl", pod, "sh", "-c", script)
    return call.output.splitlines()


async def execute(env: Environment, member: str, namespace: str, pod: str, *command: str) -> Call:
    """Run a command in a pod to its end."""
    process = await asyncio.create_subprocess_exec(
        env.binaries / "kubectl",
        f"--kubeconfig={env.kubeconfig(member)}",
        f"--namespace={namespace}",
        *("exec", pod, "--", *command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "no_proxy": str(env.subnet)},
    )
    output, errors = await process.communicate()
    return Call(process.returncode or 0, output.decode().strip(), errors.decode().strip())
