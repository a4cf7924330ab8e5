"""What several integration tests ask webhooks with."""

from __future__ import annotations

import pytest

from tests.caller import Caller, build
from tests.support.reviews import HOLDING, review
from towpath_webhook.admission.hooks import MUTATE_CLUSTERS


@pytest.fixture(scope="session")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    folder = tmp_path_factory.mktemp("caller")
    (folder / "review.json").write_bytes(review(HOLDING))
    return Caller(build(folder), folder / "review.json", MUTATE_CLUSTERS)
