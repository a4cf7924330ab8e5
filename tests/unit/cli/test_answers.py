"""Answers without a plugin, of a command that asks again and again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.standin import answered_by
from towpath.cli.answers import FromKarmada


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect again by itself after the test, which is no command."""
    yield
    gc.enable()


async def nothing(_: web.Request) -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})


@pytest.mark.usefixtures("collected")
async def test_what_was_read_before_is_freed(tmp_path: Path) -> None:
    async with answered_by(nothing, tmp_path) as client:
        source = FromKarmada(client)
        before = weakref.ref((await source._read()).inventory)
        assert before() is not None, "it has cycles, so nothing else frees it"
        await source.clusters()

    assert before() is None
