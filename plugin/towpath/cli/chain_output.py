"""Tables of chains and verdicts: how services stand, the first broken link, and every link."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from towpath.cli.output import table
from towpath.derivation.chain import Link, LinkState, Step, alike, verdict
from towpath.text import one_line, several

if TYPE_CHECKING:
    from rich.table import Table

    from towpath.proto.v1alpha1.inventory_pb2 import ServiceSummary
    from towpath.proto.v1alpha1.service_pb2 import Cluster

_MAX_SERVICES = 20
"""Services that are shown of those that are not in sync."""


def chain(links: Sequence[Link]) -> list[str | Table]:
    """Return the chain, each step with its links, and the first broken link with the fix."""
    rows = table("step", "state", "cluster", "since", "")
    step: Step | None = None
    for link, clusters in alike(links):
        about = f"{link.subject}: {link.reason}: {link.text}" if link.reason else link.subject
        label = "" if link.step is step else link.step.value
        rows.add_row(*map(one_line, (label, link.state.value, several(clusters), link.since, about)))
        step = link.step
    return [rows, "", summary(links)]


def summary(links: Iterable[Link]) -> str:
    """Return the verdict in one line."""
    state, first = verdict(links)
    if first is None:
        return "In sync: every link is OK."
    return f"{_TITLES[state]}: {_place(first)}: {first.reason}: {first.text}"


_TITLES = {
    LinkState.BROKEN: "First broken link",
    LinkState.PENDING: "Pending",
    LinkState.LEFT_OUT: "In sync. Left out by the configuration",
}


def _place(link: Link) -> str:
    return f"{link.step.value} in {link.cluster}" if link.cluster else f"{link.step.value}, {link.subject}"


def fleet(clusters: Sequence[Cluster], services: Sequence[ServiceSummary]) -> list[str | Table]:
    """Return a fleet at a glance: members and services in numbers, and what is not well."""
    parts: list[str | Table] = [_members(clusters)]
    unwell = [cluster for cluster in clusters if _unwell(cluster)]
    if unwell:
        rows = table("member", "state")
        for cluster in unwell:
            rows.add_row(cluster.name, _unwell(cluster))
        parts += ["", rows, ""]
    parts.append(_services(services))
    shown = [service for service in services if service.state != LinkState.OK]
    if shown:
        parts += ["", _problems(shown[:_MAX_SERVICES])]
    if len(shown) > _MAX_SERVICES:
        parts.append(f"and {len(shown) - _MAX_SERVICES} more: -o json lists all.")
    return parts


def _members(clusters: Sequence[Cluster]) -> str:
    lost = sum(cluster.state != "Ready" for cluster in clusters)
    without = sum(not cluster.gateway_ip for cluster in clusters)
    drained = sum(cluster.drained for cluster in clusters)
    counted = ((lost, "lost"), (drained, "drained"), (without, "without gateway"))
    notes = "".join(f", {count} {word}" for count, word in counted if count)
    return f"{len(clusters)} member{'s' * (len(clusters) != 1)}{notes}"


def _unwell(cluster: Cluster) -> str:
    """Return what is not well in a member, empty if all is."""
    gateway = f"no address of {cluster.gateway_host}" if cluster.gateway_host else "no gateway"
    found = (
        f"lost since {cluster.lost_since}" if cluster.lost_since else "",
        "drained" if cluster.drained else "",
        "" if cluster.gateway_ip else gateway,
        "" if cluster.dialects else "serves no ServiceImport",
    )
    return ", ".join(filter(None, found))


def _services(services: Sequence[ServiceSummary]) -> str:
    counts = {state: sum(s.state == state for s in services) for state in LinkState}
    well = counts[LinkState.OK] + counts[LinkState.LEFT_OUT]
    words = {LinkState.PENDING: "pending", LinkState.BROKEN: "broken"}
    notes = "".join(f", {counts[state]} {word}" for state, word in words.items() if counts[state])
    return f"{len(services)} service{'s' * (len(services) != 1)}: {well} in sync{notes}"


def _problems(services: Iterable[ServiceSummary]) -> Table:
    rows = table("service", "state", "exporters", "imports in place", "link", "since", "reason", "")
    for service in services:
        first = service.first
        link = f"{first.step} in {first.cluster}" if first.cluster else first.step
        in_place = f"{service.in_place} of {service.importers}"
        cells = (
            f"{service.namespace}/{service.name}",
            service.state,
            several(service.exporters, 2) or "none",
            in_place,
            link,
            first.since,
            first.reason,
            first.text,
        )
        rows.add_row(*map(one_line, cells))
    return rows
