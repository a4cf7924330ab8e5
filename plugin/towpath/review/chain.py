"""The links of a service's chain, worked out from one snapshot of it ("derivation.chain").

Each function returns the links of one step. Decisions, conditions and states of imports are those of the
derivation and of the status: a link only says at which step each of them takes effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from towpath.derivation.chain import NO_POD, Link, LinkState, Step
from towpath.derivation.explanation import ImportingCluster, ImportState
from towpath.derivation.stages import is_foreign
from towpath.derivation.user_overrides import cautions_of
from towpath.model.arrival import Unserved
from towpath.model.condition import CONFLICT, FALSE, TRUE, VALID
from towpath.review.evidence import Evidence
from towpath.rules.conditions import NOWHERE
from towpath.rules.late_cache import catching_up
from towpath.rules.reasons import (
    Advice,
    CallReason,
    ChainReason,
    ConditionReason,
    ExclusionReason,
    NotImportedReason,
    Reason,
    RouteReason,
)
from towpath.text import several

Object = Mapping[str, Any]
_OF_THE_EXPORT = {ExclusionReason.NAMESPACE_RESERVED, ExclusionReason.NAME_TAKEN}
_CONSEQUENCES = {NotImportedReason.NO_EXPORTER, NotImportedReason.ONLY_EXPORTER}
"""Why a cluster does not import where another link says more, or nothing is wrong."""
_BY_CONFIGURATION = {
    ExclusionReason.DRAINED,
    ExclusionReason.SERVICE_NOT_BOUND,
    NotImportedReason.OUT_OF_SCOPE,
}
_AGREE = "Use the same ports and settings in all exporting clusters."
"""The fix of a conflict, whose message is that of mcs-api."""
_PASSES = {ExclusionReason.NOT_APPLIED_YET, ExclusionReason.CATCHING_UP}


def links(evidence: Evidence) -> tuple[Link, ...]:
    """Return the chain of a service, in the order of its steps."""
    steps = (_export, _service, _exporting, _route, _importing, _import)
    carrying = (_policy, _override, _binding, _work, _member, _name) if evidence.wanted.service_import else ()
    return tuple(link for step in (*steps, *carrying, _pods, _gateway) for link in step(evidence))


def _export(evidence: Evidence) -> Iterator[Link]:
    subject = f"ServiceExport {evidence.place}"
    valid = evidence.condition(VALID)
    if valid.reason in _OF_THE_EXPORT:
        yield _broken(Step.EXPORT, subject, valid.reason, valid.message, since=evidence.since(valid))
    else:
        yield Link(Step.EXPORT, subject, since=evidence.service.created)


def _service(evidence: Evidence) -> Iterator[Link]:
    subject, service = f"Service {evidence.place}", evidence.service
    valid = evidence.condition(VALID)
    faults: list[tuple[Reason, str]] = [(ChainReason.NOT_CARRIED, fault) for fault in evidence.derived.faults]
    if service.frozen:
        faults.append((Advice.FROZEN, Advice.FROZEN.text))
    if valid.status == FALSE and valid.reason in NOWHERE:
        text = ConditionReason.of(valid.reason).text
        yield _broken(Step.SERVICE, subject, valid.reason, text, since=evidence.since(valid))
    elif not faults:
        yield Link(Step.SERVICE, subject)
    for reason, text in faults:
        yield _broken(Step.SERVICE, subject, reason, text)


def _exporting(evidence: Evidence) -> Iterator[Link]:
    """Yield the decision on each cluster that the export reaches."""
    for exporter in evidence.explained.exporters:
        link = Link(Step.EXPORTING, "exports the service", cluster=exporter.cluster)
        if exporter.lost_since:
            lost = ChainReason.EXPORTER_LOST
            until = f"Grace until {exporter.kept_until}: " if exporter.kept_until else ""
            link = link._replace(
                state=LinkState.BROKEN, reason=lost.value, text=until + lost.text, since=exporter.lost_since
            )
        yield link
    for name, exclusion in sorted(evidence.derived.excluded.items()):
        state = _state_of(exclusion.reason)
        if exclusion.reason is ExclusionReason.SERVICE_NOT_BOUND and not evidence.derived.exporters:
            state = LinkState.BROKEN
        yield Link(
            Step.EXPORTING,
            "does not export the service",
            state,
            name,
            exclusion.reason.value,
            exclusion.text,
            evidence.excluded_since(name, exclusion.reason),
        )
    conflict = evidence.condition(CONFLICT)
    if conflict.status == TRUE:
        text = f"{conflict.message} {_AGREE}"
        since = evidence.since(conflict)
        yield _broken(Step.EXPORTING, "the exporting clusters disagree", conflict.reason, text, since=since)


def _route(evidence: Evidence) -> Iterator[Link]:
    """Yield whether the gateway that an exporting cluster has of its own serves the service."""
    members = evidence.snapshot.fleet.members
    for exporter in evidence.explained.exporters:
        name = exporter.cluster
        if not members[name].gateway_route:
            continue
        subject = f"route on {members[name].gateway_route}"
        if name not in evidence.arrival.unrouted:
            yield Link(Step.ROUTE, subject, cluster=name)
            continue
        word, detail = evidence.arrival.unrouted[name]
        reason = RouteReason.of(word)
        state = LinkState.PENDING if reason is RouteReason.PENDING else LinkState.BROKEN
        text = f"{detail.rstrip('. ')}: {reason.text}" if detail else reason.text
        yield Link(Step.ROUTE, subject, state, name, reason.value, text)


def _importing(evidence: Evidence) -> Iterator[Link]:
    """Yield the decision on each cluster that could import."""
    for importer in evidence.explained.importers:
        yield Link(Step.IMPORTING, "imports the service", cluster=importer.cluster)
    for left_out in evidence.explained.not_importing:
        reason = NotImportedReason.of(left_out.reason)
        if reason not in _CONSEQUENCES:
            yield Link(
                Step.IMPORTING,
                "does not import the service",
                _state_of(reason),
                left_out.cluster,
                reason.value,
                left_out.text,
            )


def _import(evidence: Evidence) -> Iterator[Link]:
    subject = f"ServiceImport {evidence.place}"
    live, wanted = evidence.snapshot.current.service_import, evidence.wanted
    if evidence.withheld:
        yield _broken(Step.IMPORT, subject, ConditionReason.WITHHELD, ConditionReason.WITHHELD.text)
    elif wanted.refused is not None:
        yield _broken(Step.IMPORT, subject, wanted.refused.reason, wanted.refused.message)
    elif is_foreign(live):
        yield _broken(Step.IMPORT, subject, ConditionReason.NAME_IN_USE, ConditionReason.NAME_IN_USE.text)
    elif obj := wanted.service_import or live:
        yield _as_derived(evidence, Step.IMPORT, obj)
    elif evidence.derived.exporters:
        none = ConditionReason.NOT_IMPORTED
        yield Link(Step.IMPORT, subject, LinkState.LEFT_OUT, "", none.value, none.text)


def _policy(evidence: Evidence) -> Iterator[Link]:
    policy, claim = evidence.wanted.propagation, evidence.snapshot.imports.claim
    if policy is None:
        return
    link = _as_derived(evidence, Step.POLICY, policy)
    if claim is not None:
        reason = ConditionReason.CLAIMED_ELSEWHERE
        link = _broken(Step.POLICY, link.subject, reason, f"{claim}: {reason.text}")
    yield link


def _override(evidence: Evidence) -> Iterator[Link]:
    for policy in evidence.wanted.overrides:
        yield _as_derived(evidence, Step.OVERRIDE, policy)
    for caution in cautions_of(evidence.overrides):
        yield _broken(Step.OVERRIDE, "override policies of users", caution.reason, caution.text)


def _binding(evidence: Evidence) -> Iterator[Link]:
    imports = evidence.snapshot.imports
    subject = f"ResourceBinding {evidence.place}-serviceimport"
    if imports.taken_by:
        reason = ConditionReason.IMPORT_NAME_TAKEN
        text = f"ServiceImport of {imports.taken_by}: {reason.text}"
        yield _broken(Step.BINDING, subject, reason, text)
        return
    missing = evidence.derived.views.keys() - imports.binding.clusters
    if missing:
        unbound = ChainReason.NOT_BOUND
        text = f"{several(missing)}: {unbound.text}"
        yield Link(Step.BINDING, subject, LinkState.PENDING, "", unbound.value, text)
    else:
        yield Link(Step.BINDING, subject)


def _work(evidence: Evidence) -> Iterator[Link]:
    """Yield whether Karmada has written the import in each importing cluster, as it reports itself."""
    applied = evidence.snapshot.imports.binding.copies.applied
    for importer in evidence.explained.importers:
        if importer.state in {ImportState.FAILED, ImportState.LOST}:
            yield _of_importer(Step.WORK, importer, LinkState.BROKEN)
        elif importer.cluster in applied:
            yield Link(Step.WORK, "Karmada has applied the import", cluster=importer.cluster)
        else:
            yield _of_importer(Step.WORK, importer, LinkState.PENDING)


def _member(evidence: Evidence) -> Iterator[Link]:
    """Yield whether each importing cluster reports that it holds its view."""
    applied = evidence.snapshot.imports.binding.copies.applied
    for importer in evidence.explained.importers:
        match importer.state:
            case ImportState.IN_PLACE:
                yield Link(Step.MEMBER, "the cluster has its import", cluster=importer.cluster)
            case ImportState.UNKNOWN if importer.cluster in applied:
                yield _of_importer(Step.MEMBER, importer, LinkState.BROKEN)
            case _:
                yield _of_importer(Step.MEMBER, importer, LinkState.PENDING)


def _name(evidence: Evidence) -> Iterator[Link]:
    """Yield whether the name of the Service resolves where towpath-net carries its calls.

    Of what follows in the cluster members report pods and gateways alone, and only what is wrong with them.
    """
    brought, carried = evidence.snapshot.brought, evidence.snapshot.fleet.with_data_path
    if brought is None or not carried:
        return
    late = catching_up(evidence.snapshot.fleet.members, brought.failed, evidence.snapshot.now)
    for name in (
        importer.cluster for importer in evidence.explained.importers if importer.cluster in carried
    ):
        link = Link(Step.NAME, "the cluster has the Service", cluster=name)
        if name in brought.failed and name not in late:
            reason = ChainReason.SERVICE_NOT_APPLIED
            text = f"{brought.failed[name].rstrip('. ')}: {reason.text}"
            link = link._replace(state=LinkState.BROKEN, reason=reason.value, text=text)
        elif name not in brought.applied:
            reason = ChainReason.SERVICE_ON_ITS_WAY
            link = link._replace(state=LinkState.PENDING, reason=reason.value, text=reason.text)
        yield link if link.state is LinkState.OK else link._replace(subject="the cluster lacks the Service")


def _pods(evidence: Evidence) -> Iterator[Link]:
    """Yield the exporting clusters whose data path finds no ready pod."""
    for found in evidence.arrival.unserved:
        if found.reason == CallReason.NO_READY_POD:
            yield _unserved(Step.PODS, NO_POD, found)


def _gateway(evidence: Evidence) -> Iterator[Link]:
    """Yield the exporting clusters whose gateway does not answer other clusters."""
    for found in evidence.arrival.unserved:
        if found.reason == CallReason.NO_ANSWER:
            yield _unserved(Step.GATEWAY, f"the gateway does not answer {several(found.callers)}", found)


def _unserved(step: Step, subject: str, found: Unserved) -> Link:
    text = CallReason.of(found.reason).text
    return Link(step, subject, LinkState.BROKEN, found.cluster, found.reason, text, found.since)


def _of_importer(step: Step, importer: ImportingCluster, state: LinkState) -> Link:
    subject = "Karmada has not applied the import" if step is Step.WORK else "the cluster lacks its import"
    return Link(step, subject, state, importer.cluster, importer.reason, importer.text, importer.since)


def _as_derived(evidence: Evidence, step: Step, obj: Object) -> Link:
    """Return whether a derived object is there as the controller would write it."""
    kind, name, place = obj["kind"], obj["metadata"]["name"], evidence.service.key.namespace
    since = evidence.written(kind, name)
    link = Link(step, f"{kind} {place}/{name}", since=since)
    if (kind, name) not in evidence.unwritten:
        return link
    reason = ChainReason.NOT_WRITTEN
    return link._replace(state=LinkState.BROKEN, reason=reason.value, text=reason.text)


def _state_of(reason: Reason) -> LinkState:
    if reason in _BY_CONFIGURATION:
        return LinkState.LEFT_OUT
    return LinkState.PENDING if reason in _PASSES else LinkState.BROKEN


def _broken(step: Step, subject: str, reason: str, text: str, *, since: str = "") -> Link:
    return Link(step, subject, LinkState.BROKEN, "", str(reason), text, since)
