"""The calls in the members: a namespace and a pod in each, what the pod writes, and nothing left behind."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from towpath.errors import ApiError, NotFound
from towpath.karmada import resources
from towpath.karmada.client import Object
from towpath.karmada.member_access import MemberAccess, MemberApi
from towpath.polling import accepted, last_seen
from towpath.rules.reasons import CallReason
from towpath.verification import pod as objects
from towpath.verification.judge import judge, not_made
from towpath.verification.plan import Call, Outcome, Plan
from towpath.verification.pod import NAME, Limits

_ACCOUNT_SECONDS = 15.0
"""The longest time until a new namespace has the account without which no pod is accepted."""
_REMOVAL_SECONDS = 30.0
_LOOK_SECONDS = 0.3
_BAD_REQUEST = 400


class Order(NamedTuple):
    """How the calls are made: ``image`` is empty for that of the data path."""

    image: str
    call_seconds: float
    pod_seconds: float


async def verify(
    members: MemberAccess, plan: Plan, order: Order, warn: Callable[[str], object]
) -> list[Outcome]:
    """Make the calls of a plan; ``warn`` is told what could not be removed.

    A cancellation removes everything before it takes effect.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_from_member(members, name, calls, order, warn))
            for name, calls in plan.calls.items()
        ]
    return [*plan.left_out, *(outcome for task in running for outcome in task.result())]


async def _from_member(
    members: MemberAccess, name: str, calls: tuple[Call, ...], order: Order, warn: Callable[[str], object]
) -> list[Outcome]:
    """Make the calls of one cluster, or say why they cannot be made."""
    try:
        member = await members.of(name)
        if not objects.any_ready((await member.json("GET", resources.NODES.path()))["items"]):
            return not_made(calls, CallReason.NO_NODE)
        image = order.image or await _image(member)
        if not image:
            return not_made(calls, CallReason.NO_DATA_PATH)
        async with _namespace(member, name, warn) as namespace:
            return await _call(member, namespace, image, calls, order)
    except ApiError as error:
        return not_made(calls, CallReason.NO_ACCESS, str(error))


async def _image(member: MemberApi) -> str:
    namespace, name = objects.DATA_PATH
    try:
        return objects.image_of(await member.json("GET", resources.DAEMON_SETS.path(namespace, name)))
    except NotFound:
        return ""


async def _call(
    member: MemberApi, namespace: str, image: str, calls: tuple[Call, ...], order: Order
) -> list[Outcome]:
    limits = Limits(order.call_seconds, order.pod_seconds + len(calls) * order.call_seconds)
    made = objects.pod(namespace, image, (call.target for call in calls), limits)
    create = resources.PODS.path(namespace)
    await accepted(lambda: member.request("POST", create, body=made), patience=_ACCOUNT_SECONDS)

    async def look() -> Object:
        return await member.json("GET", resources.PODS.path(namespace, NAME))

    seen = await last_seen(look, objects.is_started, patience=order.pod_seconds, every=_LOOK_SECONDS)
    if not objects.is_started(seen):
        return not_made(calls, CallReason.POD_NOT_RUN, objects.why_not_running(seen))
    seen = await last_seen(look, objects.is_over, patience=limits.pod, every=_LOOK_SECONDS)
    log = await _log(member, namespace)
    return (
        judge(calls, log) if log else not_made(calls, CallReason.POD_NOT_RUN, objects.why_not_running(seen))
    )


async def _log(member: MemberApi, namespace: str) -> bytes:
    """Return what the pod has written; nothing if its program was never started."""
    try:
        return await member.request("GET", resources.PODS.path(namespace, NAME, "log"))
    except ApiError as error:
        if error.status == _BAD_REQUEST:
            return b""
        raise


@asynccontextmanager
async def _namespace(member: MemberApi, cluster: str, warn: Callable[[str], object]) -> AsyncIterator[str]:
    """Give a new namespace, which is gone at the end, however that comes."""
    name = f"towpath-verify-{secrets.token_hex(4)}"
    body = objects.namespace(name)
    created = asyncio.ensure_future(member.request("POST", resources.NAMESPACES.path(), body=body))
    try:
        await asyncio.shield(created)
        yield name
    finally:
        await asyncio.wait([created])  # what is on its way would come after the removal
        if created.exception() is None:
            await _remove(member, cluster, name, warn)


async def _remove(member: MemberApi, cluster: str, name: str, warn: Callable[[str], object]) -> None:
    path = resources.NAMESPACES.path("", name)

    async def is_gone() -> bool:
        try:
            await member.json("GET", path)
        except NotFound:
            return True
        return False

    try:
        await member.request("DELETE", path)
        if await last_seen(is_gone, bool, patience=_REMOVAL_SECONDS, every=_LOOK_SECONDS):
            return
        problem = f"It is still there after {_REMOVAL_SECONDS:.0f} s"
    except ApiError as error:
        problem = str(error).rstrip(". ")
    warn(f"Namespace {name} in {cluster}: {problem}. Delete it.\n")
