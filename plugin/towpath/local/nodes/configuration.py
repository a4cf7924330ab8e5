"""The files that a member with a node reads: the script of its machine, and configurations. Pure."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import yaml

from towpath.local.nodes.machine import NODE_FOLDER, SCRIPT, SCRIPT_FILE
from towpath.local.spec import IMAGE_MIRROR, Environment, Member, host_tag

DNS_ADDRESS = "10.96.0.10"
PAUSE_IMAGE = "docker.io/towpath/pause:1"
_CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
_NODE_PODS = "10.244.0.0/24"
"""What the controller-manager allocates to the first node of a cluster, and there is only one."""


def cgroup(env: Environment, member: str) -> str:
    """Return the cgroup of a member's pods: kubelets that share one remove each other's pods as orphans."""
    return f"/{host_tag(env.root)}/{member}"


def files(
    env: Environment, member: Member, node: IPv4Address, *, cni: str, cluster_set: bool
) -> dict[str, str]:
    """Return the content of each file in the member's folder that its processes read.

    ``cni`` is the folder of the CNI plugins on this host. With ``cluster_set`` the cluster DNS also answers
    for ``clusterset.local``, for which it needs the CRDs of multicluster.x-k8s.io in the member.
    """
    return {
        SCRIPT_FILE: SCRIPT,
        "kubelet.yaml": yaml.safe_dump(_kubelet(env, member, node), sort_keys=False),
        "resolv.conf": "",  # what a pod with dnsPolicy Default gets: there is no DNS outside
        "containerd.toml": _containerd(cni),
        "registry/_default/hosts.toml": _mirror(env),
        "cni/10-pods.conflist": json.dumps(_cni(), indent=1),
        "Corefile": _corefile(env, member, node, cluster_set=cluster_set),
    }


def _kubelet(env: Environment, member: Member, node: IPv4Address) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(node),
        "healthzBindAddress": str(node),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(env.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup(env, member.name),
        "failCgroupV1": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{_CONTAINERD_SOCKET}",
        # The disk and the memory are this host's, not the node's: nothing is evicted or removed for them.
        "enforceNodeAllocatable": [],
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "podLogsDir": f"{NODE_FOLDER}/pod-logs",
        "resolvConf": f"{NODE_FOLDER}/resolv.conf",
        "volumePluginDir": f"{NODE_FOLDER}/volume-plugins",
    }


def _containerd(cni: str) -> str:
    """Return containerd's configuration, in the version that 1.6 and all later ones read."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{NODE_FOLDER}/containerd"
state = "/run/containerd"
[grpc]
address = "{_CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "/run/opt"
[{cri}]
sandbox_image = "{PAUSE_IMAGE}"
# Without CAP_SYS_RESOURCE a score cannot be lowered, and runc would fail.
restrict_oom_score_adj = true
[{cri}.cni]
bin_dir = "{cni}"
conf_dir = "{NODE_FOLDER}/cni"
[{cri}.registry]
config_path = "{NODE_FOLDER}/registry"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _mirror(env: Environment) -> str:
    """Return where containerd finds the images of every registry: none is reached from a machine."""
    url = f"http://{env.gateway}:{env.ports[IMAGE_MIRROR]}"
    return f'server = "{url}"\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n'


def _cni() -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/cni",
            "ranges": [[{"subnet": _NODE_PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap]}


def _corefile(env: Environment, member: Member, node: IPv4Address, *, cluster_set: bool) -> str:
    zones = "cluster.local clusterset.local" if cluster_set else "cluster.local"
    multicluster = "\n        multicluster clusterset.local" if cluster_set else ""
    return f"""\
{zones} in-addr.arpa ip6.arpa {{
    bind {node}
    errors
    ready {node}:8181
    kubernetes {zones} in-addr.arpa ip6.arpa {{
        kubeconfig {env.kubeconfig(member.name)} {member.name}{multicluster}
        pods insecure
        ttl 5
    }}
}}
. {{
    bind {node}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
