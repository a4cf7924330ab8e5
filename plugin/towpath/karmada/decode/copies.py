"""What Karmada and the members report of the copies of one template: the status of its binding."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from towpath.karmada.decode.metadata import NONE, shared
from towpath.karmada.nesting import decoded
from towpath.model.condition import FALSE, SERVING, VALID
from towpath.model.ownership import ROUTE_PREFIXES

NOWHERE: frozenset[str] = frozenset()
NO_GATEWAYS: Mapping[str, Mapping[str, str]] = {}
_UNKNOWN = "Unknown"
"""The health of a copy of which Karmada has not heard yet."""


class Copies(NamedTuple):
    """What Karmada and the members report of the copies of one template, by cluster.

    ``accepted`` are those whose gateway serves a route, and ``refused`` also its messages where it does not.
    ``digests`` are those of the content that each member holds of a ServiceImport or a ServiceExport
    (``model.digest``), and ``refused`` the messages with which a member's own controller finds a
    ServiceExport invalid. ``applied`` are the clusters that have some version of the template, ``unreported``
    those in which Karmada has applied it, as it says, and that do not report it: on its way, or lost (*lost
    write*). ``failed`` are Karmada's messages where it cannot write. ``unready`` are the clusters whose data
    path finds no ready pod of an exported Service, with since when, and ``unanswered`` those from which
    gateways do not answer: the keys of the exporting clusters, with since when.
    """

    digests: Mapping[str, str] = NONE
    refused: Mapping[str, str] = NONE
    applied: frozenset[str] = NOWHERE
    unreported: frozenset[str] = NOWHERE
    failed: Mapping[str, str] = NONE
    accepted: frozenset[str] = NOWHERE
    unready: Mapping[str, str] = NONE
    unanswered: Mapping[str, Mapping[str, str]] = NO_GATEWAYS


class _CopyCondition(msgspec.Struct, rename="camel", gc=False):
    type: str = ""
    status: str = ""
    message: str = ""
    last_transition_time: str = ""


class _Unanswered(msgspec.Struct, rename="camel", gc=False):
    cluster_key: str = ""
    since: str = ""


class _Parent(msgspec.Struct, gc=False):
    conditions: list[_CopyCondition] = []


class _CopyStatus(msgspec.Struct, gc=False):
    view: str = ""
    digest: str = ""
    conditions: list[_CopyCondition] = []
    parents: list[_Parent] = []
    unanswered: list[_Unanswered] = []


class _Copy(msgspec.Struct, rename="camel", gc=False):
    cluster_name: str
    status: _CopyStatus | None = None
    applied: bool = False
    applied_message: str = ""
    health: str = ""

    @property
    def is_reported(self) -> bool:
        """Whether the member reports the copy: until it does, Karmada knows neither status nor health."""
        return self.status is not None or self.health != _UNKNOWN


class _BindingStatus(msgspec.Struct, rename="camel", gc=False):
    aggregated_status: list[_Copy] = []


class _UnreadCopy(msgspec.Struct, rename="camel", gc=False):
    cluster_name: str
    status: msgspec.Raw = msgspec.Raw(b"null")
    applied: bool = False
    applied_message: str = ""
    health: str = ""


class _UnreadStatus(msgspec.Struct, rename="camel", gc=False):
    aggregated_status: list[_UnreadCopy] = []


def copies_of(kind: str, status: bytes) -> Copies:
    """Read the status of a binding of a template of this kind."""
    found = _reported(status)
    if not found:
        return _NO_COPIES
    digests, refused, failed = dict[str, str](), dict[str, str](), dict[str, str]()
    applied, unreported, accepted = list[str](), list[str](), list[str]()
    unready, unanswered = dict[str, str](), dict[str, Mapping[str, str]]()
    is_export, is_route = kind == "ServiceExport", kind in ROUTE_PREFIXES
    for copy in found:  # once: a question of the webhook brings as many as there are members
        name, reported = sys.intern(copy.cluster_name), copy.status
        if reported is not None and (digest := reported.view or reported.digest):
            digests[name] = shared(digest)  # of the content that the cluster has (interpreter.yaml)
        if reported is not None and reported.unanswered:
            unanswered[name] = {gateway.cluster_key: gateway.since for gateway in reported.unanswered}
        if is_export and (refusal := _untrue(copy, VALID)):
            refused[name] = shared(refusal.message)
        if is_export and (unserved := _untrue(copy, SERVING)):
            unready[name] = unserved.last_transition_time
        if is_route and copy.applied:
            _take_route(kind, copy, refused, accepted)
        if copy.applied:
            (applied if copy.is_reported else unreported).append(name)
        elif copy.applied_message:
            failed[name] = copy.applied_message
    there, lost = shared(frozenset(applied)), shared(frozenset(unreported))
    serving = shared(frozenset(accepted))
    return Copies(
        digests or NONE,
        refused or NONE,
        there,
        lost,
        failed or NONE,
        serving,
        unready or NONE,
        unanswered or NO_GATEWAYS,
    )


def _reported(status: bytes) -> list[_Copy]:
    """Return the copies. A member decides what it reports: if that is malformed, the other members count."""
    try:
        return decoded(_statuses, status).aggregated_status
    except msgspec.ValidationError:
        return [*map(_copy, decoded(_unread_statuses, status).aggregated_status)]


def _copy(found: _UnreadCopy) -> _Copy:
    try:
        status = decoded(_copy_statuses, found.status)
    except msgspec.ValidationError:
        status = _CopyStatus()  # reported, and says nothing
    return _Copy(found.cluster_name, status, found.applied, found.applied_message, found.health)


def _untrue(copy: _Copy, kind: str) -> _CopyCondition | None:
    """Return the condition of this type with which a cluster says that something does not hold."""
    found = copy.status.conditions if copy.status else ()
    return next((c for c in found if c.type == kind and c.status == FALSE), None)


def _take_route(kind: str, copy: _Copy, refused: dict[str, str], accepted: list[str]) -> None:
    text = _refused_route(copy)
    if text:
        refused[sys.intern(copy.cluster_name)] = text
    elif text is not None or kind != "HTTPRoute":
        accepted.append(sys.intern(copy.cluster_name))


def _refused_route(copy: _Copy) -> str | None:
    """Return the message of a gateway that does not serve a route, empty if it does, None before it says so.

    A gateway writes Accepted and ResolvedRefs for each parent (RouteParentStatus of the Gateway API).
    """
    found = [c for parent in copy.status.parents for c in parent.conditions] if copy.status else []
    refusals = (
        (c.message or c.type)[:_QUOTED] for c in found if c.type in _OF_ROUTES and c.status == "False"
    )
    accepted = any(c.type == "Accepted" and c.status == "True" for c in found)
    return next(refusals, "" if accepted else None)


_statuses, _unread_statuses = msgspec.json.Decoder(_BindingStatus), msgspec.json.Decoder(_UnreadStatus)
_copy_statuses = msgspec.json.Decoder(_CopyStatus | None)
_NO_COPIES = Copies()
_QUOTED = 300
"""Characters that are kept of a gateway's message."""
_OF_ROUTES = frozenset({"Accepted", "ResolvedRefs"})
