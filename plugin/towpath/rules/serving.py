"""Exporting clusters that do not answer calls, as the data paths of members report it ("serving rule").

The data path of an exporting cluster reports that no pod of the Service is ready, and that of an importing
cluster which gateways do not answer it. Only members that have the data path count: what one has stated
before it lost it stays in its objects. No endpoint is withdrawn for it, because Envoy uses none that fails.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from towpath.model.arrival import Unserved
from towpath.model.cluster import Member
from towpath.rules.reasons import CallReason
from towpath.text import several

_MAX_NAMED = 10


def unserved(
    members: Mapping[str, Member],
    exporters: Collection[str],
    importers: Collection[str],
    unready: Mapping[str, str],
    unanswered: Mapping[str, Mapping[str, str]],
) -> tuple[Unserved, ...]:
    """Return the exporters that do not answer, sorted.

    ``unready`` are the clusters that report no ready pod, with since when. ``unanswered`` are those from
    which gateways do not answer: the keys of the exporting clusters, with since when.
    """
    if not unready and not unanswered:
        return ()
    counted = {
        name
        for name in (*unready, *unanswered)
        if (member := members.get(name)) and member.data_path and member.unreachable_since is None
    }
    return (
        *(
            Unserved(name, CallReason.NO_READY_POD.value, since=unready[name])
            for name in sorted(counted & unready.keys() & set(exporters))
        ),
        *_silent(members, exporters, sorted(counted & unanswered.keys() & set(importers)), unanswered),
    )


def _silent(
    members: Mapping[str, Member],
    exporters: Collection[str],
    callers: Sequence[str],
    unanswered: Mapping[str, Mapping[str, str]],
) -> Iterator[Unserved]:
    for name in sorted(exporters) if callers else ():
        key = members[name].key
        since = {caller: unanswered[caller][key] for caller in callers if key in unanswered[caller]}
        if since:
            yield Unserved(name, CallReason.NO_ANSWER.value, tuple(since), min(since.values()))


def place_of(clusters: Collection[str], callers: Collection[str]) -> str:
    """Return which calls it is about: to these clusters, and from which if not from all."""
    to = several(clusters, _MAX_NAMED)
    return f"{to} (from {several(callers, _MAX_NAMED)})" if callers else to


def why_unserved(found: Sequence[Unserved]) -> tuple[str, ...]:
    """Return the reasons of Ready, joined by commas, and a sentence for each cause."""
    clusters: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for entry in found:
        clusters.setdefault((entry.reason, entry.callers), []).append(entry.cluster)
    sentences = (
        f"{place_of(names, callers)}: {CallReason.of(reason).text}"
        for (reason, callers), names in clusters.items()
    )
    return ",".join(dict.fromkeys(entry.reason for entry in found)), *sentences
