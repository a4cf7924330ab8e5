"""What is to be done, in which order, and how far it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.worlds import KEY
from tests.unit.migration.test_plan import A, B, exporting, holding, known, world
from towpath.migration.held import MemberState
from towpath.migration.plan import plan
from towpath.migration.steps import (
    CLEAN_UP,
    EXPORT,
    INSTALL,
    JOIN,
    STOP,
    TAKE_OVER,
    ControlPlane,
    Progress,
    Surroundings,
    steps,
    steps_back,
    stopped,
)
from towpath.migration.world import World

DONE, OPEN, UNCHECKED = Progress
OFF = Surroundings(control_plane=ControlPlane())
READY, MISSING = world(holding(A), known(A)), world(holding(A, B), known(A))
MANAGED = world(holding(A, managed=True), known(A))
ORDER = [INSTALL, JOIN, EXPORT, STOP, TAKE_OVER, CLEAN_UP]
MANAGER = "erie-canal/erie-canal-manager"


def unread(here: World) -> World:
    return here._replace(members=(*here.members, MemberState("z", problem="Forbidden.")))


@pytest.mark.parametrize(
    ("here", "around", "progress"),
    [
        (READY, OFF, [DONE, DONE, DONE, DONE, OPEN, DONE]),
        (MANAGED, OFF, [DONE] * 6),
        (MISSING, OFF, [DONE, DONE, OPEN, DONE, OPEN, DONE]),
        (unread(MANAGED), OFF, [DONE, UNCHECKED, DONE, DONE, DONE, DONE]),
        (READY._replace(keys={}), OFF, [DONE, OPEN, DONE, DONE, OPEN, DONE]),
        (READY, replace(OFF, problems=["No plugin leads."]), [OPEN, DONE, DONE, DONE, OPEN, DONE]),
        (READY, replace(OFF, problems=None), [UNCHECKED, DONE, DONE, DONE, OPEN, DONE]),
        (MANAGED, Surroundings(), [DONE, DONE, DONE, UNCHECKED, DONE, UNCHECKED]),
        (MANAGED, replace(OFF, leftovers=["A kubeconfig."]), [DONE, DONE, DONE, DONE, DONE, OPEN]),
    ],
)
def test_the_order_is_fixed_and_each_step_is_checked(
    here: World, around: Surroundings, progress: list[Progress]
) -> None:
    made = steps(here, plan(here), around)

    assert [(step.number, step.title) for step in made] == list(enumerate(ORDER, 1))
    assert [step.progress for step in made] == progress
    assert all(step.detail for step in made if step.progress is OPEN)


@pytest.mark.parametrize(
    ("control_plane", "is_stated", "progress"),
    [
        (None, False, UNCHECKED),
        (None, True, DONE),
        (ControlPlane(("cluster-1",)), False, DONE),
        (ControlPlane(("cluster-1",), (MANAGER,)), False, OPEN),
        (ControlPlane(("cluster-1",), (MANAGER,)), True, OPEN),
        (ControlPlane((), (MANAGER,)), False, UNCHECKED),
        (ControlPlane((), (MANAGER,)), True, DONE),
    ],
)
def test_a_manager_that_runs_counts_whatever_is_said(
    control_plane: ControlPlane | None, is_stated: bool, progress: Progress
) -> None:
    """Deleting its Clusters stops nothing: a manager that ran meanwhile goes on writing."""
    assert stopped(Surroundings(control_plane=control_plane, stopped=is_stated))[0] is progress


def test_on_the_way_back_imports_are_given_back_first() -> None:
    gone = world(holding(A), known(A, carried={}, released=frozenset("c")))

    for here, first in ((MANAGED, OPEN), (READY, OPEN), (gone, DONE)):
        made = steps_back(here, plan(here))
        assert [step.progress for step in made] == [first, UNCHECKED, UNCHECKED]
        assert [step.number for step in made] == [1, 2, 3]


def test_a_member_that_holds_nothing_needs_nothing() -> None:
    here = World({}, {}, (exporting("a", KEY),))

    assert steps(here, plan(here), OFF)[4].progress is DONE
