"""Links of a service's chain that only members know: the pods behind an exporter, and its gateway; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from towpath.datapath.slices import MANAGED_BY_LABEL
from towpath.datapath.world import SLICE_MANAGER
from towpath.derivation.chain import NO_POD, Link, LinkState, Step
from towpath.rules.reasons import CallReason, ChainReason

Object = Mapping[str, Any]


class MemberEvidence(NamedTuple):
    """What an exporting member holds.

    ``slices`` are the EndpointSlices of the Service. ``agent`` is the DaemonSet of the data path, None if
    it is not there; it counts where the member should have the data path. ``problem`` says why nothing could
    be read.
    """

    cluster: str
    slices: Sequence[Object] = ()
    data_path: bool = False
    agent: Object | None = None
    problem: str = ""


def member_links(evidence: Iterable[MemberEvidence]) -> tuple[Link, ...]:
    """Return the links, first those of the pods."""
    found = list(evidence)
    return (*_pods(found), *_gateways(found))


def with_member_links(chain: Iterable[Link], evidence: Iterable[MemberEvidence]) -> tuple[Link, ...]:
    """Return a chain with the links that members know: of pods they know more than Karmada has heard."""
    read, steps = member_links(evidence), list(Step)
    newer = {link.cluster for link in read if link.step is Step.PODS and link.state is not LinkState.LEFT_OUT}
    known = (link for link in chain if link.step is not Step.PODS or link.cluster not in newer)
    return tuple(sorted([*read, *known], key=lambda link: steps.index(link.step)))


def _pods(evidence: Iterable[MemberEvidence]) -> Iterator[Link]:
    for member in evidence:
        if member.problem:
            reason = ChainReason.NOT_READ
            text = f"{member.problem.rstrip('. ')}: {reason.text}"
            subject = "the pods of the Service"
            yield Link(Step.PODS, subject, LinkState.LEFT_OUT, member.cluster, reason.value, text)
            continue
        own = [obj for obj in member.slices if _labels(obj).get(MANAGED_BY_LABEL) != SLICE_MANAGER]
        if not own:  # nothing in the member publishes the pods of Services
            continue
        if any(_is_ready(endpoint) for obj in own for endpoint in obj.get("endpoints") or ()):
            yield Link(Step.PODS, "the Service has a ready pod", cluster=member.cluster)
        else:
            none = CallReason.NO_READY_POD
            yield Link(Step.PODS, NO_POD, LinkState.BROKEN, member.cluster, none.value, none.text)


def _gateways(evidence: Iterable[MemberEvidence]) -> Iterator[Link]:
    for member in evidence:
        if member.problem or not member.data_path:
            continue
        if member.agent is not None and (member.agent.get("status") or {}).get("numberReady"):
            yield Link(Step.GATEWAY, "towpath-net is ready", cluster=member.cluster)
        else:
            down = ChainReason.GATEWAY_DOWN
            subject = "towpath-net is not ready"
            yield Link(Step.GATEWAY, subject, LinkState.BROKEN, member.cluster, down.value, down.text)


def _labels(obj: Object) -> Mapping[str, Any]:
    labels: Mapping[str, Any] = obj["metadata"].get("labels") or {}
    return labels


def _is_ready(endpoint: Object) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False  # unknown counts as ready
