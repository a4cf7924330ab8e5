"""``towpath verify`` as a process: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.cli import assert_one_line, towpath
from tests.support.inventories import carry, clusters, exported, knowing
from tests.support.plugins import serving
from tests.support.standin import answered_by


def karmada(*carried: str) -> Callable[[web.Request], object]:
    """Return an apiserver with these members that have the data path, which are not reached."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/clusters"):
            assert request.query["labelSelector"] == "towpath.io/data-path=net"
            return web.json_response({"items": [{"metadata": {"name": name}} for name in carried]})
        return web.json_response({"message": "no way to the member"}, status=503)

    return answer


async def verified(folder: Path, *args: str, carried: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run the command on a fleet in which a and b export the service, and every member imports it."""
    inventory = knowing(*clusters("a", "b", "c"), *exported("web", "a", "b"))
    carry(inventory)
    async with answered_by(karmada(*carried), folder), serving(folder / "s", inventory):  # type: ignore[arg-type]
        where = ("--socket", folder / "s", "--kubeconfig", folder / "kubeconfig")
        return await asyncio.to_thread(towpath, "verify", *args, *where)


async def test_a_pair_that_cannot_be_tried_is_not_verified(tmp_path: Path) -> None:
    done = await verified(tmp_path, carried=("c",))

    assert (done.returncode, done.stderr) == (1, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1][:6] == ["NotTried", "shop/web", "80", "a", "b", "NoDataPath:"]
    assert "no way to the member: The apiserver of the cluster does not run the pod." in done.stdout
    assert lines[-1] == ["4", "calls:", "4", "not", "tried"]


async def test_programs_get_every_call(tmp_path: Path) -> None:
    done = await verified(tmp_path, "shop/web", "--cluster", "c", "-o", "json", carried=("c",))

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verified"]) == (1, False)
    assert [(call["from"], call["to"], call["result"], call["reason"]) for call in answer["calls"]] == [
        ("c", "a", "NotTried", "NoAccess"),
        ("c", "b", "NotTried", "NoAccess"),
    ]


async def test_a_dry_run_shows_the_calls_and_makes_none(tmp_path: Path) -> None:
    done = await verified(tmp_path, "--dry-run", "--path", "/ready", carried=("c",))

    assert (done.returncode, done.stderr) == (0, "")
    assert "c: a namespace and a pod would be created, and removed after 2 calls (dry run):" in done.stdout
    assert "shop/web to a: GET 10.0.0.97:80 /web/ready" in done.stdout
    assert "NotTried" in done.stdout


@pytest.mark.parametrize(
    ("args", "words", "code"),
    [
        (("shop/web", "--path", "ready"), "--path: Invalid value 'ready'", 2),
        (("web",), "must be NAMESPACE/NAME", 2),
        (("shop/other",), "shop/other", 1),
        (("--cluster", "x"), "Karmada has no member 'x'", 1),
    ],
)
async def test_what_does_not_exist_is_refused(
    tmp_path: Path, args: tuple[str, ...], words: str, code: int
) -> None:
    assert_one_line(await verified(tmp_path, *args, carried=()), words, code=code)
