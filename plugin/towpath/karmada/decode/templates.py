"""Users' templates: ServiceExports, Services, GlobalTrafficPolicies; and flomesh Clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from towpath.karmada.decode.metadata import NONE, Object, shared
from towpath.model.claim import ClaimRecord
from towpath.model.cluster import FlomeshCluster
from towpath.model.digest import export_digest
from towpath.model.export import Export
from towpath.model.keys import cluster_name
from towpath.model.ownership import belongs_to, is_marked
from towpath.model.service import Service
from towpath.model.traffic import TrafficPolicy
from towpath.propagation.claims import Claim, claim_of
from towpath.propagation.namespaces import is_skipped
from towpath.rules.paths import claimed_path

_OURS = "towpath.io/"
_REPORTED = frozenset({"conditions", "claims"})
"""The fields of a status, one of which an export has that was reported."""


class StoredExport(NamedTuple):
    """A ServiceExport template. ``created`` is RFC 3339 in UTC, so it sorts as text.

    ``annotations`` are those that begin with ``towpath.io/``, ``says`` is the JSON of its status, and
    ``template`` that of the object as overrides see it. ``labels`` are what policies may select it by, and
    ``claim`` is which of them has it, None if none has. ``digest`` is what a member that holds it reports.
    ``claims`` is what the status records of its paths: nothing before the first report, and None if it was
    reported without a record. ``untouched``: neither changed nor reported since its creation.
    """

    uid: str
    created: str
    export: Export
    annotations: Mapping[str, str]
    generation: int = 0
    says: bytes = b"{}"
    template: bytes = b""
    labels: Mapping[str, str] = NONE
    claim: Claim | None = None
    deleting: bool = False
    digest: str = ""
    claims: tuple[ClaimRecord, ...] | None = ()
    untouched: bool = False

    @property
    def status(self) -> Mapping[str, Any]:
        """The status."""
        return _status(self.says)


class StoredService(NamedTuple):
    """A Service template. ``going`` while it is being deleted; the rest as of an export."""

    uid: str
    service: Service
    going: bool
    template: bytes = b""
    labels: Mapping[str, str] = NONE
    claim: Claim | None = None


class StoredTraffic(NamedTuple):
    """A GlobalTrafficPolicy template. ``says`` is the JSON of its status; the rest as of an export."""

    uid: str
    policy: TrafficPolicy
    generation: int = 0
    says: bytes = b"{}"
    labels: Mapping[str, str] = NONE
    claim: Claim | None = None

    @property
    def status(self) -> Mapping[str, Any]:
        """The status."""
        return _status(self.says)


class StoredNamespace(NamedTuple):
    """A Namespace. ``skipped``: Karmada propagates it only where a policy says so."""

    terminating: bool
    skipped: bool


class StoredCluster(NamedTuple):
    """A flomesh Cluster. ``says`` is the JSON of its status."""

    uid: str
    cluster: FlomeshCluster
    generation: int = 0
    says: bytes = b"{}"

    @property
    def status(self) -> Mapping[str, Any]:
        """The status."""
        return _status(self.says)


def service_export(raw: bytes) -> StoredExport | None:
    """Read a ServiceExport; None while it is being deleted. Raises InvalidObject."""
    stored = any_service_export(raw)
    return None if stored.deleting else stored


def any_service_export(raw: bytes) -> StoredExport:
    """Read a ServiceExport, also while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    meta = obj.metadata
    spec = msgspec.json.decode(obj.spec)
    export = Export.parse(spec, f"ServiceExport {meta.namespace}/{meta.name}")
    ours = {name: value for name, value in meta.annotations.items() if name.startswith(_OURS)}
    return StoredExport(
        meta.uid,
        meta.creation_timestamp,
        export,
        ours or NONE,
        meta.generation,
        bytes(obj.status),
        _template(raw),
        meta.labels or NONE,
        shared(claim_of(meta.annotations)),
        meta.deletion_timestamp is not None,
        export_digest(spec),
        claims_in(obj.status),
        meta.generation <= 1 and not _REPORTED.intersection(_status(obj.status)),
    )


def service(raw: bytes) -> StoredService:
    """Decode a Service. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    meta = obj.metadata
    title = f"Service {meta.namespace}/{meta.name}"
    going = meta.deletion_timestamp is not None
    spec = msgspec.json.decode(obj.spec)
    if isinstance(spec, dict) and spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)  # differs for each Service, and means nothing elsewhere
    return StoredService(
        meta.uid,
        shared(Service.parse(spec, title)),
        going,
        _template(raw),
        meta.labels or NONE,
        shared(claim_of(meta.annotations)),
    )


def traffic_policy(raw: bytes) -> StoredTraffic | None:
    """Decode a GlobalTrafficPolicy; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    meta = obj.metadata
    if meta.deletion_timestamp:
        return None
    title = f"GlobalTrafficPolicy {meta.namespace}/{meta.name}"
    policy = TrafficPolicy.parse(msgspec.json.decode(obj.spec), title)
    stored = StoredTraffic(
        meta.uid,
        policy,
        meta.generation,
        bytes(obj.status),
        meta.labels or NONE,
        shared(claim_of(meta.annotations)),
    )
    _ = stored.status
    return stored


def flomesh_cluster(raw: bytes) -> StoredCluster | None:
    """Decode a flomesh Cluster; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    meta = obj.metadata
    if meta.deletion_timestamp:
        return None
    cluster = FlomeshCluster.parse(msgspec.json.decode(obj.spec), f"Cluster {meta.name}")
    stored = StoredCluster(meta.uid, cluster, meta.generation, bytes(obj.status))
    _ = stored.status
    return stored


class _Claim(msgspec.Struct, rename="camel", gc=False):
    path: str
    path_type: str
    since: str
    clusters: tuple[str, ...]


class _ClaimingStatus(msgspec.Struct, gc=False):
    conditions: msgspec.Raw = msgspec.Raw(b"")
    claims: tuple[_Claim, ...] | None = None


def claims_in(says: bytes) -> tuple[ClaimRecord, ...] | None:
    """Return the claims that a status records. It may be anything that a CRD allows."""
    try:
        status = msgspec.json.decode(says, type=_ClaimingStatus)
    except msgspec.ValidationError:
        return None
    if status.claims is None:
        return None if status.conditions else ()
    return shared(tuple(ClaimRecord(c.path, c.path_type, c.since, c.clusters) for c in status.claims))


class _Endpoint(msgspec.Struct, rename="camel"):
    cluster_key: str = ""
    target: Any = None

    @property
    def cluster(self) -> str:
        return cluster_name(self.cluster_key)


class _ImportedPort(msgspec.Struct):
    endpoints: list[_Endpoint] | None = None


class _ImportSpec(msgspec.Struct):
    ports: list[_ImportedPort] | None = None


class _Import(msgspec.Struct):
    spec: _ImportSpec | None = None


def exporting(template: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the clusters whose endpoints a ServiceImport holds. It may be anything that its CRD allows."""
    return shared(frozenset(endpoint.cluster for endpoint in _endpoints(template)))


def shown(template: Mapping[str, Any] | None, export: StoredExport) -> frozenset[tuple[str, str]]:
    """Return clusters with the paths that the derived ServiceImport of an export gives them.

    Nothing where the status of the export records its paths, or was reported without a record.
    """
    if export.claims != () or template is None:
        return frozenset()
    return paths_in(template) if is_marked(template) and belongs_to(template, {export.uid}) else frozenset()


def paths_in(template: Mapping[str, Any] | None) -> frozenset[tuple[str, str]]:
    """Return clusters with the paths that a ServiceImport gives them, as ``rules.paths`` compares paths."""
    targets = (
        (each.cluster, each.target) for each in _endpoints(template) if isinstance(each.target, Mapping)
    )
    paths = ((cluster, target.get("path")) for cluster, target in targets)
    return frozenset((cluster, claimed_path(path)) for cluster, path in paths if isinstance(path, str))


def _endpoints(template: Mapping[str, Any] | None) -> Iterator[_Endpoint]:
    try:
        spec = msgspec.convert(template or {}, _Import).spec
    except msgspec.ValidationError:
        return
    for port in (spec and spec.ports) or ():
        yield from port.endpoints or ()


def namespace(raw: bytes) -> StoredNamespace | None:
    """Decode a Namespace that is being deleted or that Karmada does not propagate by itself; else None."""
    meta = msgspec.json.decode(raw, type=Object).metadata
    stored = StoredNamespace(bool(meta.deletion_timestamp), is_skipped(meta.labels))
    return stored if any(stored) else None


def _template(raw: bytes) -> bytes:
    """Return the JSON of an object without the metadata that only the apiserver needs."""
    obj = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    obj.pop("status", None)
    metadata = msgspec.json.decode(obj["metadata"], type=dict[str, msgspec.Raw])
    metadata.pop("managedFields", None)
    return msgspec.json.encode({**obj, "metadata": metadata})


def _status(says: bytes) -> dict[str, Any]:
    return msgspec.json.decode(says, type=dict[str, Any])
