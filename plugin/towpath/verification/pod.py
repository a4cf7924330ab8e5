"""The namespace and the pod that make the calls of one cluster; pure.

The pod has no rights in its cluster, asks for none on its node, and ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from towpath.setup.data_path import NAMESPACE as DATA_PATH_NAMESPACE

Object = dict[str, Any]
NAME = "verify"
DATA_PATH = DATA_PATH_NAMESPACE, "towpath-net"
"""Namespace and name of the DaemonSet whose image every node of the data path has."""
_AGENT = "agent"
_USER = 65532
_PROGRAM = Path(__file__).with_name("probe.py")
_RUNNING = frozenset({"ContainerCreating", "PodInitializing"})


class Limits(NamedTuple):
    """How long a call may take, and the pod from its start to its end, in seconds."""

    call: float
    pod: float


def namespace(name: str) -> Object:
    """Return the namespace, in which no pod may do more than the strictest standard allows."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/name": "towpath-verify"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(namespace_name: str, image: str, targets: Iterable[str], limits: Limits) -> Object:
    """Return the pod that makes calls and writes what came of each."""
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", _PROGRAM.read_text(), str(limits.call)],
        "args": list(targets),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": max(1, round(limits.pod)),
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    metadata = {"name": NAME, "namespace": namespace_name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def image_of(daemon_set: Mapping[str, Any]) -> str:
    """Return Towpath's image, as the data path of a member has it."""
    containers = daemon_set["spec"]["template"]["spec"]["containers"]
    return next((str(c["image"]) for c in containers if c["name"] == _AGENT), "")


def any_ready(nodes: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether a node can run a pod."""
    conditions = (c for node in nodes for c in _status(node).get("conditions") or ())
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def is_started(found: Mapping[str, Any]) -> bool:
    """Tell whether a pod runs, or has run."""
    return _status(found).get("phase") == "Running" or is_over(found)


def is_over(found: Mapping[str, Any]) -> bool:
    """Tell whether a pod has ended."""
    return _status(found).get("phase") in {"Succeeded", "Failed"}


def why_not_running(found: Mapping[str, Any]) -> str:
    """Return what the cluster reports of a pod that does not run, or has failed."""
    status = _status(found)
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting and waiting.get("reason") not in _RUNNING:
            return _sentence(waiting)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _sentence(condition)
    return _sentence(status) or f"The pod is {status.get('phase', 'Pending')}"


def _status(found: Mapping[str, Any]) -> Mapping[str, Any]:
    status: Mapping[str, Any] = found.get("status") or {}
    return status


def _sentence(reported: Mapping[str, Any]) -> str:
    parts = (str(reported.get(name) or "") for name in ("reason", "message"))
    return ": ".join(filter(None, parts)).rstrip(". ")
