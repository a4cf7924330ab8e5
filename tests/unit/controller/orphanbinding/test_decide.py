"""A binding that names a former template is taken from it once collecting had its time."""

from __future__ import annotations

import math

from towpath.controller.orphanbinding.decide import (
    COLLECTION_GRACE_SECONDS,
    MAX_DELAY_SECONDS,
    OrphanBindings,
)
from towpath.inventory.snapshot import Template
from towpath.karmada import resources
from towpath.karmada.wire import Name

WEB, CART = "serviceexports shop/web", "serviceexports shop/cart"


def test_a_binding_of_the_present_template_is_left_alone() -> None:
    assert OrphanBindings().look(WEB, "", 0) == (False, math.inf)


def test_the_garbage_collector_goes_first() -> None:
    orphans = OrphanBindings()
    assert orphans.look(WEB, "old", 0) == (False, COLLECTION_GRACE_SECONDS)
    assert orphans.look(WEB, "old", COLLECTION_GRACE_SECONDS - 1) == (False, COLLECTION_GRACE_SECONDS)
    assert orphans.look(WEB, "", COLLECTION_GRACE_SECONDS) == (False, math.inf)


def test_an_orphaned_binding_is_adopted_and_retried() -> None:
    orphans = OrphanBindings()
    orphans.look(WEB, "old", 0)
    assert orphans.look(WEB, "old", COLLECTION_GRACE_SECONDS) == (True, 3 * COLLECTION_GRACE_SECONDS)
    assert orphans.look(WEB, "old", COLLECTION_GRACE_SECONDS + 1) == (False, 3 * COLLECTION_GRACE_SECONDS)
    assert orphans.look(WEB, "old", 3 * COLLECTION_GRACE_SECONDS) == (True, 7 * COLLECTION_GRACE_SECONDS)


def test_without_a_collector_the_tries_become_rare() -> None:
    """A try makes the binding name another uid, and each is as old as the last one."""
    orphans, now, tries = OrphanBindings(), 0.0, 0
    for _ in range(200):
        tried, now = orphans.look(WEB, f"uid {tries}", now)
        tries += tried

    assert tries > 90
    assert now > 90 * MAX_DELAY_SECONDS


def test_a_template_made_anew_once_more_has_new_patience() -> None:
    orphans = OrphanBindings()
    orphans.look(WEB, "old", 0)
    assert orphans.look(WEB, "newer", COLLECTION_GRACE_SECONDS) == (False, 2 * COLLECTION_GRACE_SECONDS)


def test_a_namespace_that_ends_leaves_nothing() -> None:
    orphans = OrphanBindings()
    template = Template(resources.SERVICES, Name("shop", "web"), "old")
    orphans.decide([template], 0)
    orphans.forget([template])
    assert orphans.decide([template], COLLECTION_GRACE_SECONDS).steps == ()


def test_each_template_is_judged_for_itself() -> None:
    orphans = OrphanBindings()
    orphans.look(WEB, "old", 0)
    assert orphans.look(CART, "old", COLLECTION_GRACE_SECONDS) == (False, 2 * COLLECTION_GRACE_SECONDS)
    orphans.look(WEB, "", COLLECTION_GRACE_SECONDS)
    assert orphans.look(WEB, "old", COLLECTION_GRACE_SECONDS) == (False, 2 * COLLECTION_GRACE_SECONDS)
