"""Starting, finding and ending the plain processes of a local Karmada.

There are no pid files. Every process carries ``TOWPATH_LOCAL=<root>\\n<name>\\n<program>`` in its
environment and is found by it, so nothing is ever killed because a number was used again, and a crash between
starting a process and writing that down cannot hide it: ``down`` finds whatever is left. What a process
starts inherits the mark, and so does the command that puts it into a machine. The program's name tells them
apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import aiohttp
import psutil

from towpath.errors import BootFailed
from towpath.local.command import Process
from towpath.local.controlplane import SERVICE_SUBNET
from towpath.local.nodes.machine import create, enter
from towpath.local.nodes.packages import search_path
from towpath.local.programs import processes
from towpath.local.spec import Environment
from towpath.rpc.client import is_serving

MARK = "TOWPATH_LOCAL"
PATIENCE = 180.0
"""Seconds a process has to get ready. The slowest takes 5 on two idle cores, over 60 on very busy ones."""
_POLL = 0.05
_TAIL_LINES = 12
_ROUNDS = 5
_LINES_OF_A_CRASH = 500
_DISK_FULL = "no space left on device"
_FILE = "file:"

_started: dict[tuple[Path, str], subprocess.Popen[bytes]] = {}
"""Children of this very process, by root and name: held so that their exit codes are known."""


def marked(root: Path) -> Iterator[tuple[str, str, psutil.Process]]:
    """Return every live process with the mark of the environment in ``root``: name, program, process."""
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            where, name, program = [*process.environ().get(MARK, "").split("\n"), "", ""][:3]
            if where == str(root) and name:
                yield name, program, process
        except psutil.Error:
            continue  # it ended in the meantime, or is not ours


def running(root: Path) -> dict[str, psutil.Process]:
    """Return the live processes of the environment in ``root``, by name."""
    found: dict[str, psutil.Process] = {}
    for name, program, process in marked(root):
        with contextlib.suppress(psutil.Error):
            if _calls_itself(process) == program:
                found[name] = process
    return found


def _calls_itself(process: psutil.Process) -> str:
    return next(iter(process.cmdline()), "").rpartition("/")[2]


def end_all(root: Path, grace: float) -> int:
    """End everything of the environment in ``root``; returns how many of its processes ran.

    Raises BootFailed if something of it cannot be ended.
    """
    count = len(running(root))
    for _ in range(_ROUNDS):  # what a process starts while it is being ended is found by the next
        left = list(marked(root))
        if not left:
            _reap(root)
            return count
        end([process for *_, process in left], grace)
    raise BootFailed(f"Processes of {root} do not end: {', '.join(name for name, *_ in left)}.")


def _reap(root: Path) -> None:
    """Wait for the children of an environment without processes, also for those that others have ended."""
    for key in [key for key in _started if key[0] == root]:
        _started.pop(key).wait()


def spawn(env: Environment, name: str, *more: str) -> None:
    """Start a process in a session of its own, so that Ctrl-C in a terminal does not reach it.

    ``more`` are further arguments, of which the last of a kind counts. Raises BootFailed if the machine on
    which it runs does not.
    """
    process = processes(env)[name]
    env.logs.mkdir(parents=True, exist_ok=True)
    argv = _placed(env, process, (*process.argv, *more))
    if process.ready and process.ready.startswith(_FILE):
        Path(process.ready.removeprefix(_FILE)).unlink(missing_ok=True)
    with env.log(name).open("ab") as log:
        _started[env.root, name] = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=env.root,
            env={
                **os.environ,
                MARK: f"{env.root}\n{name}\n{process.program}",
                "PATH": search_path(),
                "no_proxy": f"127.0.0.1,localhost,{env.subnet},{SERVICE_SUBNET}",
                **process.environment,
            },
            start_new_session=True,
        )


def _placed(env: Environment, process: Process, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line that runs another on the machine where the process belongs."""
    if process.creates_machine:
        return create(argv)
    if process.machine is None:
        return argv
    holder = running(env.root).get(process.machine)
    if holder is None:
        raise BootFailed(f"{process.machine} is not running. Start it first.")
    return enter(holder.pid, argv)


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, or why there are none."""
    try:
        with log.open(errors="replace") as text:
            return "".join(deque(text, lines)).rstrip() or "(it wrote nothing)"
    except OSError as error:
        return f"({error.strerror})"


def _exit_code(env: Environment, name: str) -> int | None:
    """Return the exit code if the process died, None while it lives."""
    child = _started.get((env.root, name))
    if child is not None:
        return child.poll()
    return None if name in running(env.root) else -1


def _raise_dead(env: Environment, name: str, problem: str) -> None:
    log = env.log(name)
    full = " because the disk is full" if _DISK_FULL in tail(log, _LINES_OF_A_CRASH) else ""
    raise BootFailed(f"{name} {problem}{full}; the end of {log}:\n{tail(log)}")


async def wait_ready(env: Environment, name: str, patience: float = PATIENCE) -> None:
    """Wait until a started process answers. Raises BootFailed with its log if it dies or never does."""
    process = processes(env)[name]
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


async def wait_ended(env: Environment, name: str, patience: float) -> None:
    """Wait until a process that this one has started ends. Raises BootFailed with its log if it fails."""
    child = _started[env.root, name]
    deadline = asyncio.get_running_loop().time() + patience
    while (code := child.poll()) is None:
        if asyncio.get_running_loop().time() > deadline:
            _raise_dead(env, name, f"has not ended after {patience:.0f} s")
        await asyncio.sleep(_POLL)
    if code:
        _raise_dead(env, name, f"exited with code {code}")


async def _is_ready(ready: str | None, session: aiohttp.ClientSession) -> bool:
    if ready is None:
        return True
    if ready.startswith("unix:"):
        return await is_serving(ready)
    if ready.startswith(_FILE):
        return Path(ready.removeprefix(_FILE)).exists()
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


async def start_all(
    env: Environment, names: Iterable[str], started: Callable[[str], None] = lambda _name: None
) -> None:
    """Start processes in the order given, and wait until all answer."""
    names = list(names)
    known = processes(env)
    for name in names:
        spawn(env, name)
        if known[name].awaited:
            await wait_ready(env, name)
    for name in names:
        await wait_ready(env, name)
        started(name)


def end(targets: Iterable[psutil.Process], grace: float = 5.0) -> None:
    """Ask processes to end, and kill those that have not after ``grace`` seconds; all are gone then."""
    targets = list(targets)
    wrappers = list(_wrappers(targets))
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in (*targets, *wrappers):  # one stopped for a fault test must be able to hear it
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    for process in _wait([*targets, *wrappers], grace):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait([*targets, *wrappers], grace)
    ended = {process.pid for process in (*targets, *wrappers)}
    for key, child in list(_started.items()):
        if child.pid in ended:
            child.wait()
            del _started[key]


def _wait(targets: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have ended; returns those that have not. A zombie has, whoever reaps it.

    Not so a zombie with further threads: its ports stay open until the last of them has ended.
    """
    deadline = time.monotonic() + seconds
    while alive := [process for process in targets if _lives(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL)
    return alive


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and (
            process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        )
    except psutil.NoSuchProcess:
        return False


def _wrappers(targets: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    """Return the commands that put processes into namespaces: each ends with its process."""
    for process in targets:
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            if parent is not None and parent.name() in {"nsenter", "unshare"}:
                yield parent


async def ensure_running(env: Environment, name: str) -> None:
    """Start one process and wait until it answers, unless it runs already."""
    if name not in running(env.root):
        await start(env, name)


def stop(env: Environment, *names: str) -> None:
    """End those of the named processes that run."""
    alive = running(env.root)
    end(alive[name] for name in names if name in alive)
