"""Starting, finding and ending the plain processes of a local Karmada.

There are no pid files. Every process carries ``TOWPATH_LOCAL=<root>\\n<name>`` in its environment and
is found by it, so nothing is ever killed because a number was used again, and a crash of ours between
starting a process and writing that down cannot hide it: ``down`` finds whatever is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import aiohttp
import psutil

from towpath.errors import BootFailed
from towpath.local.programs import Process, processes
from towpath.local.spec import Environment
from towpath.rpc.client import is_serving

MARK = "TOWPATH_LOCAL"
PATIENCE = 60.0
"""Seconds a process has to get ready. The slowest takes 5 on two idle cores."""
_POLL = 0.05
_TAIL_LINES = 12

_started: dict[int, subprocess.Popen[bytes]] = {}
"""Children of this very process: held so that their exit codes can be told."""


def _mark(root: Path, name: str) -> str:
    return f"{root}\n{name}"


def running(root: Path) -> dict[str, psutil.Process]:
    """Return the live processes of the environment in ``root``, by name."""
    found: dict[str, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid():
                continue
            where, _, name = process.environ().get(MARK, "").partition("\n")
            if where == str(root) and name and process.status() != psutil.STATUS_ZOMBIE:
                found[name] = process
        except psutil.Error:
            continue  # gone while we looked, or none of ours
    return found


def spawn(env: Environment, name: str, *more: str) -> None:
    """Start a process in a session of its own, so that Ctrl-C in a terminal does not reach it.

    ``more`` are further arguments, of which the last of a kind counts.
    """
    process = processes(env)[name]
    env.logs.mkdir(parents=True, exist_ok=True)
    with env.log(name).open("ab") as log:
        child = subprocess.Popen(
            (*process.argv, *more),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=env.root,
            env={**os.environ, MARK: _mark(env.root, name), "no_proxy": "127.0.0.1,localhost"},
            start_new_session=True,
        )
    _started[child.pid] = child


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, or why there are none."""
    try:
        with log.open(errors="replace") as text:
            return "".join(deque(text, lines)).rstrip() or "(it wrote nothing)"
    except OSError as error:
        return f"({error.strerror})"


def _exit_code(env: Environment, name: str) -> int | None:
    """Return the exit code if the process died, None while it lives."""
    argv = processes(env)[name].argv
    for child in reversed(_started.values()):
        if child.args == argv:
            return child.poll()
    return None if name in running(env.root) else -1


def _raise_dead(env: Environment, name: str, what: str) -> None:
    log = env.log(name)
    raise BootFailed(f"{name} {what}; the end of {log}:\n{tail(log)}")


async def wait_ready(env: Environment, name: str, patience: float = PATIENCE) -> None:
    """Wait until a started process answers. Raises BootFailed with its log if it dies or never does."""
    process: Process = processes(env)[name]
    context = ssl.create_default_context(cafile=str(env.pki / "ca.crt"))
    if process.own_ca:  # is it there: that is all that is asked, as a kubelet asks it
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = asyncio.get_running_loop().time() + patience
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, force_close=True)
    ) as session:
        while True:
            code = _exit_code(env, name)
            if code is not None:
                _raise_dead(env, name, f"exited with code {code} while starting")
            if await _is_ready(process.ready, session):
                return
            if asyncio.get_running_loop().time() > deadline:
                _raise_dead(env, name, f"was not ready after {patience:.0f} s")
            await asyncio.sleep(_POLL)


async def _is_ready(ready: str | None, session: aiohttp.ClientSession) -> bool:
    if ready is None:
        return True
    if ready.startswith("unix:"):
        return await is_serving(ready)
    return await _answers(session, ready)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200  # noqa: PLR2004 - HTTP OK
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def start(env: Environment, name: str) -> None:
    """Start one process and wait until it answers."""
    spawn(env, name)
    await wait_ready(env, name)


def end(targets: Iterable[psutil.Process], grace: float = 5.0) -> None:
    """Ask processes to end, and kill those that have not after ``grace`` seconds; all are gone then."""
    targets = list(targets)
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            process.resume()  # one stopped for a fault test must be able to hear it
    _, alive = psutil.wait_procs(targets, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace)
    for process in targets:
        child = _started.pop(process.pid, None)
        if child is not None:
            child.wait()


async def ensure_running(env: Environment, name: str) -> None:
    """Start one process and wait until it answers, unless it runs already."""
    if name not in running(env.root):
        await start(env, name)


def stop(env: Environment, *names: str) -> None:
    """End those of the named processes that run."""
    alive = running(env.root)
    end(alive[name] for name in names if name in alive)
