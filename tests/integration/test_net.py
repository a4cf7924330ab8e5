"""``towpath serve net`` as a process, with the permissions it is given, on a member's real apiserver."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.conftest import Plane
from tests.support.agents import node
from tests.support.checkout import TOP
from tests.support.envoys import App, DataPath, app, call, data_path, loopback
from tests.support.members import ck, export, gateway, key, serving
from tests.support.recording import Access, recording
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.model.keys import Dialect
from towpath.model.manifest import load

MEMBER = "cluster-2"
PATIENCE = 120.0
"""Seconds until something that lasts has been stated."""
SYSTEM, SYSTEM_ROLE = "towpath-system", "towpath-net"
AGENT = load(TOP / "deploy/datapath/agent.yaml")
FLOMESH = "flomesh.io/v1alpha1"
IMPORTS = resources.service_imports(Dialect.FLOMESH)


@pytest.fixture(scope="module")
def kubeconfig(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a kubeconfig of the agent's service account."""
    plane.client(MEMBER).apply_objects(*AGENT)
    token = plane.kubectl("create", "token", "towpath-net", "-n", SYSTEM, member=MEMBER).stdout.strip()
    config = yaml.safe_load(plane.env.kubeconfig(MEMBER).read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = tmp_path_factory.mktemp("net") / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@dataclass(frozen=True)
class Here:
    """A namespace of the importing member, which calls a pod in another one."""

    plane: Plane
    namespace: str
    far: DataPath
    pod: App

    def apply(self, *objects: Mapping[str, Any]) -> None:
        placed = [{**obj, "metadata": {"namespace": self.namespace, **obj["metadata"]}} for obj in objects]
        self.plane.client(MEMBER).apply_objects(*placed)

    def slice(self, name: str = "web") -> dict[str, Any]:
        return self.plane.client(MEMBER).get(resources.ENDPOINT_SLICES, f"towpath-{name}", self.namespace)

    async def addresses(self, name: str = "web") -> list[str]:
        return [
            address for endpoint in self.slice(name)["endpoints"] or [] for address in endpoint["addresses"]
        ]

    async def listener(self, name: str = "web") -> int:
        """Return the port of the proxies, once the slice has one."""

        async def ports() -> list[dict[str, Any]]:
            return self.slice(name).get("ports") or []

        return int((await until(ports, bool))[0]["port"])


def service(name: str = "web", more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    spec = {"ports": [{"name": "http", "port": 80}], **(more or {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def service_export(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": FLOMESH, "kind": "ServiceExport", "metadata": {"name": name}, "spec": spec}


def service_import(far: DataPath, name: str = "web") -> dict[str, Any]:
    port = {"port": 80, "protocol": "TCP", "endpoints": [gateway("cluster-1", far.address)]}
    return {
        "apiVersion": FLOMESH,
        "kind": "ServiceImport",
        "metadata": {"name": name},
        "spec": {"type": "ClusterSetIP", "ports": [port]},
    }


def traffic_policy(kind: str, name: str = "web") -> dict[str, Any]:
    spec = {"lbType": kind, "targets": [{"clusterKey": ck("cluster-1")}]}
    return {"apiVersion": FLOMESH, "kind": "GlobalTrafficPolicy", "metadata": {"name": name}, "spec": spec}


def endpoint_slice(name: str, of: str, address: str, *, ready: bool = True, node: str = "") -> dict[str, Any]:
    endpoint: dict[str, Any] = {"addresses": [address], "conditions": {"ready": ready, "serving": ready}}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [endpoint | ({"nodeName": node} if node else {})],
    }


BAD_TARGETS = (
    {"ip": "0.0.0.0"},  # noqa: S104 - not to listen on
    {"ip": "224.0.0.1"},
    *({"path": path} for path in ("/a b", "/?", "/a//b", "/ü", "/[x]", "/{x}", "/a\n", "/\\")),
)
BAD_PORTS = ({"port": 81}, {"protocol": "UDP"})
BAD_SERVICES = (None, {"clusterIP": "None"}, {"type": "ExternalName", "externalName": "example.org"})
BAD_TIERS = ("x", "=1", "a/b/c/d=x", "a/b/c/d=-1", "a/b/c/d=99999999")
BAD_RULES = ({"portNumber": 81}, {"path": "/ü"}, {"path": "/[x]"}, {"path": "/taken"})
BAD_REWRITES = (("(?!x)", "/"), ("(", "/"), ("a{1,2}", "/"), ("a", "$1"), ("a", "/ b"))


def nonsense(far: DataPath) -> Iterator[dict[str, Any]]:
    """Yield objects that the member's apiserver takes and that have no effect, and their Services."""
    yield from _bad_imports(far)
    for number, tiers in enumerate(BAD_TIERS):
        bad = traffic_policy("FailOver", f"tiers-{number}")
        bad["metadata"]["annotations"] = {"towpath.io/failover-tiers": tiers}
        yield bad
    specs: list[dict[str, Any]] = [({"rules": [rule]}) for rule in BAD_RULES]
    specs += [
        {"rules": [{}], "pathRewrite": {"from": prefix, "to": replacement}}
        for prefix, replacement in BAD_REWRITES
    ]
    for number, spec in enumerate(specs):
        good = {"portNumber": 80, "path": f"/bad-{number}", "pathType": "Prefix"}
        name = f"bad-{number}"
        yield service_export(name, {**spec, "rules": [{**good, **rule} for rule in spec["rules"]]})
        yield service(name)


def _bad_imports(far: DataPath) -> Iterator[dict[str, Any]]:
    for number, target in enumerate(BAD_TARGETS):
        bad = service_import(far, f"target-{number}")
        bad["spec"]["ports"][0]["endpoints"][0]["target"].update(target)
        yield from (bad, service(f"target-{number}"))
    for number, port in enumerate(BAD_PORTS):
        bad = service_import(far, f"port-{number}")
        bad["spec"]["ports"][0].update(port)
        yield from (bad, service(f"port-{number}"))
    for number, spec in enumerate(BAD_SERVICES[:2]):
        yield service_import(far, f"service-{number}")
        if spec is not None:
            yield service(f"service-{number}", spec)
    for number, spec in enumerate(BAD_SERVICES):
        rule = {"portNumber": 80, "path": f"/service-{number}", "pathType": "Prefix"}
        name = f"exported-{number}"
        yield service_export(name, {"rules": [rule]})
        if spec is not None and number > 1:
            yield service(name, spec)


@pytest.fixture
async def here(plane: Plane, namespace: str, kubeconfig: Path, tmp_path: Path) -> AsyncIterator[Here]:
    plane.create_namespace(namespace, MEMBER)
    proxies = endpoint_slice("towpath-net-1", "towpath-net", "10.9.9.1", node="node-a")
    proxies["metadata"]["namespace"] = SYSTEM
    async with data_path(tmp_path / "far", "cluster-1") as far, app("pod-1") as pod:
        await far.apply(serving(key(), export(), pod.address))
        cluster = Here(plane, namespace, far, pod)
        cluster.apply(proxies)
        yield cluster
    plane.delete_namespace(namespace, MEMBER)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client:
        yield client


async def answer(session: aiohttp.ClientSession, url: str) -> str:
    """Return the backend that answers, or the error."""
    try:
        return await call(session, url)
    except aiohttp.ClientError as error:
        return str(error)


async def test_a_service_of_another_cluster(
    here: Here, kubeconfig: Path, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """The walk-through's call in one member, with all that may happen to the agent meanwhile."""
    async with node(MEMBER, kubeconfig, tmp_path / "a", "node-a") as agent:
        here.apply(service(), service_import(here.far), traffic_policy("ActiveActive"))
        url = f"{agent.path.address}:{await here.listener()}"
        await until(lambda: answer(session, url), "pod-1".__eq__)
        assert await here.addresses() == ["10.9.9.1"]
        labels = (f'cluster="{ck("cluster-1")}"', 'direction="egress"', f'namespace="{here.namespace}"')
        flow = ",".join((*labels, 'port="80"', 'service="web"'))
        await until(agent.metrics, lambda text: f"towpath_net_requests_total{{{flow}}} " in text)
        await until(agent.metrics, lambda text: f"towpath_net_gateway_reachable{{{flow}}} 1.0" in text)
        role = here.plane.client(MEMBER).get(resources.CLUSTER_ROLES, SYSTEM_ROLE)
        owners = here.slice()["metadata"]["ownerReferences"]
        assert [owner["uid"] for owner in owners] == [role["metadata"]["uid"]]
        # FailOver is decided by the member's own pods.
        here.apply(traffic_policy("FailOver"), endpoint_slice("web-1", "web", "10.1.0.1"))
        await until(here.addresses, lambda found: found == [])
        here.apply(endpoint_slice("web-1", "web", "10.1.0.1", ready=False))
        await until(here.addresses, lambda found: found == ["10.9.9.1"])
        # Without its agent Envoy goes on, and the next agent gives the same port.
        await agent.kill()
        assert await call(session, url) == "pod-1"
        here.apply(traffic_policy("Locality"))
        await agent.start()
        await agent.ready()
        await until(here.addresses, lambda found: found == [])
        here.apply(traffic_policy("ActiveActive"))
        await until(lambda: answer(session, url), "pod-1".__eq__)
        # An agent of another node wants the same and writes nothing.
        version = here.slice()["metadata"]["resourceVersion"]
        async with node(MEMBER, kubeconfig, tmp_path / "b", "node-b") as other:
            await until(
                lambda: answer(session, f"{other.path.address}:{url.rpartition(':')[2]}"), "pod-1".__eq__
            )
            assert here.slice()["metadata"]["resourceVersion"] == version
            # It stands in when the first one does not write.
            await agent.kill()
            here.apply(traffic_policy("Locality"))
            await until(here.addresses, lambda found: found == [])
        here.plane.client(MEMBER).delete(IMPORTS, "web", here.namespace)


async def test_objects_that_make_no_sense_stop_no_other(
    here: Here, kubeconfig: Path, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """Put straight into the member, past the webhook."""
    async with node(MEMBER, kubeconfig, tmp_path / "a", "node-a") as agent:
        rule = {"portNumber": 80, "path": "/taken", "pathType": "Prefix"}
        here.apply(service("holder"), service_export("holder", {"rules": [rule]}))
        await until(
            lambda: answer(session, f"{agent.path.address}:{agent.path.settings.gateway_port}/taken"),
            lambda got: got.startswith("503"),
        )
        broken = list(nonsense(here.far))
        here.apply(*broken)
        here.apply(service(), service_import(here.far), traffic_policy("ActiveActive"))
        url = f"{agent.path.address}:{await here.listener()}"
        await until(lambda: answer(session, url), "pod-1".__eq__)
        named = {
            (line["object"].split()[0], line["object"].split()[1]) for line in agent.log() if "object" in line
        }
        wanted = {(obj["kind"], f"{here.namespace}/{obj['metadata']['name']}") for obj in broken}
        wanted = {(kind, name) for kind, name in wanted if kind != "Service"}
        assert len(wanted) >= 30
        assert wanted <= named
        metrics = await agent.metrics()
        for kind, name in wanted:
            namespace, _, short = name.partition("/")
            assert f'kind="{kind}",name="{short}",namespace="{namespace}"' in metrics
        rejections = re.findall(r"^towpath_net_rejections_total\{.*\} (\S+)$", metrics, re.MULTILINE)
        assert set(rejections) == {"0.0"}


async def test_a_change_is_effective_soon(
    here: Here,
    kubeconfig: Path,
    tmp_path: Path,
    session: aiohttp.ClientSession,
) -> None:
    """From the apiserver's answer to the slice that kube-proxy reads, and to Envoy's answers.

    How soon: ``make bench BENCH=datapath``.
    """
    async with node(MEMBER, kubeconfig, tmp_path / "a", "node-a") as agent:
        here.apply(service(), service_import(here.far), traffic_policy("ActiveActive"))
        url = f"{agent.path.address}:{await here.listener()}"
        await until(lambda: answer(session, url), "pod-1".__eq__)
        for turn in range(10):
            here.apply(traffic_policy("Locality" if turn % 2 == 0 else "ActiveActive"))
            async with asyncio.timeout(30):
                while (await answer(session, url) == "pod-1") is (turn % 2 == 0):  # noqa: ASYNC110
                    await asyncio.sleep(0)


async def test_a_service_without_ready_pods_is_stated(here: Here, kubeconfig: Path, tmp_path: Path) -> None:
    """On the ServiceExport, by one of two agents, until a pod is ready."""
    member, exports = here.plane.client(MEMBER), resources.service_exports(Dialect.FLOMESH)

    async def serving_is() -> tuple[str, str]:
        found = member.get(exports, "web", here.namespace).get("status", {}).get("conditions", [])
        return next(((c["status"], c["reason"]) for c in found if c["type"] == "Serving"), ("", ""))

    rule = {"portNumber": 80, "path": f"/{here.namespace}", "pathType": "Prefix"}
    here.apply(service(), service_export("web", {"rules": [rule]}))
    async with (
        node(MEMBER, kubeconfig, tmp_path / "a", "node-a") as first,
        node(MEMBER, kubeconfig, tmp_path / "b", "node-b") as second,
    ):
        await until(serving_is, ("False", "NoReadyPod").__eq__, patience=PATIENCE)
        here.apply(endpoint_slice("web-1", "web", "10.1.0.1"))
        await until(serving_is, ("True", "Serving").__eq__, patience=PATIENCE)
        written = 'towpath_net_writes_total{kind="ServiceExport",outcome="done"}'
        assert f"{written} 2.0" in await first.metrics()
        assert written not in await second.metrics()


async def test_a_gateway_that_does_not_answer_is_stated(
    here: Here, kubeconfig: Path, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """On the ServiceImport, until it answers again. The content of the import stays as it was."""
    member = here.plane.client(MEMBER)

    async def silent() -> list[str]:
        status = member.get(IMPORTS, "web", here.namespace).get("status", {})
        return [found["clusterKey"] for found in status.get("unanswered", [])]

    async with node(MEMBER, kubeconfig, tmp_path / "a", "node-a") as agent:
        here.apply(service(), service_import(here.far), traffic_policy("ActiveActive"))
        url = f"{agent.path.address}:{await here.listener()}"
        await until(lambda: answer(session, url), "pod-1".__eq__)
        generation = member.get(IMPORTS, "web", here.namespace)["metadata"]["generation"]
        await here.far.kill_envoy()
        await until(silent, [ck("cluster-1")].__eq__, patience=PATIENCE)
        await here.far.start_envoy()
        await until(silent, [].__eq__, patience=PATIENCE)
        assert member.get(IMPORTS, "web", here.namespace)["metadata"]["generation"] == generation
        member.delete(IMPORTS, "web", here.namespace)


def granted() -> set[Access]:
    """Return what the agent's roles allow. A name is that of the only object."""
    return {
        Access(verb, group, resource, *rule.get("resourceNames", ()))
        for obj in AGENT
        if obj["kind"] in {"ClusterRole", "Role"}
        for rule in obj["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


NAMES = {"web": Dialect.FLOMESH, "api": Dialect.MULTICLUSTER}


async def stated(here: Here, name: str, dialect: Dialect) -> list[object]:
    """Return what the statuses of an export and of an import state."""
    member = here.plane.client(MEMBER)
    exported = member.get(resources.service_exports(dialect), name, here.namespace)
    taken = member.get(resources.service_imports(dialect), name, here.namespace)
    return [exported.get("status", {}).get("conditions"), taken.get("status", {}).get("unanswered")]


async def test_it_may_do_what_it_does_and_nothing_else(
    here: Here, kubeconfig: Path, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """Through all of its work, from the start on, with the name that Karmada has given the member."""
    member = here.plane.client(MEMBER)
    brought = {"work.karmada.io/namespace": "karmada-es-paris"}
    member.annotate(resources.CONFIG_MAPS, "towpath-net-envoy", brought, SYSTEM)
    member.delete(resources.CONFIG_MAPS, SYSTEM_ROLE, SYSTEM)
    async with (
        recording(kubeconfig, tmp_path) as (through, seen),
        node("", through, tmp_path / "a", "node-a") as agent,
    ):
        gateway_url = f"{agent.path.address}:{agent.path.settings.gateway_port}"
        await until(lambda: answer(session, gateway_url), lambda got: "the gateway of paris" in got)
        for name, dialect in NAMES.items():
            silent = service_import(here.far, name)
            silent["spec"]["ports"][0]["endpoints"] = [gateway("cluster-1", loopback())]
            rule = {"portNumber": 80, "path": f"/{here.namespace}/{name}", "pathType": "Prefix"}
            made = (silent, traffic_policy("ActiveActive", name), service_export(name, {"rules": [rule]}))
            here.apply(service(name), *({**obj, "apiVersion": dialect.api_version} for obj in made))
            await here.listener(name)
            await until(partial(stated, here, name, dialect), all, patience=PATIENCE)
        member.delete(IMPORTS, "web", here.namespace)

        async def slices() -> set[str]:
            return member.names(resources.ENDPOINT_SLICES, here.namespace)

        await until(slices, lambda names: "towpath-web" not in names)
        anonymous = {
            access if access.name in {SYSTEM_ROLE, "towpath-net-envoy"} else access._replace(name="")
            for access in seen
        }
        assert anonymous == granted()
