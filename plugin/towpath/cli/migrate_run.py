"""What the commands of ``towpath migrate`` do."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from towpath.cli import answers
from towpath.cli.answers import USER_AGENT, connected, named
from towpath.cli.migrate_output import print_steps
from towpath.errors import NotFound, TowpathError
from towpath.text import several

if TYPE_CHECKING:
    from towpath.karmada.client import Client
    from towpath.migration.plan import MemberPlan
    from towpath.migration.read import Members
    from towpath.migration.run import Imports, Run
    from towpath.migration.steps import Step, Surroundings
    from towpath.migration.world import World
    from towpath.model.keys import ServiceKey


@dataclass(frozen=True)
class Scope:
    """Which imports a command is about: empty for all members, and for all services."""

    clusters: frozenset[str]
    service: str

    def has(self, key: ServiceKey, cluster: str) -> bool:
        """Tell whether an import is in the scope."""
        is_named = not self.service or (key.namespace, key.name) == named(self.service)
        return is_named and (not self.clusters or cluster in self.clusters)


class Order(NamedTuple):
    """What is to be done, and how long to wait for the members."""

    scope: Scope
    timeout: float
    dry: bool = False
    force: bool = False


class Sources(NamedTuple):
    """Where to read: Karmada, the members, the other control plane, and what the user says of it."""

    kubeconfig: str | None
    context: str | None
    members: str | None
    control_plane: str | None = None
    stopped: bool = False


class Found(NamedTuple):
    """The world, and the plans and steps that follow from it."""

    world: World
    plans: tuple[MemberPlan, ...]
    steps: tuple[Step, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every import is or can be taken over, and every export is Karmada's."""
        from towpath.migration.own import EXPORT
        from towpath.migration.plan import State

        unread = any(planned.member.problem for planned in self.plans)
        own = any(found.kind == EXPORT for planned in self.plans for found in planned.own)
        return not (unread or own or any(planned.in_state(State.BLOCKED) for planned in self.plans))


async def plan(sources: Sources, scope: Scope) -> Found:
    """Return what a migration would do."""
    async with _opened(sources) as (client, members):
        return await _find(client, members, sources, scope)


async def apply(sources: Sources, order: Order) -> bool:
    """Take over; return whether Karmada manages every import in the scope. Raises TowpathError."""
    from towpath.migration import forward
    from towpath.migration.plan import State, ready
    from towpath.migration.run import number_of, only

    scope = order.scope
    async with _opened(sources) as (client, members):
        found = await _find(client, members, sources, scope)
        released = _in_state(found.plans, State.RELEASED)
        if order.dry:
            number = number_of(ready(found.plans, found.world, force=order.force)) + number_of(released)
            sys.stdout.write(f"{number} imports would be taken over (dry run)\n")
            return True
        _refuse(found.steps)
        work = _run(client, members, order)
        if released:
            await forward.reclaim(work, released)
            found = await _find(client, members, sources, scope)
        due = ready(found.plans, found.world, force=order.force)
        waiting = await forward.take_over(work, due)
        await forward.settle(work, only(forward.interrupted(found.world), scope.has))
        left = (await _find(client, members, sources, scope)).plans
        sys.stdout.write(f"{number_of(due) - number_of(waiting)} imports taken over\n")
        return _report(left)


async def revert(sources: Sources, order: Order) -> bool:
    """Give back; return whether Karmada has no import in the scope any more."""
    from towpath.migration import back
    from towpath.migration.plan import plan as planned
    from towpath.migration.read import read
    from towpath.migration.run import number_of, only, without
    from towpath.migration.steps import steps_back

    async with _opened(sources) as (client, members):
        world = await read(client, members)
        _check(order.scope, world)
        imports = only(back.carried_imports(world), order.scope.has)
        if order.dry:
            sys.stdout.write(f"{number_of(imports)} imports would be given back (dry run)\n")
            return True
        left = await back.give_back(_run(client, members, order), world, imports)
        sys.stdout.write(f"{number_of(without(imports, left))} imports given back\n")
        _warn("not given back in time", left)
        world = await read(client, members)
        print_steps(steps_back(world, planned(world)))
        return not left


async def _find(client: Client, members: Members, sources: Sources, scope: Scope) -> Found:
    from towpath.migration.plan import plan as planned
    from towpath.migration.read import read
    from towpath.migration.steps import steps

    world, around = await read(client, members), await _around(client, sources)
    _check(scope, world)
    plans = _within(scope, planned(world))
    return Found(world, plans, steps(world, plans, around))


async def _around(client: Client, sources: Sources) -> Surroundings:
    from towpath.karmada.client import Client
    from towpath.migration.read import surroundings

    if sources.control_plane is None:
        return await surroundings(client, None, is_stopped=sources.stopped)
    async with await Client.connect(sources.control_plane, user_agent=USER_AGENT) as other:
        return await surroundings(client, other, is_stopped=sources.stopped)


@asynccontextmanager
async def _opened(sources: Sources) -> AsyncIterator[tuple[Client, Members]]:
    """Connect to Karmada, and get ready to read the members."""
    from towpath.migration.read import Members

    asked = answers.where(None, None, None, None, None, sources.kubeconfig, sources.context)
    files = sources.members or sources.kubeconfig or _local_members()
    async with connected(asked) as client, Members(client, files, USER_AGENT) as members:
        yield client, members


def _local_members() -> str:
    """Return the kubeconfigs of the members of the local Karmada."""
    from towpath.local.store import default_root, load

    env = load(default_root())
    return os.pathsep.join(str(env.kubeconfig(name)) for name in env.members)


def scope_of(clusters: Sequence[str] | None, service: str) -> Scope:
    """Return the scope by the options. Raises UsageError."""
    if service:
        named(service)
    return Scope(frozenset(clusters or ()), service)


def _check(scope: Scope, world: World) -> None:
    """Refuse a member that Karmada does not have. Raises NotFound."""
    known = {state.cluster for state in world.members}
    if unknown := scope.clusters - known:
        names = several(known) or "none"
        raise NotFound(f"Karmada has no member {min(unknown)!r}. Its members: {names}.", 404)


def _within(scope: Scope, plans: Sequence[MemberPlan]) -> tuple[MemberPlan, ...]:
    def within(planned: MemberPlan) -> MemberPlan:
        cluster = planned.member.cluster
        return replace(
            planned,
            imports=tuple(held for held in planned.imports if scope.has(held.service, cluster)),
            own=tuple(found for found in planned.own if scope.has(found.key, cluster)),
        )

    return tuple(
        within(planned) for planned in plans if not scope.clusters or planned.member.cluster in scope.clusters
    )


def _in_state(plans: Sequence[MemberPlan], *states: str) -> Imports:
    found: dict[ServiceKey, set[str]] = {}
    for planned in plans:
        for held in planned.imports:
            if held.state in states:
                found.setdefault(held.service, set()).add(planned.member.cluster)
    return {key: frozenset(clusters) for key, clusters in found.items()}


def _refuse(steps: Sequence[Step]) -> None:
    """Refuse to take over where two control planes would write, or none. Raises TowpathError."""
    from towpath.migration.steps import INSTALL, STOP, Progress

    for step in steps:
        is_missing = step.title == INSTALL and step.progress is Progress.OPEN
        if is_missing or (step.title == STOP and step.progress is not Progress.DONE):
            raise TowpathError(f"Step {step.number} is not done: {step.title} {step.detail}")


def _run(client: Client, members: Members, order: Order) -> Run:
    from towpath.migration.run import Run

    def report(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    return Run(client, members, order.timeout, report)


def _report(plans: Sequence[MemberPlan]) -> bool:
    """Warn of imports that Karmada does not manage; return whether there is none."""
    from towpath.migration.plan import State

    left = [planned for planned in plans if planned.in_state(State.READY, State.BLOCKED, State.RELEASED)]
    for planned in left:
        held = planned.in_state(State.READY, State.BLOCKED, State.RELEASED)
        names = several(f"{each.service} ({each.state})" for each in held)
        sys.stderr.write(f"warning: {planned.member.cluster}: not taken over: {names}\n")
    unread = [planned.member for planned in plans if planned.member.problem]
    for member in unread:
        sys.stderr.write(f"warning: {member.cluster} was not read: {member.problem}\n")
    return not (left or unread)


def _warn(text: str, imports: Mapping[ServiceKey, frozenset[str]]) -> None:
    for key, clusters in imports.items():
        sys.stderr.write(f"warning: {key} in {several(clusters)}: {text}\n")
