"""How long a new import waits for clusters that are about to export."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import pytest

from tests.support.worlds import KEY, UID, WEB, derived, fleet
from towpath.controller.rollout.first_import import JOINING_GRACE_SECONDS, FirstImports
from towpath.controller.rollout.load import SERVICES_WHEN_BUSY, Load
from towpath.derivation.render import Rendered, render
from towpath.derivation.stages import Current
from towpath.inventory.snapshot import ImportState, Snapshot
from towpath.karmada.decode import Binding
from towpath.model.cluster import Fleet
from towpath.model.world import Absence, Offer

ALL = fleet("a", "b", "c")
BINDING = Binding(KEY.dialect.api_version, "ServiceImport", "", frozenset())
PENDING, FAILED, SUSPENDED = (
    replace(WEB, absence=absence) for absence in (Absence.PENDING, Absence.FAILED, Absence.SUSPENDED)
)
GRACE = JOINING_GRACE_SECONDS


def seen(
    now: float, lost: Collection[str] = (), *, exists: bool = False, **offers: Offer
) -> tuple[Snapshot, Rendered]:
    result = derived(offers, ALL)
    wanted = render(KEY, UID, result)
    current = Current(wanted.service_import) if exists else Current()
    imports = ImportState(BINDING, lost=frozenset(lost))
    return Snapshot(KEY, now, Fleet(ALL), imports, current, derived=result), wanted


def test_a_new_import_waits_for_an_exporter_to_come() -> None:
    first = FirstImports(Load())

    assert first.wait(*seen(10.0, a=WEB, b=PENDING)) == 10.0 + GRACE
    assert first.wait(*seen(10.0 + GRACE / 2, a=WEB, b=PENDING)) == 10.0 + GRACE
    assert first.wait(*seen(10.0 + GRACE / 2, a=WEB, b=WEB)) == math.inf


def test_a_cluster_that_takes_too_long_is_not_waited_for() -> None:
    first = FirstImports(Load())
    first.wait(*seen(10.0, a=WEB, b=PENDING))

    assert first.wait(*seen(10.0 + GRACE, a=WEB, b=PENDING)) == math.inf
    assert first.wait(*seen(11.0 + GRACE, a=WEB, b=PENDING)) == math.inf, "never again"


@pytest.mark.parametrize(
    ("exists", "lost", "offers"),
    [
        (True, "", {"a": WEB, "b": PENDING}),
        (False, "b", {"a": WEB, "b": PENDING}),
        (False, "", {"a": WEB, "b": FAILED, "c": SUSPENDED}),
        (False, "", {"a": WEB, "b": WEB}),
        (False, "", {"a": PENDING, "b": PENDING}),
        (False, "", {}),
    ],
    ids=["it exists", "lost", "failed or suspended", "all are there", "no exporter yet", "no cluster"],
)
def test_nothing_else_is_waited_for(exists: bool, lost: str, offers: dict[str, Offer]) -> None:
    assert FirstImports(Load()).wait(*seen(10.0, lost, exists=exists, **offers)) == math.inf


def test_a_lost_cluster_does_not_end_the_wait_for_another() -> None:
    assert FirstImports(Load()).wait(*seen(10.0, "b", a=WEB, b=PENDING, c=PENDING)) == 10.0 + GRACE


def test_the_more_is_in_flight_the_longer_an_import_waits() -> None:
    first = FirstImports(load := Load())
    load.lagging.update(KEY._replace(name=f"web-{n}") for n in range(4 * SERVICES_WHEN_BUSY))

    assert first.wait(*seen(10.0, a=WEB, b=PENDING)) == 10.0 + 4 * GRACE


def test_a_new_export_of_the_name_waits_anew() -> None:
    first = FirstImports(Load())
    first.wait(*seen(10.0, a=WEB, b=PENDING))
    first.forget(KEY)

    assert first.wait(*seen(20.0, a=WEB, b=PENDING)) == 20.0 + GRACE
