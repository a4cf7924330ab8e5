"""Members of a local Karmada: joining and leaving, also while it runs.

A member is an apiserver with a controller-manager of its own. It joins as ``karmadactl join`` does it:
a service account in the member that is its administrator, the account's token in a Secret of Karmada,
and a Cluster object in push mode. A second account lets Karmada's proxy impersonate the caller.
The token comes from the TokenRequest API, so that no controller in the member has to make one.
"""

from __future__ import annotations

from collections.abc import Callable

import yaml

from towpath.errors import BootFailed, NotFound, UsageError
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.local import objects, ports, processes, store
from towpath.local.programs import member_processes
from towpath.local.spec import Environment
from towpath.model import manifest
from towpath.polling import accepted, until

Report = Callable[[str], None]
USER_AGENT = "towpath-local"
_MANAGER = "towpath-local"
_TOKEN_SECONDS = 10 * 365 * 24 * 3600
_PATIENCE = 90.0


def write_member_kubeconfig(env: Environment, name: str) -> None:
    """Write a member's kubeconfig: the administrator's of Karmada, with the member's address."""
    document = yaml.safe_load(env.karmada.read_text())
    document["current-context"] = name
    document["clusters"][0]["name"] = document["contexts"][0]["name"] = name
    document["contexts"][0]["context"] = {"cluster": name, "user": name}
    document["users"][0]["name"] = name
    document["clusters"][0]["cluster"]["server"] = env.member_url(name)
    path = env.kubeconfig(name)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


async def join(env: Environment, karmada: Client, name: str, say: Report) -> None:
    """Make the member, whose apiserver has been started, known to Karmada and wait until it is Ready."""
    apiserver, controllers = member_processes(name)
    await processes.wait_ready(env, apiserver)
    async with await Client.connect(env.kubeconfig(name), user_agent=USER_AGENT) as member:
        for definition in manifest.load(env.crds):
            await member.apply(resources.CRDS, definition, _MANAGER)
        processes.spawn(env, controllers)
        token, impersonator, identity = await _accounts(member)
    await karmada.apply(resources.SECRETS, objects.member_secret(name, token, env), _MANAGER)
    await karmada.apply(
        resources.SECRETS, objects.member_secret(f"{name}-impersonator", impersonator, env), _MANAGER
    )
    await karmada.apply(resources.CLUSTERS, objects.cluster(name, identity, env), _MANAGER)
    await wait_for_cluster(karmada, name, is_ready, "is not Ready")
    # The proxy lets the administrator in by a Work for the member, soon after Ready.
    proxy = resources.CLUSTERS.path("", name, "proxy")
    await accepted(lambda: karmada.request("GET", f"{proxy}/version"), patience=_PATIENCE)
    say(f"{name} is Ready")


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


def is_ready(cluster: Object | None) -> bool:
    """Tell whether a Cluster object says Ready."""
    conditions = (cluster or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


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
        conditions = (seen or {}).get("status", {}).get("conditions", [])
        said = "; ".join(f"{c['type']}={c['status']}: {c.get('message', '')}" for c in conditions)
        return BootFailed(f"{name} {otherwise} after {_PATIENCE:.0f} s; Karmada says: {said or 'nothing'}")

    await until(look, condition, patience=_PATIENCE, otherwise=late)


async def join_live(env: Environment, name: str, say: Report) -> Environment:
    """Add a further member to a running environment.

    Raises UsageError if it is a member already. If it fails, it leaves nothing of the member behind.
    """
    if name in env.members:
        raise UsageError(f"{name} is a member already; members are {', '.join(env.members)}")
    taken = set(env.members.values()) | set(env.ports.values())
    port = next(port for port in ports.free_ports(len(taken) + 1) if port not in taken)
    grown = env.with_member(name, port)
    write_member_kubeconfig(grown, name)
    try:
        processes.spawn(grown, f"{name}-apiserver")
        async with await Client.connect(env.karmada, user_agent=USER_AGENT) as karmada:
            await join(grown, karmada, name, say)
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
        raise UsageError(f"{name} is no member; members are {', '.join(env.members)}")
    async with await Client.connect(env.karmada, user_agent=USER_AGENT) as karmada:
        await karmada.delete(resources.CLUSTERS, name)
        await wait_for_cluster(karmada, name, lambda cluster: cluster is None, "is still known to Karmada")
        for secret in (name, f"{name}-impersonator"):
            await karmada.delete(resources.SECRETS, secret, objects.MEMBERS)
    say(f"{name} has left")
    shrunk = env.without_member(name)
    store.save(shrunk)
    _end_member(env, name)
    return shrunk


def _end_member(env: Environment, name: str) -> None:
    processes.stop(env, *member_processes(name))
    env.kubeconfig(name).unlink(missing_ok=True)
