"""The kinds that Towpath reads and writes, and where an apiserver serves each of them."""

from __future__ import annotations

from towpath.karmada.client import Resource
from towpath.model.keys import Dialect

SYSTEM_NAMESPACE = "karmada-system"
"""Namespace of Karmada itself, and of what Towpath keeps in Karmada. Nothing of it reaches members."""

_RBAC, _ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
_POLICY, _CONFIG = "policy.karmada.io", "config.karmada.io"


def _cluster_scoped(group: str, version: str, plural: str, kind: str) -> Resource:
    return Resource(group, version, plural, kind, namespaced=False)


# Kubernetes
NAMESPACES = _cluster_scoped("", "v1", "namespaces", "Namespace")
NODES = _cluster_scoped("", "v1", "nodes", "Node")
EVENTS = Resource("", "v1", "events", "Event")
SERVICES = Resource("", "v1", "services", "Service")
SECRETS = Resource("", "v1", "secrets", "Secret")
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CERTIFICATE_REQUESTS = _cluster_scoped(
    "certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest"
)
CRDS = _cluster_scoped("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
API_SERVICES = _cluster_scoped("apiregistration.k8s.io", "v1", "apiservices", "APIService")
CLUSTER_ROLES = _cluster_scoped(_RBAC, "v1", "clusterroles", "ClusterRole")
CLUSTER_ROLE_BINDINGS = _cluster_scoped(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding")
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")
MUTATING_WEBHOOKS = _cluster_scoped(
    _ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"
)
VALIDATING_WEBHOOKS = _cluster_scoped(
    _ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"
)
ADMISSION_POLICIES = _cluster_scoped(
    _ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"
)
ADMISSION_POLICY_BINDINGS = _cluster_scoped(
    _ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"
)

# Karmada
CLUSTERS = _cluster_scoped("cluster.karmada.io", "v1alpha1", "clusters", "Cluster")
BINDINGS = Resource("work.karmada.io", "v1alpha2", "resourcebindings", "ResourceBinding")
CLUSTER_BINDINGS = _cluster_scoped(
    "work.karmada.io", "v1alpha2", "clusterresourcebindings", "ClusterResourceBinding"
)
WORKS = Resource("work.karmada.io", "v1alpha1", "works", "Work")
PROPAGATION_POLICIES = Resource(_POLICY, "v1alpha1", "propagationpolicies", "PropagationPolicy")
OVERRIDE_POLICIES = Resource(_POLICY, "v1alpha1", "overridepolicies", "OverridePolicy")
CLUSTER_PROPAGATION_POLICIES = _cluster_scoped(
    _POLICY, "v1alpha1", "clusterpropagationpolicies", "ClusterPropagationPolicy"
)
CLUSTER_OVERRIDE_POLICIES = _cluster_scoped(
    _POLICY, "v1alpha1", "clusteroverridepolicies", "ClusterOverridePolicy"
)
CUSTOMIZATIONS = _cluster_scoped(
    _CONFIG, "v1alpha1", "resourceinterpretercustomizations", "ResourceInterpreterCustomization"
)
INTERPRETER_WEBHOOKS = _cluster_scoped(
    _CONFIG,
    "v1alpha1",
    "resourceinterpreterwebhookconfigurations",
    "ResourceInterpreterWebhookConfiguration",
)


# Multi-cluster services
def flomesh_clusters(dialect: Dialect) -> Resource:
    """Return the Clusters of an API group, which name gateways."""
    return _cluster_scoped(dialect.value, "v1alpha1", "clusters", "Cluster")


def service_exports(dialect: Dialect) -> Resource:
    """Return the ServiceExports of an API group."""
    return Resource(dialect.value, "v1alpha1", "serviceexports", "ServiceExport")


def service_imports(dialect: Dialect) -> Resource:
    """Return the ServiceImports of an API group."""
    return Resource(dialect.value, "v1alpha1", "serviceimports", "ServiceImport")


def traffic_policies(dialect: Dialect) -> Resource:
    """Return the GlobalTrafficPolicies of an API group."""
    return Resource(dialect.value, "v1alpha1", "globaltrafficpolicies", "GlobalTrafficPolicy")
