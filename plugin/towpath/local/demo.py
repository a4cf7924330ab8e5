"""The walk-through, played step by step on a real Karmada, and checked: it shows what the members hold.

Every step applies one of the text's manifests and waits until the members show what the text says. On a
local Karmada with nodes the pods run, the data path carries the client's calls, and two edits of the policy
follow. Elsewhere nothing of this is shown, and nothing is said about it.

It refuses to start where it would change something that is already there. ``clearing`` removes what it
created.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from towpath.errors import ApiError, NotAsTold, NotFound, UsageError
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.karmada.discovery import Discovery
from towpath.local import walkthrough
from towpath.local.fleet import Fleet
from towpath.local.members import is_ready
from towpath.local.spec import Environment
from towpath.local.traffic import FEW, MANY, Answered, Caller, answers_by_cluster, edits, meets
from towpath.local.walkthrough import Seen
from towpath.model.keys import Dialect, cluster_name
from towpath.polling import until
from towpath.setup.install import Installed, install, serves, share_crds

T = TypeVar("T")
MANAGER = "towpath-demo"
_POLICY, _POLICIES = "GlobalTrafficPolicy", resources.traffic_policies(Dialect.FLOMESH)
PATIENCE = 90.0
"""Seconds for one step: on a Karmada that has just got the CRDs its detector needs up to 30 to see them."""


@dataclass(frozen=True)
class Stage:
    """Where the walk-through is played: a Karmada, and the three members that take the parts.

    ``nodes`` is the local Karmada if its members have nodes and the data path, None where no pods run or none
    are looked at.
    """

    karmada: Client
    members: Sequence[str]
    say: Callable[[str], None]
    nodes: Environment | None = None

    @property
    def fleet(self) -> Fleet:
        """The members, seen through Karmada."""
        return Fleet(self.karmada)

    async def apply(self, step: str) -> None:
        """Apply the manifests of one step, as ``kubectl apply`` would."""
        discovery = Discovery(self.karmada)
        for obj in walkthrough.steps(self.members)[step]:
            await self.karmada.apply(await discovery.of(obj), obj, MANAGER)

    async def see(self, member: str) -> Seen:
        """Return what a member holds of the walk-through."""
        service, export, imported, traffic = await asyncio.gather(
            self.fleet.get(member, resources.SERVICES, "httpbin", "httpbin"),
            self.fleet.get(member, resources.service_exports(Dialect.FLOMESH), "httpbin", "httpbin"),
            self.fleet.get(member, resources.service_imports(Dialect.FLOMESH), "httpbin", "httpbin"),
            self.fleet.get(member, resources.traffic_policies(Dialect.FLOMESH), "httpbin", "httpbin"),
        )
        return Seen(
            service=service is not None,
            export=export is not None,
            imports=walkthrough.read_import(imported),
            traffic=str(traffic["spec"]["lbType"]) if traffic else None,
        )

    async def see_all(self) -> dict[str, Seen]:
        """Return what every member holds."""
        seen = await asyncio.gather(*map(self.see, self.members))
        return dict(zip(self.members, seen, strict=True))


async def shows(
    look: Callable[[], Awaitable[T]], right: Callable[[T], bool], expected: str, patience: float = PATIENCE
) -> T:
    """Wait until what is seen is right. Raises NotAsTold with what was seen last."""

    def otherwise(seen: T) -> NotAsTold:
        return NotAsTold(f"Expected within {patience:.0f} s: {expected}. Last seen: {seen}")

    return await until(look, right, patience=patience, otherwise=otherwise)


async def check_stage(karmada: Client, members: Sequence[str]) -> None:
    """Raise UsageError if a member is missing, or if the walk-through would change what is already there."""
    known = {cluster["metadata"]["name"]: cluster for cluster in await _clusters(karmada)}
    if len(set(members)) != len(walkthrough.PLAYERS):
        raise UsageError(f"The walk-through needs three different members, not {', '.join(members)}.")
    for name in members:
        if name not in known:
            raise UsageError(f"Karmada has no member {name!r}. Its members: {', '.join(known) or 'none'}.")
        if not is_ready(known[name]):
            raise UsageError(f"Member {name} is not Ready.")
        await _check_proxy(karmada, name)
    for name in walkthrough.NAMESPACES:
        if await exists(karmada, resources.NAMESPACES, name):
            raise UsageError(
                f"namespace {name} exists. The walk-through would change its content. Delete it first."
            )
    for name in members:
        if await exists(karmada, resources.flomesh_clusters(Dialect.FLOMESH), name):
            raise UsageError(
                f"clusters.flomesh.io/{name} exists. Delete it: the walk-through would change its gateway."
            )


async def _check_proxy(karmada: Client, member: str) -> None:
    try:
        await karmada.request("GET", resources.CLUSTERS.path("", member, "proxy") + "/version")
    except ApiError as error:
        raise UsageError(
            f"{member} cannot be read through Karmada's proxy: {error}. "
            "Grant this user clusters/proxy of cluster.karmada.io."
        ) from error


async def _clusters(karmada: Client) -> list[Object]:
    try:
        return await karmada.list(resources.CLUSTERS)
    except NotFound:
        raise UsageError(f"{karmada.where} is no Karmada. It does not serve cluster.karmada.io.") from None


async def exists(karmada: Client, resource: Resource, name: str) -> bool:
    """Tell whether Karmada has an object without namespace."""
    try:
        await karmada.get(resource, name)
    except NotFound:
        return False
    return True


async def prepare(stage: Stage, installed: list[Installed]) -> None:
    """Install what Towpath needs, noted in ``installed``; wait until all members serve the imports' API."""
    installed += await install(stage.karmada)
    installed += await share_crds(stage.karmada)
    chosen = set(stage.members)

    def all_serve(clusters: list[Object]) -> bool:
        return all(serves(c, Dialect.FLOMESH) for c in clusters if c["metadata"]["name"] in chosen)

    await shows(lambda: stage.karmada.list(resources.CLUSTERS), all_serve, "all members serve ServiceImport")


async def play(stage: Stage) -> dict[str, Seen]:
    """Play the walk-through to its end and return what each member holds then. Raises NotAsTold."""
    first, client, third = stage.members
    say = stage.say
    want = walkthrough.expected(stage.members, data_path=stage.nodes is not None)

    say("\n1. Gateways of the members: the three Clusters of the text, without their kubeconfigs")
    await stage.apply(walkthrough.CLUSTERS)
    for member, address in zip(stage.members, walkthrough.GATEWAYS.values(), strict=True):
        say(f"   {member}: gateway {address}:80")

    say(f"\n2. httpbin: Deployment and Service, propagated to {first} and {third}")
    await stage.apply(walkthrough.HTTPBIN)
    await shows(
        stage.see_all,
        lambda s: [m for m in s if s[m].service] == [first, third],
        f"{first} and {third} have the Service",
    )
    say(f"   the Service is in {first} and {third}")
    clusters = {}
    if stage.nodes:
        for member in (first, third):
            pods = await _pods(stage, member, "httpbin", "pipy", 2)
            clusters.update(dict.fromkeys(pods, member))
            say(f"   {member} runs the pods {', '.join(pods)}")

    say("\n3. ServiceExport httpbin, to all three. Its policy reuses the name httpbin, as in the text.")
    await stage.apply(walkthrough.EXPORT)
    seen = await shows(
        stage.see_all,
        lambda s: all(
            s[m].imports == want[m].imports and s[m].export and s[m].service == want[m].service for m in s
        ),
        "every member imports from the others",
    )
    for member in stage.members:
        others = ", ".join(cluster_name(key) for key, *_ in seen[member].imports or ())
        say(f"   {member} imports httpbin from {others}")
    has = "has the Service by its import alone" if stage.nodes else "has no such Service"
    say(f"   {client} gets the ServiceExport too, but {has}, so no member imports from it")

    say(f"\n4. curl, the client, propagated to {client}")
    await stage.apply(walkthrough.CURL)
    await shows(
        lambda: stage.fleet.get(client, resources.DEPLOYMENTS, "curl", "curl"),
        lambda d: d is not None,
        f"{client} has curl",
    )
    say(f"   {client} has the Deployment curl")
    caller = None
    if stage.nodes:
        (pod,) = await _pods(stage, client, "curl", "curl", 1)
        caller = Caller(stage.nodes, client, pod, clusters)
        say(f"   {client} runs the pod {pod}, which calls {walkthrough.URL}:")
        say(f"   {await caller.call_in_vain()}")

    say(f"\n5. GlobalTrafficPolicy ActiveActive over {first} and {third}, propagated to {client}")
    await stage.apply(walkthrough.TRAFFIC)
    seen = await shows(stage.see_all, lambda s: s == want, "every member holds what the text describes")
    say(f"   {client} has the traffic policy, and no other member has it")
    say(f"   the policy httpbin now selects this alone, so the export follows its Service: {first}, {third}")
    if caller is None:
        return seen
    await _play_calls(stage, caller)
    return await stage.see_all()


async def _play_calls(stage: Stage, caller: Caller) -> None:
    """Let the client call, as the text has it and after each edit of its policy."""
    first, _, third = stage.members
    answered = await _answered(caller, FEW, {first: 0.5, third: 0.5})
    stage.say(f"   the pod {caller.pod} calls {walkthrough.URL} {FEW} times:")
    for pod in answered.pods:
        stage.say(f"   {pod}    in {caller.clusters[pod]}")
    (policy,) = (o for o in walkthrough.steps(stage.members)[walkthrough.TRAFFIC] if o["kind"] == _POLICY)
    for number, edit in enumerate(edits(stage.members), 6):
        stage.say(f"\n{number}. {edit.title}")
        await stage.karmada.apply(_POLICIES, edit.of(policy), MANAGER)
        seen = await _answered(caller, MANY, edit.shares)
        stage.say(f"   {MANY} calls answered: {answers_by_cluster(seen.by_cluster(caller.clusters))}")


async def _answered(caller: Caller, count: int, shares: Mapping[str, float]) -> Answered:
    right = meets(shares, caller.clusters)
    return await shows(
        lambda: caller.call(count), right, f"calls of {caller.member} are shared {dict(shares)}"
    )


async def _pods(stage: Stage, member: str, namespace: str, app: str, count: int) -> list[str]:
    """Return the names of an application's pods once as many as wanted are Ready."""
    return await shows(
        lambda: stage.fleet.ready_pods(member, namespace, f"app={app}"),
        lambda pods: len(pods) == count,
        f"{count} pods of {app} are Ready in {member}",
    )
