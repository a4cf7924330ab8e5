"""The chain of a service: every step from its export to what each member holds, and the first broken link.

``review.chain`` makes the links, ``towpath explain`` shows them all, and ``towpath status`` shows the
verdict. There is no other way to say how a service stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

NO_POD = "the Service has no ready pod"
"""A link of the step Pods."""


class Step(StrEnum):
    """A step of the chain, in the order in which one follows from the other."""

    EXPORT = "Export"
    SERVICE = "Service"
    EXPORTING = "Exporting"
    ROUTE = "Route"
    IMPORTING = "Importing"
    IMPORT = "Import"
    POLICY = "Policy"
    OVERRIDE = "Override"
    BINDING = "Binding"
    WORK = "Work"
    MEMBER = "Member"
    NAME = "Name"
    PODS = "Pods"
    GATEWAY = "Gateway"


class LinkState(StrEnum):
    """How a link stands. ``LEFT_OUT`` is what the configuration asks for: drained, say, or out of scope."""

    OK = "OK"
    LEFT_OUT = "LeftOut"
    PENDING = "Pending"
    BROKEN = "Broken"


class Link(NamedTuple):
    """One link of the chain. ``cluster`` is empty where the link concerns all clusters.

    ``since`` is when this state began (RFC 3339), empty if that is not known. ``reason`` and ``text``, the
    problem and the fix, are empty while all is well.
    """

    step: Step
    subject: str
    state: LinkState = LinkState.OK
    cluster: str = ""
    reason: str = ""
    text: str = ""
    since: str = ""


class Verdict(NamedTuple):
    """How a service stands, and the link that decides it; None if every link is well."""

    state: LinkState
    first: Link | None = None

    @property
    def is_in_sync(self) -> bool:
        """Whether everything is as the configuration asks for."""
        return self.state in {LinkState.OK, LinkState.LEFT_OUT}


def verdict(links: Iterable[Link]) -> Verdict:
    """Return how a service stands: the first broken link decides, else the first that is pending, or left
    out."""
    found = tuple(links)
    for state in (LinkState.BROKEN, LinkState.PENDING, LinkState.LEFT_OUT):
        first = next((link for link in found if link.state is state), None)
        if first is not None:
            return Verdict(state, first)
    return Verdict(LinkState.OK)


def of_cluster(links: Iterable[Link], cluster: str) -> tuple[Link, ...]:
    """Return the links of one cluster, and those that concern all of them."""
    return tuple(link for link in links if link.cluster in {"", cluster})


def alike(links: Iterable[Link]) -> list[tuple[Link, list[str]]]:
    """Return links that differ in their cluster alone as one, in order, with the names of the clusters."""
    found: dict[Link, list[str]] = {}
    for link in links:
        found.setdefault(link._replace(cluster=""), []).extend([link.cluster] if link.cluster else [])
    return list(found.items())
