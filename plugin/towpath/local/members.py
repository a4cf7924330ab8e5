"""Members of a local Karmada: joining and leaving, also while it runs.

A member is an apiserver with a controller-manager of its own, or a whole cluster with a node. Both join as
``karmadactl join`` does it: a service account in the member that is its administrator, the account's token in
a Secret of Karmada, and a Cluster object in push mode. A second account lets Karmada's proxy impersonate the
caller. The token comes from the TokenRequest API, so that no controller in the member has to make one.
"""

from __future__ import annotations

from collections.abc import Callable

import yaml

from towpath.errors import BootFailed, NotFound, UsageError
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.local import objects, ports, processes, store
from towpath.local.nodes import host, packages
from towpath.local.nodes.configuration import DNS_ADDRESS, files
from towpath.local.nodes.images import ensure_images
from towpath.local.nodes.programs import machine_name
from towpath.local.programs import member_processes
from towpath.local.spec import NODE_APISERVER_PORT, Environment, Member
from towpath.model import manifest
from towpath.polling import accepted, until

Report = Callable[[str], None]
USER_AGENT = "towpath-local"
_MANAGER = "towpath-local"
_TOKEN_SECONDS = 10 * 365 * 24 * 3600
_PATIENCE = 90.0
_MCS_GROUP = "multicluster.x-k8s.io"


def _write_kubeconfig(env: Environment, name: str) -> None:
    """Write a member's kubeconfig: the administrator's of Karmada, with the member's address."""
    document = yaml.safe_load(env.karmada.read_text())
    document["current-context"] = name
    document["clusters"][0]["name"] = document["contexts"][0]["name"] = name
    document["contexts"][0]["context"] = {"cluster": name, "user": name}
    document["users"][0]["name"] = name
    document["clusters"][0]["cluster"]["server"] = env.members[name].url
    path = env.kubeconfig(name)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def prepare(env: Environment, member: Member) -> None:
    """Write what the processes of a member read."""
    _write_kubeconfig(env, member.name)
    if member.node is None:
        return
    folder = env.node_folder(member.name)
    content_of = files(
        env, member, member.node, cni=str(packages.cni_folder()), cluster_set=_has_mcs_api(env)
    )
    for name, content in content_of.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _has_mcs_api(env: Environment) -> bool:
    return any(crd["spec"]["group"] == _MCS_GROUP for crd in manifest.load(env.crds))


async def begin(env: Environment, member: Member) -> None:
    """Start a member's apiserver and what it needs; ``join`` waits for it."""
    for name in _until_apiserver(env, member)[0]:
        processes.spawn(env, name)
        if name == machine_name(member.name):
            await processes.wait_ready(env, name)


def _until_apiserver(env: Environment, member: Member) -> tuple[list[str], list[str]]:
    """Return the names of a member's processes: those up to its apiserver, and those after it."""
    names = list(member_processes(env, member))
    rest = names.index(f"{member.name}-apiserver") + 1
    return names[:rest], names[rest:]


async def complete(env: Environment, member: Member) -> None:
    """Make a member with a node, whose apiserver has been started, a cluster that runs pods."""
    await processes.wait_ready(env, f"{member.name}-apiserver")
    async with await Client.connect(env.kubeconfig(member.name), user_agent=USER_AGENT) as client:
        await _start_rest(env, client, member)
        await _wait_for_node(env, client, member, str(member.node))


async def _start_rest(env: Environment, client: Client, member: Member) -> None:
    """Start what a member has beside its apiserver, as far as it does not run."""
    for definition in manifest.load(env.crds):
        await client.apply(resources.CRDS, definition, _MANAGER)
    alive = processes.running(env.root)
    for process in _until_apiserver(env, member)[1]:
        if process not in alive:
            processes.spawn(env, process)


async def join(env: Environment, karmada: Client, member: Member, say: Report) -> None:
    """Make a member, whose apiserver has been started, known to Karmada and wait until it is Ready."""
    name = member.name
    await processes.wait_ready(env, f"{name}-apiserver")
    async with await Client.connect(env.kubeconfig(name), user_agent=USER_AGENT) as client:
        await _start_rest(env, client, member)
        token, impersonator, identity = await _accounts(client)
        await karmada.apply(resources.SECRETS, objects.member_secret(name, token, env), _MANAGER)
        await karmada.apply(
            resources.SECRETS, objects.member_secret(f"{name}-impersonator", impersonator, env), _MANAGER
        )
        await karmada.apply(resources.CLUSTERS, objects.cluster(name, identity, env), _MANAGER)
        if member.node is not None:
            await _wait_for_node(env, client, member, str(member.node))
    await wait_for_cluster(karmada, name, is_ready, "is not Ready")
    # The proxy lets the administrator in by a Work for the member, soon after Ready.
    proxy = resources.CLUSTERS.path("", name, "proxy")
    await accepted(lambda: karmada.request("GET", f"{proxy}/version"), patience=_PATIENCE)
    say(f"{name} is Ready, with a node at {member.node}" if member.node else f"{name} is Ready")


async def _wait_for_node(env: Environment, client: Client, member: Member, node: str) -> None:
    """Wait until the member's node runs pods, and they find its cluster DNS."""
    service, endpoints = objects.cluster_dns(node, DNS_ADDRESS)
    await client.apply(resources.SERVICES, service, _MANAGER)
    await client.apply(resources.ENDPOINT_SLICES, endpoints, _MANAGER)
    for process in _until_apiserver(env, member)[1]:
        await processes.wait_ready(env, process)

    async def look() -> Object | None:
        try:
            return await client.get(resources.NODES, member.name)
        except NotFound:
            return None

    def late(seen: Object | None) -> BootFailed:
        return BootFailed(
            f"The node of {member.name} is not Ready after {_PATIENCE:.0f} s; its kubelet reports: "
            f"{_conditions(seen)}; the end of {env.log(f'{member.name}-kubelet')}:\n"
            f"{processes.tail(env.log(f'{member.name}-kubelet'))}"
        )

    await until(look, is_ready, patience=_PATIENCE, otherwise=late)


async def _accounts(member: Client) -> tuple[str, str, str]:
    """Make Karmada's accounts in a member: returns two tokens and the member's identity."""
    await member.apply(resources.NAMESPACES, objects.namespace(objects.MEMBERS), _MANAGER)
    tokens = []
    # What the impersonator may do is Karmada's to say: its unified-auth controller binds it.
    await member.apply(resources.CLUSTER_ROLE_BINDINGS, objects.admin_binding(objects.JOINED_AS), _MANAGER)
    for account in (objects.JOINED_AS, objects.IMPERSONATOR):
        await member.apply(resources.SERVICE_ACCOUNTS, objects.service_account(account), _MANAGER)
        path = resources.SERVICE_ACCOUNTS.path(objects.MEMBERS, account, "token")
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        tokens.append(str((await member.json("POST", path, body=request))["status"]["token"]))
    # The apiserver makes it itself, soon after it is ready.
    system = await accepted(lambda: member.get(resources.NAMESPACES, "kube-system"), patience=_PATIENCE)
    return tokens[0], tokens[1], str(system["metadata"]["uid"])


def is_ready(seen: Object | None) -> bool:
    """Tell whether a Cluster or a Node reports Ready."""
    conditions = (seen or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _conditions(seen: Object | None) -> str:
    conditions = (seen or {}).get("status", {}).get("conditions", [])
    reported = (f"{c['type']}={c['status']}: {c.get('message', '')}" for c in conditions)
    return "; ".join(reported) or "nothing"


async def wait_for_cluster(
    karmada: Client, name: str, condition: Callable[[Object | None], bool], otherwise: str
) -> None:
    """Wait until a Cluster object (None when there is none) meets a condition. Raises BootFailed."""

    async def look() -> Object | None:
        try:
            return await karmada.get(resources.CLUSTERS, name)
        except NotFound:
            return None

    def late(seen: Object | None) -> BootFailed:
        return BootFailed(f"{name} {otherwise} after {_PATIENCE:.0f} s; Karmada reports: {_conditions(seen)}")

    await until(look, condition, patience=_PATIENCE, otherwise=late)


def new_member(env: Environment, name: str, *, node: bool) -> Member:
    """Return a further member of an environment, with a free address or port."""
    if node:
        return Member(name, NODE_APISERVER_PORT, env.free_node_address())
    taken = {member.port for member in env.members.values()} | set(env.ports.values())
    return Member(name, next(port for port in ports.free_ports(len(taken) + 1) if port not in taken))


async def join_live(env: Environment, name: str, say: Report, *, node: bool = False) -> Environment:
    """Add a further member, with a node if asked for, to a running environment.

    Raises UsageError if it is a member already. If it fails, it leaves nothing of the member behind.
    """
    if name in env.members:
        raise UsageError(f"{name} is a member already. Members: {', '.join(env.members)}.")
    if env.karmada_host and not node:
        raise UsageError(
            f"Karmada runs as pods of {env.karmada_host}, which reach members with nodes. Add --nodes."
        )
    member = new_member(env, name, node=node)
    grown = env.with_member(member)
    if node:
        host.check(env.root, env.subnet)
    try:
        if node:
            host.prepare(grown)
            ensure_images(grown)
            for process in grown.bridged:
                await processes.ensure_running(grown, process)
        prepare(grown, member)
        await begin(grown, member)
        async with await Client.connect(env.karmada, user_agent=USER_AGENT) as karmada:
            await join(grown, karmada, member, say)
        store.save(grown)
    except BaseException:
        _end_member(grown, name)
        raise
    return grown


async def leave(env: Environment, name: str, say: Report) -> Environment:
    """Take a member out, as ``karmadactl unjoin`` does, and end its processes.

    Its data stays in etcd: if a member of that name joins again, it is the same cluster.
    """
    if name not in env.members:
        raise UsageError(f"{name} is no member. Members: {', '.join(env.members)}.")
    if name == env.karmada_host:
        raise UsageError(f"{name} runs Karmada. `towpath local down` ends all of it.")
    async with await Client.connect(env.karmada, user_agent=USER_AGENT) as karmada:
        await karmada.delete(resources.CLUSTERS, name)
        await wait_for_cluster(karmada, name, lambda cluster: cluster is None, "still exists in Karmada")
        for secret in (name, f"{name}-impersonator"):
            await karmada.delete(resources.SECRETS, secret, objects.MEMBERS)
    say(f"{name} has left")
    shrunk = env.without_member(name)
    store.save(shrunk)
    _end_member(env, name)
    return shrunk


def _end_member(env: Environment, name: str) -> None:
    processes.stop(env, *member_processes(env, env.members[name]))
    host.remove_member(env, name)
    env.kubeconfig(name).unlink(missing_ok=True)
