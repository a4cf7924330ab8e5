"""From an object's bytes to what the data path needs of it: one function a kind, for the reflectors."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import msgspec

from towpath.datapath.slices import MANAGED_BY_LABEL, SERVICE_LABEL
from towpath.datapath.world import (
    SLICE_MANAGER,
    TIERS_ANNOTATION,
    GatewayExport,
    MemberExport,
    MemberImport,
    MemberPolicy,
    Slice,
    SliceEndpoint,
    SlicePort,
)
from towpath.karmada.decode.metadata import Object, shared
from towpath.model.condition import SERVING, TRUE
from towpath.model.export import KEEP_PATH_ANNOTATION
from towpath.model.service import Service
from towpath.model.traffic import TrafficPolicy
from towpath.model.view import View
from towpath.rules.eligibility import is_set


def uid(raw: bytes) -> str | None:
    """Read the uid of an object; None while it is being deleted."""
    meta = msgspec.json.decode(raw, type=Object).metadata
    return None if meta.deletion_timestamp else meta.uid


def service_import(raw: bytes) -> MemberImport | None:
    """Read a ServiceImport; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    if obj.metadata.deletion_timestamp:
        return None
    view = View.parse(msgspec.json.decode(obj.spec), _title("ServiceImport", obj))
    return MemberImport(view)


def service_export(raw: bytes) -> MemberExport | None:
    """Read a ServiceExport; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    meta = obj.metadata
    if meta.deletion_timestamp:
        return None
    export = GatewayExport.parse(msgspec.json.decode(obj.spec), _title("ServiceExport", obj))
    return MemberExport(
        export, meta.creation_timestamp, is_set(meta.annotations.get(KEEP_PATH_ANNOTATION, ""))
    )


def traffic_policy(raw: bytes) -> MemberPolicy | None:
    """Read a GlobalTrafficPolicy; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    if obj.metadata.deletion_timestamp:
        return None
    policy = TrafficPolicy.parse(msgspec.json.decode(obj.spec), _title("GlobalTrafficPolicy", obj))
    return MemberPolicy(shared(policy), obj.metadata.annotations.get(TIERS_ANNOTATION, ""))


def service(raw: bytes) -> Service | None:
    """Read a Service; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=Object)
    if obj.metadata.deletion_timestamp:
        return None
    spec = msgspec.json.decode(obj.spec)
    if isinstance(spec, dict) and spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
    return shared(Service.parse(spec, _title("Service", obj)))


class _Condition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""


class _Unanswered(msgspec.Struct, rename="camel", gc=False):
    cluster_key: str = ""
    since: str = ""


class _Status(msgspec.Struct, gc=False):
    conditions: list[_Condition] = []
    unanswered: list[_Unanswered] = []


def is_serving(raw: bytes) -> bool | None:
    """Read what the status of a ServiceExport says of ready pods; None if it says nothing."""
    return next((c.status == TRUE for c in _status(raw).conditions if c.type == SERVING), None)


def unanswered(raw: bytes) -> Mapping[str, str]:
    """Read the clusters whose gateway does not answer, as the status of a ServiceImport names them."""
    return {found.cluster_key: found.since for found in _status(raw).unanswered}


def _status(raw: bytes) -> _Status:
    """Read a status. One that is malformed says nothing, and stops no service."""
    try:
        return msgspec.json.decode(msgspec.json.decode(raw, type=Object).status, type=_Status)
    except msgspec.ValidationError:
        return _Status()


class _Port(msgspec.Struct, gc=False):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class _Conditions(msgspec.Struct, gc=False):
    ready: bool | None = None
    serving: bool | None = None


class _Endpoint(msgspec.Struct, rename="camel", gc=False):
    addresses: list[str] = []
    conditions: _Conditions | None = None
    node_name: str | None = None


class _EndpointSlice(msgspec.Struct, rename="camel", gc=False):
    address_type: str = "IPv4"
    ports: list[_Port] | None = None
    endpoints: list[_Endpoint] | None = None


def endpoint_slice(raw: bytes) -> Slice | None:
    """Read an EndpointSlice; None for one without a Service."""
    meta = msgspec.json.decode(raw, type=Object).metadata
    name = meta.labels.get(SERVICE_LABEL)
    if name is None or meta.deletion_timestamp:
        return None
    obj = msgspec.json.decode(raw, type=_EndpointSlice)
    return Slice(
        sys.intern(name),
        sys.intern(obj.address_type),
        tuple(_port(port) for port in obj.ports or () if port.port is not None),
        tuple(_endpoint(endpoint) for endpoint in obj.endpoints or () if endpoint.addresses),
        published=meta.labels.get(MANAGED_BY_LABEL) == SLICE_MANAGER,
    )


def _port(port: _Port) -> SlicePort:
    return SlicePort(sys.intern(port.name or ""), port.port or 0, sys.intern(port.protocol or "TCP"))


def _endpoint(endpoint: _Endpoint) -> SliceEndpoint:
    conditions = endpoint.conditions or _Conditions()
    is_ready = conditions.ready is not False  # unknown counts as ready (discovery.k8s.io/v1)
    is_serving = is_ready if conditions.serving is None else conditions.serving
    return SliceEndpoint(endpoint.addresses[0], is_ready, is_serving, sys.intern(endpoint.node_name or ""))


def _title(kind: str, obj: Object) -> str:
    return f"{kind} {obj.metadata.namespace}/{obj.metadata.name}"
