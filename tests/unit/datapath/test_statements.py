"""What the data path states on the member's own objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.members import ck, export, gateway, imported, key, pods, policy, service, serving, using
from towpath.datapath.allocation import Allocation
from towpath.datapath.derive import derive
from towpath.datapath.problem import EXPORT, IMPORT
from towpath.datapath.statements import (
    HOLD_SECONDS,
    About,
    Held,
    Settling,
    Statement,
    says,
    statements,
    status_of,
)
from towpath.datapath.world import ServiceName, Settings, World

WEB, WEB_IMPORT = About(EXPORT, key()), About(IMPORT, key())
ONE, THREE = ck("cluster-1"), ck("cluster-3")
NOW, STAMP, EARLIER = 1_800_000_000.0, "2027-01-15T08:00:00Z", "2026-06-01T00:00:00Z"
IMPORTED = using(
    key(), imported(gateway("cluster-1", "10.0.0.1"), gateway("cluster-3", "10.0.0.3")), policy("FailOver")
)
SILENT = frozenset({ONE, ck("gone")})


def stated(
    world: World, unanswered: Mapping[ServiceName, frozenset[str]] | None = None
) -> dict[About, Statement]:
    return statements(derive(world, Allocation(), Settings("cluster-2")), unanswered)


@pytest.mark.parametrize(
    ("world", "is_ready"),
    [
        (serving(key(), export(), "10.1.0.1"), True),
        (serving(key(), export(), "10.1.0.1", ready=False), False),
        (serving(key(), export()), False),
        (replace(serving(key(), export()), slices={}), False),
        # What the data path publishes leads to proxies.
        (
            replace(
                serving(key(), export()),
                slices={ServiceName("shop", "web"): {"x": pods("web", "10.9.0.1")._replace(published=True)}},
            ),
            False,
        ),
        # That there is no Service, or none with a TCP port, other words say.
        (replace(serving(key(), export()), services={}), True),
        (serving(key(), export(), service=service(ports=[{"port": 53, "protocol": "UDP"}])), True),
    ],
)
def test_an_export_is_stated_without_a_ready_pod(world: World, is_ready: bool) -> None:
    assert stated(world) == {WEB: is_ready}


@pytest.mark.parametrize(
    ("unanswered", "found"),
    [
        (None, {}),
        ({}, {WEB_IMPORT: frozenset()}),
        ({ServiceName("shop", "web"): SILENT}, {WEB_IMPORT: {ONE}}),
        ({ServiceName("shop", "other"): SILENT}, {WEB_IMPORT: frozenset()}),
    ],
    ids=["not known", "all well", "one", "of another"],
)
def test_an_import_names_gateways_that_do_not_answer(
    unanswered: Mapping[ServiceName, frozenset[str]] | None, found: Mapping[About, Statement]
) -> None:
    """Of Envoy's hosts those count that the import has."""
    assert stated(IMPORTED, unanswered) == found


def test_what_flaps_is_not_stated() -> None:
    settling = Settling()
    for second in range(60):
        seen = {WEB: second % int(HOLD_SECONDS) > 1}
        assert not settling.settled(seen, float(second))
    assert not settling.settled({WEB: False}, 100.0)
    assert not settling.settled({WEB: False}, 100.0 + HOLD_SECONDS - 0.1)
    assert settling.settled({WEB: False}, 100.0 + HOLD_SECONDS) == {WEB: False}
    assert not settling.settled({}, 200.0)
    assert not settling.settled({WEB: False}, 201.0), "an agent that was not the first begins anew"


@pytest.mark.parametrize(
    ("held", "about", "statement", "same"),
    [
        (None, WEB, True, True),
        (None, WEB, False, False),
        (False, WEB, False, True),
        (False, WEB, True, False),
        (None, WEB_IMPORT, frozenset(), True),
        ({ONE: EARLIER}, WEB_IMPORT, frozenset({ONE}), True),
        ({ONE: EARLIER}, WEB_IMPORT, frozenset({THREE}), False),
        ({ONE: EARLIER}, WEB_IMPORT, frozenset(), False),
    ],
)
def test_only_news_is_written(held: Held | None, about: About, statement: Statement, same: bool) -> None:
    assert says(held, about, statement) is same


def test_a_status_has_the_word_the_problem_and_the_fix() -> None:
    (condition,) = status_of(False, None, NOW)["conditions"]
    assert condition == {
        "type": "Serving",
        "status": "False",
        "reason": "NoReadyPod",
        "message": "The Service has no ready pod in the exporting cluster. "
        "Check the pods that the Service selects there.",
        "lastTransitionTime": STAMP,
    }
    (condition,) = status_of(True, False, NOW)["conditions"]
    assert (condition["status"], condition["reason"]) == ("True", "Serving")


@pytest.mark.parametrize(
    ("statement", "written"),
    [
        ({ONE, THREE}, [{"clusterKey": ONE, "since": EARLIER}, {"clusterKey": THREE, "since": STAMP}]),
        (set(), []),
    ],
)
def test_a_gateway_keeps_since_when_it_is_silent(statement: set[str], written: list[Any]) -> None:
    assert status_of(frozenset(statement), {ONE: EARLIER}, NOW) == {"unanswered": written}
