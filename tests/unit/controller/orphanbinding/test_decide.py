"""A binding that names a former template is given to the present one once collecting had its time."""

from __future__ import annotations

from towpath.controller.orphanbinding.decide import PATIENCE, Disowned, Seen

WEB, CART = "serviceexports shop/web", "serviceexports shop/cart"


def test_what_names_the_present_template_is_left_alone() -> None:
    assert Disowned().look(WEB, "", 0) == Seen()


def test_the_garbage_collector_goes_first() -> None:
    disowned = Disowned()
    assert disowned.look(WEB, "old", 0) == Seen(False, PATIENCE)
    assert disowned.look(WEB, "old", PATIENCE - 1) == Seen(False, PATIENCE)
    assert disowned.look(WEB, "", PATIENCE) == Seen()


def test_what_it_leaves_is_adopted_and_tried_again_if_that_did_not_work() -> None:
    disowned = Disowned()
    disowned.look(WEB, "old", 0)
    assert disowned.look(WEB, "old", PATIENCE) == Seen(True, 2 * PATIENCE)
    assert disowned.look(WEB, "old", PATIENCE + 1) == Seen(False, 2 * PATIENCE)
    assert disowned.look(WEB, "old", 2 * PATIENCE) == Seen(True, 3 * PATIENCE)


def test_a_template_made_anew_once_more_has_its_own_patience() -> None:
    disowned = Disowned()
    disowned.look(WEB, "old", 0)
    assert disowned.look(WEB, "newer", PATIENCE) == Seen(False, 2 * PATIENCE)


def test_each_template_is_judged_for_itself() -> None:
    disowned = Disowned()
    disowned.look(WEB, "old", 0)
    assert disowned.look(CART, "old", PATIENCE) == Seen(False, 2 * PATIENCE)
    disowned.forget(WEB)
    assert disowned.look(WEB, "old", PATIENCE) == Seen(False, 2 * PATIENCE)
