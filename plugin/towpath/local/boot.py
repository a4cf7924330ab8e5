"""Booting a local Karmada: from nothing to all members Ready.

Order matters in four places: Karmada's CRDs before its controller-manager (its interpreter waits for
them), the aggregated apiserver before any Cluster object, webhook configurations only once the webhook
listens (their failurePolicy is Fail), members last. Everything else runs side by side: four apiservers
on two cores are what the boot costs.

A boot that fails or is interrupted ends what it started and removes what it wrote, except for the logs.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from towpath import __version__
from towpath.errors import NoEnvironment
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.karmada.discovery import Discovery
from towpath.local import hosted, limits, members, objects, ports, processes, programs, store
from towpath.local.build import Binaries
from towpath.local.nodes import host
from towpath.local.nodes.images import ensure_images
from towpath.local.pki import write_kubeconfig, write_pki
from towpath.local.spec import (
    FIXED_PORTS,
    KARMADA,
    PLUGIN,
    SUBNET,
    WEBHOOK,
    Environment,
    Member,
    Qps,
    node_addresses,
)
from towpath.model import manifest
from towpath.polling import accepted
from towpath.setup.assets import deployed
from towpath.setup.install import install, served

Report = Callable[[str], None]
MANAGER = "towpath-local"
USER_AGENT = f"towpath-local/{__version__}"


async def up(
    root: Path,
    binaries: Binaries,
    *,
    names: list[str],
    qps: Qps = Qps.DEFAULT,
    base_port: int | None = None,
    crds: Path | None = None,
    subnet: IPv4Network = SUBNET,
    nodes: bool = False,
    on_host: bool = False,
    report: Report = lambda _: None,
) -> Environment:
    """Boot an environment in ``root``, or start what has stopped of the one that is there.

    ``crds`` is a folder of multi-cluster CRDs to use in place of Towpath's: ErieCanal's, say. With ``nodes``,
    every member gets a node, with an address of ``subnet``, which later members can get too. ``on_host`` runs
    Karmada's control plane as pods of the first one.

    Raises BootFailed with the log of what failed; nothing is left running then.
    """
    with store.changing(root):
        if (root / store.FILE).exists():
            return await _revive(store.load(root), report)
        if processes.running(root):
            raise NoEnvironment(
                f"{root} holds the rest of a failed boot. Run `towpath local down` to remove it."
            )
        limits.check(root, len(names), nodes=nodes, on_host=on_host)
        try:
            env = _describe(root, binaries, names, qps, base_port, subnet, nodes=nodes)
            if on_host:
                env = replace(env, karmada_host=names[0])
            _prepare(env, crds or deployed("crds"))
            await _boot(env, report)
            store.save(env)
        except BaseException:
            _clear_away(root)
            raise
    return env


def down(root: Path) -> int:
    """End every process of the environment in ``root`` and remove its files; returns how many ran.

    It needs no environment file: what a crash left behind is found as well. Refuses a folder that
    holds anything else.
    """
    with store.changing(root):
        store.check_removable(root)
        ended = processes.end_all(root, grace=3.0)
        host.remove(root)
        store.forget(root)
    return ended


def _clear_away(root: Path) -> None:
    processes.end_all(root, grace=1.0)
    host.remove(root)
    for left in root.iterdir() if root.is_dir() else ():
        if left.name == "logs":
            continue
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _describe(
    root: Path,
    binaries: Binaries,
    names: list[str],
    qps: Qps,
    base_port: int | None,
    subnet: IPv4Network,
    *,
    nodes: bool,
) -> Environment:
    """Return an environment with free ports, or with those from ``base_port`` on."""
    count = len(FIXED_PORTS) + len(names)
    block = ports.free_ports(count) if base_port is None else ports.demand_ports(base_port, count)
    env = Environment(
        root=root,
        binaries=binaries.folder,
        ports=dict(zip(FIXED_PORTS, block, strict=False)),
        qps=qps,
        subnet=subnet,
    )
    for name, port in zip(names, block[len(FIXED_PORTS) :], strict=True):
        env = env.with_member(members.new_member(env, name, node=True) if nodes else Member(name, port))
    return env


def _prepare(env: Environment, crds: Path) -> None:
    """Write all that processes read before the first one starts."""
    if env.has_nodes:
        host.check(env.root, env.subnet)
    env.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(env.logs, ignore_errors=True)  # of a boot that failed
    env.logs.mkdir()
    shutil.copytree(crds, env.crds)
    pki = write_pki(env.pki, [str(env.gateway), *node_addresses(env.subnet)])
    ca = pki.authority.certificate_pem
    apiserver = env.karmada_url
    write_kubeconfig(env.karmada, context=KARMADA, server=apiserver, ca=ca, identity=pki.admin)
    write_kubeconfig(env.plugin, context=PLUGIN, server=apiserver, ca=ca, identity=pki.plugin)
    write_kubeconfig(env.webhook, context=WEBHOOK, server=apiserver, ca=ca, identity=pki.webhook)
    for member in env.members.values():
        members.prepare(env, member)
    (env.root / "audit-policy.yaml").write_text(objects.AUDIT_POLICY)
    if env.has_nodes:
        ensure_images(env)
        host.prepare(env)
    if env.karmada_host:
        hosted.prepare(env)


async def _boot(env: Environment, report: Report) -> None:
    started = time.monotonic()

    def say(message: str) -> None:
        report(f"{time.monotonic() - started:5.1f} s  {message}")

    if not env.karmada_host:
        await processes.start(env, "etcd")
        say("etcd answers")
    for name in env.bridged:
        processes.spawn(env, name)
    for member in env.members.values():
        await members.begin(env, member)
    await (_run_on(env, env.karmada_host, say) if env.karmada_host else _run_beside(env, say))
    async with await Client.connect(env.karmada, user_agent=USER_AGENT) as client:
        await asyncio.gather(*(members.join(env, client, member, say) for member in env.members.values()))


async def _run_on(env: Environment, host_cluster: str, say: Report) -> None:
    """Run Karmada's control plane as pods, while the other members start."""

    async def install_on_host() -> None:
        await members.complete(env, env.members[host_cluster])
        say(f"{host_cluster} runs pods")
        await hosted.install(env)
        async with await Client.connect(env.karmada, user_agent=USER_AGENT) as client:
            await client.apply(resources.NAMESPACES, objects.namespace(objects.MEMBERS), MANAGER)
        say(f"Karmada runs as pods of {host_cluster}")

    others = (member for name, member in env.members.items() if name != host_cluster)
    await asyncio.gather(install_on_host(), *(members.complete(env, member) for member in others))


async def _run_beside(env: Environment, say: Report) -> None:
    """Run Karmada's control plane as processes of this host."""
    await processes.start(env, "karmada-apiserver")
    say("Karmada's apiserver answers")
    async with await Client.connect(env.karmada, user_agent=USER_AGENT) as client:
        await _install_karmada(env, client, say)


async def _install_karmada(env: Environment, client: Client, say: Report) -> None:
    """Start Karmada's parts and give its apiserver the objects they need."""
    for name in (objects.SYSTEM, objects.MEMBERS):
        await client.apply(resources.NAMESPACES, objects.namespace(name), MANAGER)
    processes.spawn(env, "karmada-aggregated-apiserver")
    processes.spawn(env, "karmada-webhook")
    definitions = manifest.load(Binaries(env.binaries).karmada_crds)
    await asyncio.gather(*(client.apply(resources.CRDS, definition, MANAGER) for definition in definitions))
    # Karmada's controller-manager exits when it starts before its kinds are served.
    await asyncio.gather(*(served(client, definition) for definition in definitions))
    # Before the controllers: detector and garbage collector look for new kinds every 30 s only (facts T11).
    await install(client, env.crds)
    processes.spawn(env, "karmada-kube-controller-manager")
    processes.spawn(env, "karmada-controller-manager")
    processes.spawn(env, "karmada-scheduler")
    say("the CRDs of Karmada and Towpath are installed")
    role, binding = objects.proxy_admin()
    await client.apply(resources.CLUSTER_ROLES, role, MANAGER)
    await client.apply(resources.CLUSTER_ROLE_BINDINGS, binding, MANAGER)
    service, api_service = objects.aggregated_api(env)
    await client.apply(resources.SERVICES, service, MANAGER)
    await client.apply(resources.API_SERVICES, api_service, MANAGER)
    await asyncio.gather(_aggregation(env, client, say), _webhooks(env, client, say))
    for name in ("karmada-controller-manager", "karmada-scheduler"):
        await processes.wait_ready(env, name)
    say("Karmada's controllers answer")


async def _aggregation(env: Environment, client: Client, say: Report) -> None:
    await processes.wait_ready(env, "karmada-aggregated-apiserver")
    await accepted(lambda: client.list(resources.CLUSTERS), patience=processes.PATIENCE)
    say("cluster.karmada.io is served")


async def _webhooks(env: Environment, client: Client, say: Report) -> None:
    await processes.wait_ready(env, "karmada-webhook")
    discovery = Discovery(client)
    template = Binaries(env.binaries).webhook_configuration.read_text()
    for configuration in objects.webhook_configurations(template, env):
        await client.apply(await discovery.of(configuration), configuration, MANAGER)
    say("Karmada's webhooks are registered")


async def _revive(env: Environment, report: Report) -> Environment:
    """Start whatever of a known environment does not run."""
    alive = processes.running(env.root)
    if env.has_nodes:
        host.prepare(env)
    missing = [n for n, process in programs.processes(env).items() if n not in alive and not process.optional]
    await processes.start_all(env, missing, lambda name: report(f"restarted {name}"))
    return env
