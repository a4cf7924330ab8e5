"""The stand-in for pipy: it serves the kind of script that the walk-through has, and refuses all others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest

from tests.support.waiting import until
from towpath.local.build import ensure_binaries
from towpath.local.ports import free_ports
from towpath.local.walkthrough import HTTPBIN, steps


@contextmanager
def pipy(script: str) -> Iterator[subprocess.Popen[str]]:
    program = ensure_binaries().folder / "pipy"
    with subprocess.Popen(
        [program, "-e", script],
        env={**os.environ, "HOSTNAME": "httpbin-1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def walkthrough_script() -> str:
    (deployment,) = (obj for obj in steps()[HTTPBIN] if obj["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    *command, script = container["command"]
    assert command == ["pipy", "-e"]
    return str(script)


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (None, "httpbin-1\n"),
        ("'it\\'s ' + os.env['HOSTNAME']", "it's httpbin-1"),
        ("os.env['NO_SUCH_VARIABLE'] + '\\\\'", "\\"),
    ],
)
async def test_it_answers_every_path_with_the_message(message: str | None, answer: str) -> None:
    (port,) = free_ports(1)
    script = walkthrough_script().replace("8080", str(port))
    if message is not None:
        script = f"pipy().listen({port}).serveHTTP(() => new Message({message}))"

    with pipy(script):
        async with aiohttp.ClientSession() as session:

            async def ask() -> str:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/any/path") as response:
                        return await response.text()
                except aiohttp.ClientError:
                    return ""

            assert await until(ask, bool) == answer


@pytest.mark.parametrize(
    "script",
    [
        "",
        "pipy()",
        "pipy().listen(8080).serveHTTP(() => new Message(1 + 1))",
        "pipy().listen(8080).serveHTTP(() => new Message('a')).listen(8081)",
        "pipy().listen(8080).serveHTTP(request => new Message(request.head.path))",
    ],
)
def test_any_other_script_is_refused(script: str) -> None:
    with pipy(script) as process:
        _, output = process.communicate(timeout=10)

    assert process.returncode == 1
    assert "does not understand the script" in output
