"""Looking into a member whose apiserver answers anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.standin import answered_by
from tests.support.worlds import KEY
from towpath.karmada.member_access import MemberAccess
from towpath.verification.look import look
from towpath.verification.member_links import MemberEvidence

SLICE = {"metadata": {"labels": {"a": "b"}}, "endpoints": [{"conditions": {"ready": True}}]}


async def seen(answer: Any, folder: Path) -> MemberEvidence:
    """Return what a look into the member ``a`` gives, whose answer to everything is this."""

    async def answered(_: web.Request) -> web.Response:
        return web.json_response(answer)

    async with answered_by(answered, folder) as client, MemberAccess(client, None, "test") as members:
        (found,) = await look(members, KEY, ["a"], ["a"])
    return found


async def test_slices_and_agent_are_read(tmp_path: Path) -> None:
    answer = {"items": [SLICE], "status": {"numberReady": 1}}
    assert await seen(answer, tmp_path) == MemberEvidence("a", [SLICE], data_path=True, agent=answer)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"items": None},
        {"items": ["x"]},
        {"items": [{}]},
        {"items": [{"metadata": None}]},
        {"items": [{**SLICE, "endpoints": {}}]},
        {"items": [{**SLICE, "endpoints": ["x"]}]},
        {"items": [{"metadata": {"labels": []}}]},
        {"items": [], "status": "fine"},
    ],
    ids=str,
)
async def test_any_other_answer_counts_as_none(answer: Any, tmp_path: Path) -> None:
    found = await seen(answer, tmp_path)
    assert "The answer is not an apiserver's" in found.problem
    assert not found.slices
