"""One service, explained: the answer to who exports it, who imports what, and why the others do not.

One frozen type with three renderers: a document for JSON and YAML (here), tables (``cli.output``) and the
messages of the gRPC API (``rpc.convert``), which read it back as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from towpath.derivation.chain import Link, Verdict, verdict
from towpath.derivation.derive import Derived, why_not_importing
from towpath.derivation.warnings import advise
from towpath.model.cluster import Fleet, Member
from towpath.model.condition import Condition
from towpath.model.keys import ServiceKey
from towpath.model.view import ImportPort
from towpath.model.world import ExportedService
from towpath.rules.reasons import Caution, Finding, NotImportedReason


class ExportingCluster(NamedTuple):
    """A cluster that exports the service.

    ``lost_since`` is when Karmada lost it, and ``kept_until`` when its grace ends (RFC 3339): then it is
    withdrawn if others can stand in for it. Both are empty where they do not apply.
    """

    cluster: str
    cluster_key: str
    lost_since: str = ""
    kept_until: str = ""


class ImportState(StrEnum):
    """How the import of one cluster stands."""

    IN_PLACE = "InPlace"
    PENDING = "Pending"
    LOST = "Lost"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class ImportingCluster(NamedTuple):
    """A cluster that imports the service, and the ports that it sees.

    ``state`` is an ImportState, empty in a plan, ``since`` when it began (RFC 3339), empty if that is not
    known, ``reason`` and ``text`` why the import is not in place.
    """

    cluster: str
    cluster_key: str
    ports: tuple[ImportPort, ...]
    state: str = ""
    since: str = ""
    reason: str = ""
    text: str = ""


class TrafficState(NamedTuple):
    """The GlobalTrafficPolicy of the service: spread, targets with their weights, clusters that have it."""

    lb_type: str
    targets: tuple[tuple[str, int | None], ...]
    clusters: tuple[str, ...]
    conditions: tuple[Condition, ...]


class LeftOutCluster(NamedTuple):
    """A cluster that does not export, or does not import, and why."""

    cluster: str
    reason: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """One service. Exporters stand in the order of precedence, everything else by name.

    ``chain`` is empty in a plan.
    """

    key: ServiceKey
    exporters: tuple[ExportingCluster, ...] = ()
    excluded: tuple[LeftOutCluster, ...] = ()
    importers: tuple[ImportingCluster, ...] = ()
    not_importing: tuple[LeftOutCluster, ...] = ()
    conditions: tuple[Condition, ...] = ()
    warnings: tuple[Finding, ...] = ()
    traffic: TrafficState | None = None
    chain: tuple[Link, ...] = ()

    @property
    def is_in_place(self) -> bool:
        """Whether every importing cluster has its import."""
        return all(importer.state == ImportState.IN_PLACE for importer in self.importers)


class Standing(NamedTuple):
    """One service in short: how many clusters import it, how many have their import, and the verdict."""

    key: ServiceKey
    exporters: tuple[str, ...]
    importers: int
    in_place: int
    conditions: tuple[Condition, ...]
    verdict: Verdict

    @classmethod
    def of(cls, explained: Explanation, verdict: Verdict, importers: int, in_place: int) -> Standing:
        """Return an explanation in short."""
        exporters = tuple(exporter.cluster for exporter in explained.exporters)
        return cls(explained.key, exporters, importers, in_place, explained.conditions, verdict)


def standing(explained: Explanation) -> Standing:
    """Return an explanation in short."""
    in_place = [importer.state for importer in explained.importers].count(ImportState.IN_PLACE)
    return Standing.of(explained, verdict(explained.chain), len(explained.importers), in_place)


def explain(
    service: ExportedService,
    derived: Derived,
    fleet: Fleet,
    *,
    conditions: Iterable[Condition] | None = None,
    cautions: Iterable[Caution] | None = None,
    importers: Iterable[str] | None = None,
) -> Explanation:
    """Explain a derived service. ``fleet`` is what it was derived with.

    ``conditions`` and ``cautions`` are those of the derivation where they are not given, and ``importers``
    all of them.
    """
    members = fleet.members
    without = sorted(members.keys() - derived.views.keys())
    reasons = {name: why_not_importing(service, derived, members[name], members) for name in without}
    found = advise(service, derived, fleet) if cautions is None else cautions
    return Explanation(
        service.key,
        tuple(ExportingCluster(name, members[name].key) for name in derived.exporters),
        tuple(
            LeftOutCluster(name, exclusion.reason.value, exclusion.text)
            for name, exclusion in sorted(derived.excluded.items())
        ),
        tuple(
            ImportingCluster(name, members[name].key, derived.views[name].ports)
            for name in sorted(derived.views if importers is None else importers)
        ),
        tuple(
            LeftOutCluster(name, reason.value, _why_not(reason, members[name]))
            for name, reason in reasons.items()
            if reason is not None
        ),
        derived.conditions if conditions is None else tuple(conditions),
        tuple(caution.finding for caution in found),
    )


def _why_not(reason: NotImportedReason, member: Member) -> str:
    """Return why a member does not import; the key is what its user has to add."""
    return f"{member.key}: {reason.text}" if reason is NotImportedReason.OUT_OF_SCOPE else reason.text


def document(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation with the field names of the gRPC API's JSON (service.proto)."""
    key = explanation.key
    return {
        "namespace": key.namespace,
        "name": key.name,
        "dialect": key.dialect.value,
        "exporters": [
            {
                "cluster": exporter.cluster,
                "clusterKey": exporter.cluster_key,
                "lostSince": exporter.lost_since,
                "keptUntil": exporter.kept_until,
            }
            for exporter in explanation.exporters
        ],
        "excluded": [_left_out(cluster) for cluster in explanation.excluded],
        "importers": [
            {
                "cluster": importer.cluster,
                "clusterKey": importer.cluster_key,
                "ports": [_port(port) for port in importer.ports],
                "state": importer.state,
                "since": importer.since,
                "reason": importer.reason,
                "text": importer.text,
            }
            for importer in explanation.importers
        ],
        "notImporting": [_left_out(cluster) for cluster in explanation.not_importing],
        "conditions": [_condition(condition) for condition in explanation.conditions],
        "warnings": [finding_document(finding) for finding in explanation.warnings],
        **({"trafficPolicy": _traffic(explanation.traffic)} if explanation.traffic else {}),
    }


def _traffic(traffic: TrafficState) -> dict[str, Any]:
    return {
        "lbType": traffic.lb_type,
        "targets": [
            {"clusterKey": key, **({} if weight is None else {"weight": weight})}
            for key, weight in traffic.targets
        ],
        "clusters": list(traffic.clusters),
        "conditions": [_condition(condition) for condition in traffic.conditions],
    }


def _condition(c: Condition) -> dict[str, str]:
    return {"type": c.type, "status": c.status, "reason": str(c.reason), "message": c.message}


def member_document(member: Member) -> dict[str, Any]:
    """Return a member with the field names of the gRPC API's JSON."""
    return {
        "name": member.name,
        "clusterKey": member.key,
        "gatewayHost": member.gateway_host,
        "gatewayPort": member.gateway_port,
        "dialects": sorted(dialect.value for dialect in member.imports),
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a warning with the field names of the gRPC API's JSON."""
    return {"reason": str(finding.reason), "field": finding.field, "text": finding.text}


def _left_out(left_out: LeftOutCluster) -> Mapping[str, str]:
    return {"cluster": left_out.cluster, "reason": left_out.reason, "text": left_out.text}


def _port(port: ImportPort) -> Mapping[str, Any]:
    return {
        "port": port.port,
        "protocol": port.protocol,
        "name": port.name or "",
        "appProtocol": port.app_protocol or "",
        "endpoints": [
            {"clusterKey": endpoint.cluster_key, **endpoint.target.dump()} for endpoint in port.endpoints
        ],
    }
