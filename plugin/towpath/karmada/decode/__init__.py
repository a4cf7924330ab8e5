"""Decoding objects for the reflectors: a function for each kind, from its bytes to what is needed of it.

msgspec reads only the fields that are named here, so what the fleet's objects hold besides costs
neither time nor memory. Much of the rest is the same in many objects (the clusters of a placement, a Service
with one port 80): equal values are kept once.
"""

from towpath.karmada.decode.bindings import (
    Binding,
    binding,
    binding_name,
    namespace_binding,
)
from towpath.karmada.decode.copies import Copies, copies_of
from towpath.karmada.decode.members import StoredMember, karmada_cluster, member, target
from towpath.karmada.decode.policies import override, policy, whole
from towpath.karmada.decode.templates import (
    StoredCluster,
    StoredExport,
    StoredNamespace,
    StoredService,
    StoredTraffic,
    any_service_export,
    claims_in,
    exporting,
    flomesh_cluster,
    namespace,
    paths_in,
    service,
    service_export,
    shown,
    traffic_policy,
)

__all__ = [
    "Binding",
    "Copies",
    "StoredCluster",
    "StoredExport",
    "StoredMember",
    "StoredNamespace",
    "StoredService",
    "StoredTraffic",
    "any_service_export",
    "binding",
    "binding_name",
    "claims_in",
    "copies_of",
    "exporting",
    "flomesh_cluster",
    "karmada_cluster",
    "member",
    "namespace",
    "namespace_binding",
    "override",
    "paths_in",
    "policy",
    "service",
    "service_export",
    "shown",
    "target",
    "traffic_policy",
    "whole",
]
