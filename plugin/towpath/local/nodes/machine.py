"""The machine of a member with a node: a network, mount and PID namespace, held by one process.

That process is PID 1 of the machine. Every other process of the member is started in the same namespaces
(``enter``). When PID 1 ends, in whatever way, the kernel ends all of them, pods included, and with the last
process go the namespaces, their mounts, links and nft tables. So nothing has to be tidied up inside a
machine, also after a crash. What a machine has outside, a cgroup, is removed by ``host``.

The mount namespace hides what Kubernetes would otherwise leave on this host or change on it:

* ``/run``, ``/var/lib`` and ``/var/log`` are empty; ``/run/node`` is the member's folder in the environment.
* The kernel settings that a kubelet writes for the whole host are files with the wanted values.

The network namespace has one link, ``eth0``, to the bridge of the environment. Pods reach other nodes by
the address of theirs. There is no way from a machine to the outside: this host does not forward for it.
Port 80 of a node leads to the node port of the member's gateway, as a load balancer in front of nodes does.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from towpath.local.spec import Environment, Member, host_tag

POD_SUBNET = "10.244.0.0/16"
"""The pod network, the same in every member: no pod is reached from outside its cluster."""
GATEWAY_NODE_PORT = 30080
"""The node port of the gateway (deploy/datapath)."""
NODE_FOLDER = "/run/node"
SCRIPT_FILE = "machine.sh"
READY_FILE = "ready"

SCRIPT = f"""\
# {SCRIPT_FILE}: PID 1 of a machine sets it up, then reaps what the other processes leave.
set -eu
root=$1 binaries=$2 folder=$3 bridge=$4 link=$5 address=$6 gateway=$7
mount -t proc proc /proc
exec 6<"$folder" 7<"$root" 8<"$binaries"
for hidden in /run /var/lib /var/log; do mount -t tmpfs tmpfs $hidden; done
keep() {{ mkdir -p "$2"; mount -c --bind /proc/self/fd/$1 "$2"; }}
keep 6 {NODE_FOLDER}; keep 7 "$root"; keep 8 "$binaries"
exec 6<&- 7<&- 8<&-
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \\
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=/run/sysctl/${{setting%=*}}
  mkdir -p "${{file%/*}}"
  echo "${{setting#*=}}" >"$file"
  mount --bind "$file" "/proc/sys/${{setting%=*}}"
done
nsenter --net=/proc/self/fd/9 ip link add "$link" master "$bridge" up type veth peer name eth0 netns 1
exec 9<&-
ip link set lo up
ip address add "$address" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
echo 1 >/proc/sys/net/ipv4/ip_forward
nft add table ip towpath
nft add chain ip towpath postrouting '{{ type nat hook postrouting priority srcnat; }}'
nft add rule ip towpath postrouting ip saddr {POD_SUBNET} oifname eth0 masquerade
# The ports are exchanged around the tracking of connections: an address is translated once, by kube-proxy.
nft add chain ip towpath arriving '{{ type filter hook prerouting priority -290; }}'
nft add rule ip towpath arriving ip daddr "${{address%/*}}" tcp dport 80 \\
  meta mark set 80 tcp dport set {GATEWAY_NODE_PORT}
nft add chain ip towpath tracked '{{ type filter hook prerouting priority mangle; }}'
nft add rule ip towpath tracked meta mark 80 ct mark set 80
nft add chain ip towpath leaving '{{ type filter hook postrouting priority 300; }}'
nft add rule ip towpath leaving ct mark 80 tcp sport {GATEWAY_NODE_PORT} tcp sport set 80
trap exit TERM
touch {NODE_FOLDER}/{READY_FILE}
while :; do sleep infinity & wait $!; done
"""


def init(env: Environment, member: Member, node: IPv4Address) -> tuple[str, ...]:
    """Return the command line of PID 1."""
    number = int(node) - int(env.subnet.network_address)
    tag, folder = host_tag(env.root), env.node_folder(member.name)
    return (
        "sh",
        str(folder / SCRIPT_FILE),
        str(env.root),
        str(env.binaries),
        str(folder),
        tag,
        f"{tag}.{number}",
        f"{node}/{env.subnet.prefixlen}",
        str(env.gateway),
    )


def create(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the command line that runs ``argv`` as PID 1 of new namespaces.

    Descriptor 9 is the network namespace of this host, from which PID 1 gets its link.
    """
    unshare = "exec 9</proc/self/ns/net; exec unshare --net --mount --pid --fork --kill-child -- "
    return ("sh", "-c", f'{unshare} "$@"', "machine", *argv)


def enter(pid: int, argv: Sequence[str]) -> tuple[str, ...]:
    """Return the command line that runs ``argv`` in the namespaces of a machine's PID 1.

    Not by ``ip netns exec``, which would mount /sys anew, and the kubelet would find no cgroups.
    """
    return ("nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--", *argv)
