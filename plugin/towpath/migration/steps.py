"""What is to be done on both sides, in which order, and how far it is: numbered steps.

Each step is checked where something shows it. What nothing shows is Unchecked: the user has to know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from towpath.migration.plan import MemberPlan, State, unknown_clusters
from towpath.migration.world import World
from towpath.text import several


class Progress(StrEnum):
    """How far a step is."""

    DONE = "Done"
    OPEN = "Open"
    UNCHECKED = "Unchecked"


class Step(NamedTuple):
    """One step: what to do, how far it is, and what that was seen from."""

    number: int
    title: str
    progress: Progress
    detail: str = ""


class ControlPlane(NamedTuple):
    """The other control plane: its flomesh Clusters with a kubeconfig, and its managers that run."""

    clusters: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What the steps are judged by, besides the plan.

    ``problems`` prevent that Towpath acts; None if the user may not read what shows them. ``leftovers`` are
    what ``towpath check`` finds of the other control plane. ``control_plane`` is None where it was not read,
    and ``stopped`` what the user says of it.
    """

    problems: Sequence[str] | None = ()
    leftovers: Sequence[str] = ()
    control_plane: ControlPlane | None = None
    stopped: bool = False


INSTALL = "Install Towpath in Karmada, and run its plugin."
JOIN = "Join every cluster to Karmada, with the region, zone, group and name of its cluster key."
EXPORT = (
    "Apply every ServiceExport with its Service and every GlobalTrafficPolicy to Karmada. Set the gateways."
)
STOP = (
    "Stop the other control plane: scale erie-canal-manager of its cluster to 0 replicas. Of FSM, delete its"
    " flomesh Clusters and then restart fsm-controller. Managers in the members keep running."
)
TAKE_OVER = "Run `towpath migrate apply`, for one cluster after the other with --cluster."
CLEAN_UP = "Delete the flomesh Clusters of the other control plane, with their kubeconfigs."
_RESTART = (
    "No flomesh Cluster is left. A manager that ran when they were deleted still writes: restart {managers},"
    " then pass --stopped."
)
_HOW_TO_CHECK = "Pass --control-plane with its kubeconfig, or --stopped if it is stopped."


def steps(world: World, plans: Sequence[MemberPlan], around: Surroundings) -> tuple[Step, ...]:
    """Return the steps from the other control plane to Karmada."""
    found = (
        (INSTALL, *_installed(around.problems)),
        (JOIN, *_joined(world, plans)),
        (EXPORT, *_exported(plans)),
        (STOP, *stopped(around)),
        (TAKE_OVER, *_taken_over(plans)),
        (CLEAN_UP, *_cleaned_up(around)),
    )
    return tuple(Step(number, *step) for number, step in enumerate(found, 1))


def _installed(problems: Sequence[str] | None) -> tuple[Progress, str]:
    if problems is None:
        return Progress.UNCHECKED, "The user may not read the installation."
    return _when(not problems, " ".join(problems))


def stopped(around: Surroundings) -> tuple[Progress, str]:
    """Return whether the other control plane is stopped, and what shows it."""
    control_plane = around.control_plane
    if control_plane is None:
        return (
            (Progress.DONE, "As --stopped says.") if around.stopped else (Progress.UNCHECKED, _HOW_TO_CHECK)
        )
    if not control_plane.managers:
        return Progress.DONE, "No manager runs."
    managers = several(control_plane.managers)
    if control_plane.clusters:
        return Progress.OPEN, f"{managers} runs, with the Clusters {several(control_plane.clusters)}."
    if around.stopped:
        return Progress.DONE, "No flomesh Cluster is left, and --stopped says that the manager was restarted."
    return Progress.UNCHECKED, _RESTART.format(managers=managers)


def _joined(world: World, plans: Iterable[MemberPlan]) -> tuple[Progress, str]:
    unread = [f"{plan.member.cluster}: {plan.member.problem}" for plan in plans if plan.member.problem]
    unknown = unknown_clusters(world)
    if unknown:
        return Progress.OPEN, f"Imports name clusters that are no members: {several(unknown)}."
    return (Progress.UNCHECKED, " ".join(unread)) if unread else (Progress.DONE, "")


def _exported(plans: Sequence[MemberPlan]) -> tuple[Progress, str]:
    waiting = [
        f"{held.service.namespace}/{held.service.name} in {plan.member.cluster}"
        for plan in plans
        for held in plan.in_state(State.BLOCKED)
    ]
    own = [
        f"{found.kind} {found.key.namespace}/{found.key.name} in {plan.member.cluster}"
        for plan in plans
        for found in plan.own
    ]
    left = [f"Imports with endpoints that Karmada's would lack: {several(waiting)}."] if waiting else []
    left += [f"Members have of their own, and Karmada does not have likewise: {several(own)}."] if own else []
    return _when(not left, " ".join(left))


def _taken_over(plans: Iterable[MemberPlan]) -> tuple[Progress, str]:
    states = [held.state for plan in plans for held in plan.imports]
    managed = states.count(State.MANAGED)
    ready = states.count(State.READY)
    text = f"Karmada manages {managed} of {len(states)} imports, and can take over {ready}."
    return (Progress.DONE if managed == len(states) else Progress.OPEN), text


def _cleaned_up(around: Surroundings) -> tuple[Progress, str]:
    clusters = around.control_plane.clusters if around.control_plane else ()
    left = [f"{several(clusters)} of the other control plane."] if clusters else []
    left += around.leftovers
    if left:
        return Progress.OPEN, " ".join(left)
    return (Progress.DONE if around.control_plane else Progress.UNCHECKED), ""


def _when(done: bool, otherwise: str) -> tuple[Progress, str]:
    return (Progress.DONE, "") if done else (Progress.OPEN, otherwise)


REVERT = "Run `towpath migrate revert`: the members keep their imports, and Karmada leaves them alone."
START = "Start the other control plane again. It lists the exports of its members and goes on from there."
UNINSTALL = "Run `towpath uninstall`. The ServiceExports in Karmada stay, and are still propagated."


def steps_back(world: World, plans: Sequence[MemberPlan]) -> tuple[Step, ...]:
    """Return the steps back to the other control plane."""
    held = [f"{key.namespace}/{key.name}" for key, service in world.services.items() if service.carried]
    managed = [plan.member.cluster for plan in plans if plan.in_state(State.MANAGED)]
    left = f"{several(held) or 'no service'}, and manages some in {several(managed) or 'no member'}"
    first = _when(not held and not managed, f"Karmada carries imports of {left}.")
    after = (Progress.UNCHECKED, "")
    found = ((REVERT, *first), (START, *after), (UNINSTALL, *after))
    return tuple(Step(number, *step) for number, step in enumerate(found, 1))
