"""Random worlds, judged by Envoy: it rejects nothing that the pure function makes of them.

FUZZ_WORLDS says how many; each becomes the next state of the same Envoy.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.support.envoys import data_path
from tests.support.member_worlds import items, world

WORLDS = int(os.environ.get("FUZZ_WORLDS", "60"))
SEED = int(os.environ.get("FUZZ_SEED", "5"))


@pytest.mark.timeout(7200)
async def test_envoy_rejects_no_world(tmp_path: Path) -> None:
    random = Random(SEED)
    async with data_path(tmp_path, "cluster-1") as path:
        for number in range(WORLDS):
            await path.apply(world(items(random)))
            assert path.rejections == 0, f"world {number} of seed {SEED}"
