"""Looking into the members that export a service, as far as they let.

A member may answer anything: what is no list of EndpointSlices, or no DaemonSet, counts as no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from towpath.datapath.slices import SERVICE_LABEL
from towpath.errors import ApiError, NotFound, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import Object
from towpath.karmada.member_access import MemberAccess, MemberApi
from towpath.model.keys import ServiceKey
from towpath.verification.member_links import MemberEvidence
from towpath.verification.pod import DATA_PATH

_DEADLINE_SECONDS = 5.0


class _Conditions(msgspec.Struct):
    ready: bool | None = None


class _Endpoint(msgspec.Struct):
    conditions: _Conditions | None = None


class _Meta(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Slice(msgspec.Struct):
    metadata: _Meta
    endpoints: list[_Endpoint] | None = None


class _Slices(msgspec.Struct):
    items: list[_Slice]


class _AgentStatus(msgspec.Struct, rename="camel"):
    number_ready: int = 0


class _Agent(msgspec.Struct):
    status: _AgentStatus | None = None


async def look(
    members: MemberAccess, key: ServiceKey, exporters: Iterable[str], carried: Collection[str]
) -> list[MemberEvidence]:
    """Return what each exporter holds. ``carried`` are the members that should have the data path."""
    looks = (_look(members, key, name, name in carried) for name in sorted(exporters))
    return list(await asyncio.gather(*looks))


async def _look(members: MemberAccess, key: ServiceKey, name: str, data_path: bool) -> MemberEvidence:
    try:
        member = await members.of(name)
        slices, agent = await asyncio.gather(_slices(member, key), _agent(member, wanted=data_path))
    except ApiError as error:
        return MemberEvidence(name, problem=str(error))
    return MemberEvidence(name, slices, data_path, agent)


async def _slices(member: MemberApi, key: ServiceKey) -> list[Object]:
    query = [("labelSelector", f"{SERVICE_LABEL}={key.name}")]
    path = resources.ENDPOINT_SLICES.path(key.namespace)
    found = await member.json("GET", path, query=query, deadline=_DEADLINE_SECONDS)
    items: list[Object] = _checked(found, _Slices, path)["items"]
    return items


async def _agent(member: MemberApi, *, wanted: bool) -> Object | None:
    if not wanted:
        return None
    namespace, name = DATA_PATH
    try:
        path = resources.DAEMON_SETS.path(namespace, name)
        return _checked(await member.json("GET", path, deadline=_DEADLINE_SECONDS), _Agent, path)
    except NotFound:
        return None


def _checked(answer: Any, shape: type[msgspec.Struct], path: str) -> Object:
    """Return an answer that has the shape. Raises Unreachable."""
    try:
        msgspec.convert(answer, shape)
    except msgspec.ValidationError as error:
        raise Unreachable(f"GET {path}: The answer is not an apiserver's: {error}") from error
    found: Object = answer
    return found
