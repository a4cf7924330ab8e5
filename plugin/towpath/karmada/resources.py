"""Where the kinds are served that the plugin reads and writes."""

from __future__ import annotations

from towpath.karmada.client import Resource
from towpath.model.keys import Dialect

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
EVENTS = Resource("", "v1", "events", "Event")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
CLUSTERS = Resource("cluster.karmada.io", "v1alpha1", "clusters", "Cluster", namespaced=False)
BINDINGS = Resource("work.karmada.io", "v1alpha2", "resourcebindings", "ResourceBinding")
PROPAGATION_POLICIES = Resource("policy.karmada.io", "v1alpha1", "propagationpolicies", "PropagationPolicy")
OVERRIDE_POLICIES = Resource("policy.karmada.io", "v1alpha1", "overridepolicies", "OverridePolicy")
CLUSTER_PROPAGATION_POLICIES = Resource(
    "policy.karmada.io",
    "v1alpha1",
    "clusterpropagationpolicies",
    "ClusterPropagationPolicy",
    namespaced=False,
)
CLUSTER_OVERRIDE_POLICIES = Resource(
    "policy.karmada.io", "v1alpha1", "clusteroverridepolicies", "ClusterOverridePolicy", namespaced=False
)

CUSTOMIZATIONS = Resource(
    "config.karmada.io",
    "v1alpha1",
    "resourceinterpretercustomizations",
    "ResourceInterpreterCustomization",
    namespaced=False,
)


def flomesh_clusters(dialect: Dialect) -> Resource:
    """Return the Clusters of a dialect, which say where gateways are."""
    return Resource(dialect.value, "v1alpha1", "clusters", "Cluster", namespaced=False)


def service_exports(dialect: Dialect) -> Resource:
    """Return the ServiceExports of a dialect."""
    return Resource(dialect.value, "v1alpha1", "serviceexports", "ServiceExport")


def service_imports(dialect: Dialect) -> Resource:
    """Return the ServiceImports of a dialect."""
    return Resource(dialect.value, "v1alpha1", "serviceimports", "ServiceImport")


def traffic_policies(dialect: Dialect) -> Resource:
    """Return the GlobalTrafficPolicies of a dialect."""
    return Resource(dialect.value, "v1alpha1", "globaltrafficpolicies", "GlobalTrafficPolicy")
