"""A binding that names a former import is removed once the garbage collector had its time."""

from __future__ import annotations

import math

from towpath.controller.disowned import PATIENCE, SOON, Cure, Disowned, Verdict
from towpath.model.keys import Dialect, ServiceKey

KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")


def test_what_names_the_present_import_is_left_alone() -> None:
    assert Disowned().look(KEY, "", 0) == Verdict(Cure.NOTHING, math.inf)


def test_the_garbage_collector_goes_first() -> None:
    disowned = Disowned()
    assert disowned.look(KEY, "old", 0) == Verdict(Cure.NOTHING, PATIENCE)
    assert disowned.look(KEY, "", 1) == Verdict(Cure.NOTHING, math.inf)


def test_what_it_leaves_is_removed_and_karmada_made_to_look_once() -> None:
    disowned = Disowned()
    disowned.look(KEY, "old", 0)
    assert disowned.look(KEY, "old", PATIENCE) == Verdict(Cure.REMOVE, 2 * PATIENCE)
    assert disowned.look(KEY, "old", PATIENCE + 1) == Verdict(Cure.NOTHING, 2 * PATIENCE), "it goes"
    for now in (PATIENCE + 2, PATIENCE + 2 + SOON):  # gone it is not yet
        assert disowned.look(KEY, "", now) == Verdict(Cure.TOUCH, now + SOON)
    disowned.forget(KEY)
    assert disowned.look(KEY, "", PATIENCE + 3) == Verdict(Cure.NOTHING, math.inf)


def test_what_does_not_go_is_removed_again() -> None:
    disowned = Disowned()
    for now in (0.0, PATIENCE):
        disowned.look(KEY, "old", now)
    assert disowned.look(KEY, "old", 2 * PATIENCE).cure is Cure.REMOVE


def test_an_import_made_anew_once_more_has_its_own_patience() -> None:
    disowned = Disowned()
    disowned.look(KEY, "old", 0)
    assert disowned.look(KEY, "newer", PATIENCE) == Verdict(Cure.NOTHING, 2 * PATIENCE)


def test_an_export_that_is_gone_is_forgotten() -> None:
    disowned = Disowned()
    disowned.look(KEY, "old", 0)
    disowned.look(KEY, "old", PATIENCE)
    disowned.forget(KEY)
    assert disowned.look(KEY, "", PATIENCE + 1).cure is Cure.NOTHING
