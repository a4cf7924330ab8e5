"""The objects that make an apiserver Karmada's, and those that make a cluster its member: pure."""

from __future__ import annotations

import base64
from typing import Any

import yaml

from towpath.local.pki import ADMIN
from towpath.local.spec import Environment

SYSTEM = "karmada-system"
MEMBERS = "karmada-cluster"
"""Namespace of the members' secrets in Karmada, and of Karmada's service accounts in a member."""
JOINED_AS = "karmada"
IMPERSONATOR = "karmada-impersonator"

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, verbs: [get, list, watch]}
- {level: None, nonResourceURLs: ["*"]}
- level: None
  resources:
  - {group: "", resources: [events]}
  - {group: events.k8s.io}
  - {group: coordination.k8s.io, resources: [leases]}
- {level: Metadata}
"""


def namespace(name: str) -> dict[str, Any]:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def aggregated_api(env: Environment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Service and APIService through which Karmada's apiserver serves cluster.karmada.io.

    The Service is an ExternalName ``localhost``: with the default ``--enable-aggregator-routing=false``
    the apiserver then dials that name at the APIService's port, no kube-proxy needed
    (k8s.io/apiserver/pkg/util/proxy/proxy.go, ResolveCluster).
    """
    port = env.ports["karmada-aggregated-apiserver"]
    name = "karmada-aggregated-apiserver"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1alpha1.cluster.karmada.io"},
        "spec": {
            "group": "cluster.karmada.io",
            "version": "v1alpha1",
            "groupPriorityMinimum": 2000,
            "versionPriority": 10,
            "service": {"name": name, "namespace": SYSTEM, "port": port},
            "caBundle": base64.b64encode((env.pki / "ca.crt").read_bytes()).decode(),
        },
    }
    return service, api_service


def webhook_configurations(template: str, env: Environment) -> list[dict[str, Any]]:
    """Return Karmada's own webhook configurations, pointed at this environment's webhook."""
    ca = base64.b64encode((env.pki / "ca.crt").read_bytes()).decode()
    text = template.replace("{{caBundle}}", ca).replace(
        "https://karmada-webhook.karmada-system.svc:443", env.url("karmada-webhook")
    )
    return [document for document in yaml.safe_load_all(text) if document]


def proxy_admin() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what lets the administrator look into members through Karmada's proxy.

    As karmadactl does it (pkg/karmadactl/cmdinit/karmada/rbac.go). Karmada's unified-auth controller
    then allows its impersonator in every member to act for this user, and for no other.
    """
    name = "cluster-proxy-admin"
    rbac = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": ["cluster.karmada.io"], "resources": ["clusters/proxy"], "verbs": ["*"]}],
    }
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": ADMIN}],
    }
    return role, binding


def service_account(name: str) -> dict[str, Any]:
    """Return the account in a member as which Karmada acts there."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": MEMBERS}}


def admin_binding(name: str) -> dict[str, Any]:
    """Return the binding in a member that makes Karmada's account its administrator."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": MEMBERS}],
    }


def member_secret(name: str, token: str, env: Environment) -> dict[str, Any]:
    """Return the Secret in Karmada that holds a member's token (keys: membercluster_client.go)."""
    ca = base64.b64encode((env.pki / "ca.crt").read_bytes()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": MEMBERS},
        "data": {"token": base64.b64encode(token.encode()).decode(), "caBundle": ca},
    }


def cluster(name: str, cluster_id: str, env: Environment) -> dict[str, Any]:
    """Return the Cluster object that makes a member known to Karmada, in push mode."""
    return {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {
            "id": cluster_id,
            "syncMode": "Push",
            "apiEndpoint": env.members[name].url,
            "secretRef": {"namespace": MEMBERS, "name": name},
            "impersonatorSecretRef": {"namespace": MEMBERS, "name": f"{name}-impersonator"},
        },
    }


def cluster_dns(node: str, address: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Service of a member's cluster DNS, and where it runs: on the node itself, as no pod."""
    name, namespace = "kube-dns", "kube-system"
    ports = [{"name": f"dns-{p.lower()}", "protocol": p, "port": 53} for p in ("UDP", "TCP")]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "ports": ports},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "towpath-local",
            },
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [node], "conditions": {"ready": True}}],
    }
    return service, endpoints
