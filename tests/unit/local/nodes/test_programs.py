"""A member is described once, and its processes follow from that: with a node and without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml

from towpath.local.nodes.configuration import cgroup, files
from towpath.local.programs import member_processes, processes
from towpath.local.spec import (
    FIXED_PORTS,
    FORWARDER,
    IMAGE_MIRROR,
    KARMADA_INIT,
    Environment,
    Member,
    Qps,
    host_tag,
)

PLAIN = Member("plain", 21000)
NODE = Member("real", 6443, IPv4Address("10.0.2.4"))


def environment(*members: Member, root: str = "/env") -> Environment:
    ports = {name: 20000 + n for n, name in enumerate(FIXED_PORTS)}
    return Environment(Path(root), Path("/bin"), ports, {member.name: member for member in members})


@pytest.mark.parametrize(
    ("member", "parts"),
    [
        (PLAIN, "apiserver controller-manager"),
        (
            NODE,
            "machine containerd etcd apiserver controller-manager scheduler kubelet kube-proxy coredns",
        ),
    ],
)
def test_the_processes_of_a_member(member: Member, parts: str) -> None:
    found = member_processes(environment(member), member)

    assert list(found) == [f"{member.name}-{part}" for part in parts.split()]


def test_all_of_a_member_with_a_node_runs_on_its_machine() -> None:
    found = member_processes(environment(NODE), NODE)

    machine = found.pop("real-machine")
    assert machine.creates_machine
    assert {process.machine for process in found.values()} == {"real-machine"}


def test_all_of_a_member_without_a_node_runs_on_this_host() -> None:
    found = member_processes(environment(PLAIN), PLAIN).values()

    assert not [process for process in found if process.machine or process.creates_machine]


@pytest.mark.parametrize(
    ("members", "bridged"), [((PLAIN,), set()), ((PLAIN, NODE), {IMAGE_MIRROR, FORWARDER})]
)
def test_nodes_are_served_where_there_are_any(members: tuple[Member, ...], bridged: set[str]) -> None:
    assert processes(environment(*members)).keys() & {IMAGE_MIRROR, FORWARDER} == bridged


def test_karmada_is_pods_of_a_member_or_processes_beside_it() -> None:
    beside = environment(NODE)
    hosted = replace(beside, karmada_host="real")
    of_karmada = {name for name, process in processes(beside).items() if not process.optional} - {
        *member_processes(beside, NODE),
        IMAGE_MIRROR,
    }

    assert "karmada-apiserver" in of_karmada
    assert not of_karmada & processes(hosted).keys()
    assert processes(hosted)[KARMADA_INIT].optional, "it has ended when Karmada runs"
    assert (beside.karmada_url, hosted.karmada_url) == ("https://127.0.0.1:20002", "https://10.0.2.4:32443")


def test_client_limits_are_those_of_karmada_unless_raised() -> None:
    hosted = replace(environment(NODE), karmada_host="real")
    high = replace(hosted, qps=Qps.HIGH)
    limit = "--karmada-controller-manager-extra-args=--cluster-api-qps=1000"

    assert limit not in processes(hosted)[KARMADA_INIT].argv
    assert limit in processes(high)[KARMADA_INIT].argv


def test_an_apiserver_of_a_node_serves_on_the_nodes_address() -> None:
    found = member_processes(environment(NODE), NODE)

    assert found["real-apiserver"].ready == "https://10.0.2.4:6443/readyz"
    assert NODE.url == "https://10.0.2.4:6443"
    assert PLAIN.url == "https://127.0.0.1:21000"


def written(env: Environment, member: Member, *, cluster_set: bool = False) -> Mapping[str, str]:
    assert member.node
    return files(env, member, member.node, cni="/cni", cluster_set=cluster_set)


def test_no_two_kubelets_share_a_cgroup() -> None:
    other = Member("other", 6443, IPv4Address("10.0.2.5"))
    roots = [
        yaml.safe_load(written(environment(member, root=root), member)["kubelet.yaml"])["cgroupRoot"]
        for member in (NODE, other)
        for root in ("/env", "/env-2")
    ]

    assert len(set(roots)) == 4
    assert roots[0] == cgroup(environment(NODE), "real")


@pytest.mark.parametrize("cluster_set", [False, True])
def test_the_cluster_set_is_served_with_its_crds_only(cluster_set: bool) -> None:
    corefile = written(environment(NODE), NODE, cluster_set=cluster_set)["Corefile"]

    assert ("multicluster clusterset.local" in corefile) is cluster_set


def test_nodes_get_the_addresses_of_the_walkthrough() -> None:
    env = environment()
    for number in (4, 5, 6):
        address = env.free_node_address()
        assert address == IPv4Address(f"10.0.2.{number}")
        env = env.with_member(Member(f"cluster-{number}", 6443, address))

    assert env.without_member("cluster-5").free_node_address() == IPv4Address("10.0.2.5")


def test_the_gateway_is_in_the_subnet_that_the_user_chose() -> None:
    env = Environment(Path("/env"), Path("/bin"), {}, subnet=IPv4Network("10.9.8.0/24"))

    assert (env.gateway, env.free_node_address()) == (IPv4Address("10.9.8.1"), IPv4Address("10.9.8.4"))


def test_names_on_this_host_are_short_and_those_of_one_folder() -> None:
    assert host_tag(Path("/a")) != host_tag(Path("/b"))
    assert len(f"{host_tag(Path('/a'))}.255") <= 15, "the longest name of a network interface"
