"""The exact answers of the webhook to users of a real Karmada, and the users it never blocks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Plane, Plugin
from tests.support.foreign import theirs
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.local import processes, webhook
from towpath.local.spec import PLUGIN, WEBHOOK
from towpath_webhook.http.dispatch import PLUGIN_UNAVAILABLE

CASES = Path(__file__).parent / "webhook_cases"
FOREIGN = "multicluster.flomesh.io"
UNASKED = ("--as=system:kube-controller-manager", "--as-group=system:masters")
"""A user for whom the apiserver skips the webhook, so that an object is stored unchecked."""
CLAIM = "propagationpolicy.karmada.io/permanent-id"
CLUSTER_SCOPED = {"Cluster"}


def cases(file: str) -> list[Any]:
    return [
        pytest.param(case, id=case["case"].replace(" ", "-"))
        for case in yaml.safe_load((CASES / file).read_text())
    ]


NO_SERVICE = "The Service does not exist."


@asynccontextmanager
async def registered(plane: Plane, karmada: Client) -> AsyncIterator[None]:
    """Run the webhook and have it asked; the apiserver looks for new configurations in the background."""
    await webhook.start(plane.env, karmada)
    try:
        await until(lambda: asyncio.to_thread(is_asked, plane), bool)
        yield
    finally:
        await webhook.stop(plane.env, karmada)


def is_asked(plane: Plane) -> bool:
    """Return whether the webhook is called and trusts its caller: it adds the warnings of the plugin.

    It reads the token of a new registration within ten seconds.
    """
    output = probed(plane)
    added = PLUGIN_UNAVAILABLE in output or NO_SERVICE in output
    return added and "so Exact never matches" in output


def probed(plane: Plane) -> str:
    """Return the warnings about an export that is wrong in itself, and that has no Service."""
    probe = {
        "apiVersion": "flomesh.io/v1alpha1",
        "kind": "ServiceExport",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"rules": [{"portNumber": 80, "path": "/", "pathType": "Exact"}]},
    }
    return plane.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(probe)).stderr


@pytest.fixture(scope="module")
def asked(plane: Plane) -> Any:
    """The webhook, for all tests of this module that change nothing about it."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[None]:
        connecting = Client.connect(plane.karmada, user_agent="towpath-tests")
        async with await connecting as karmada, registered(plane, karmada):
            yield

    with asyncio.Runner() as runner:
        context = connected()
        runner.run(context.__aenter__())
        yield
        runner.run(context.__aexit__(None, None, None))


def written(objects: list[Any], namespace: str, uid: str = "") -> str:
    """Return manifests as kubectl reads them, in the namespace of the test."""
    placed = []
    for obj in objects:
        meta = obj["metadata"]
        meta = meta if obj["kind"] in CLUSTER_SCOPED else {**meta, "namespace": namespace}
        placed.append({**obj, "metadata": meta})
    return "\n---\n".join(json.dumps(obj) for obj in placed).replace("{uid}", uid)


def give(plane: Plane, objects: list[Any], namespace: str, *args: str) -> None:
    """Create the objects that exist before; some refer to the uid of the export among them."""
    later = [obj for obj in objects if "{uid}" in json.dumps(obj)]
    first = [obj for obj in objects if obj not in later]
    if first:
        plane.kubectl("create", "-f-", *args, stdin=written(first, namespace))
    if later:
        path = [f"--namespace={namespace}", "-ojsonpath={.metadata.uid}"]
        uid = plane.kubectl("get", "serviceexports.flomesh.io", "web", *path).stdout
        plane.kubectl("create", "-f-", *args, stdin=written(later, namespace, uid))


def run(plane: Plane, case: Any, namespace: str) -> str:
    """Do what the case's user does, and return the output of kubectl."""
    stdin = written(case.get("do", []), namespace) or None
    scoped = [*case["kubectl"], f"--namespace={namespace}"]
    return plane.kubectl(*scoped, stdin=stdin, check=False).stderr


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("case", cases("alone.yaml"))
def test_word_for_word(plane: Plane, namespace: str, case: Any) -> None:
    give(plane, case.get("given", []), namespace)
    give(plane, case.get("before the webhook", []), namespace, *UNASKED)
    assert run(plane, case, namespace) == case["says"]


@pytest.fixture(scope="module")
def foreign(plane: Plane) -> Iterator[None]:
    """CRDs of another vendor in one of the API groups."""
    found = json.loads(plane.kubectl("get", "crds", "-ojson").stdout)["items"]
    ours = {
        crd["metadata"]["name"]: crd["spec"]["versions"][0]["schema"]
        for crd in found
        if crd["spec"]["group"] == FOREIGN
    }
    put(plane, {name: theirs(schema) for name, schema in ours.items()}, strict=False)
    yield
    put(plane, ours, strict=True)


def put(plane: Plane, schemas: dict[str, Any], *, strict: bool) -> None:
    """Replace the schemas of CRDs, and wait until the apiserver goes by them."""
    for name, schema in schemas.items():
        patch = [{"op": "replace", "path": "/spec/versions/0/schema", "value": schema}]
        plane.kubectl("patch", "crd", name, "--type=json", "-p", json.dumps(patch))
    wrong = [
        {"kind": "ServiceExport", "spec": {"rules": [{"portNumber": 80, "path": "x", "pathType": "Prefix"}]}},
        {"kind": "ServiceImport", "spec": {"ports": [{"port": 0, "endpoints": []}]}},
        {"kind": "GlobalTrafficPolicy", "spec": {"lbType": "FailOver"}},
        {"kind": "Cluster", "spec": {"region": "a/b"}},
    ]
    head = {"apiVersion": f"{FOREIGN}/v1alpha1", "metadata": {"name": "probe"}}
    probes = written([{**head, **spec} for spec in wrong], "default")

    def refused_by_the_schema() -> int:
        output = plane.kubectl(
            "create", "--dry-run=server", "-f-", *UNASKED, stdin=probes, check=False
        ).stderr
        return sum("Invalid value" in line or "Required value" in line for line in output.splitlines())

    asyncio.run(
        until(lambda: asyncio.to_thread(refused_by_the_schema), lambda count: count == len(wrong) * strict)
    )


@pytest.mark.usefixtures("asked", "foreign")
@pytest.mark.parametrize("case", cases("foreign.yaml"))
def test_word_for_word_with_crds_of_others(plane: Plane, namespace: str, case: Any) -> None:
    test_word_for_word(plane, namespace, case)


REPORTED = {"reason": "Seen", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
SHOP: list[Any] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
    },
    {
        "apiVersion": "flomesh.io/v1alpha1",
        "kind": "ServiceExport",
        "metadata": {"name": "web"},
        "spec": {"rules": [{"portNumber": 80, "path": "/web", "pathType": "Prefix"}]},
    },
    {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {"name": "web"},
        "spec": {
            "resourceSelectors": [
                {"apiVersion": "v1", "kind": "Service", "name": "web"},
                {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "name": "web"},
            ],
            "placement": {"clusterAffinity": {"clusterNames": ["cluster-1"]}},
        },
    },
]


@pytest.fixture
async def shop(plane: Plane, plugin: Plugin, namespace: str) -> AsyncIterator[None]:
    """A service that cluster-1 exports, known to the plugin."""
    gateway = "towpath.io/gateway=10.0.2.4:80"
    plane.kubectl("annotate", "clusters.cluster.karmada.io", "cluster-1", gateway)
    give(plane, SHOP, namespace)

    def valid() -> str:
        place = [f"--namespace={namespace}", "-ojsonpath={.status.conditions[?(@.type=='Valid')].status}"]
        return plane.kubectl("get", "serviceexports.flomesh.io", "web", *place).stdout

    await until(lambda: asyncio.to_thread(valid), lambda status: status == "True")
    yield
    plane.kubectl("annotate", "clusters.cluster.karmada.io", "cluster-1", "towpath.io/gateway-")


@pytest.mark.usefixtures("asked", "shop")
@pytest.mark.parametrize("case", cases("with_plugin.yaml"))
async def test_word_for_word_with_the_plugin(plane: Plane, namespace: str, case: Any) -> None:
    give(plane, case.get("given", []), namespace)
    dry = [*case["kubectl"], "--dry-run=server"]

    def output() -> str:
        return run(plane, {**case, "kubectl": dry}, namespace)

    # The plugin may see a new object a moment later.
    expected = case["says"].replace("{namespace}", namespace)
    assert await until(lambda: asyncio.to_thread(output), lambda text: text == expected, patience=10)


@pytest.mark.usefixtures("asked", "shop")
async def test_the_status_follows_what_members_report(plane: Plane, namespace: str) -> None:
    """Through both operations of the interpreter: health in the binding, conditions on the export."""
    scoped = f"--namespace={namespace}"

    def export() -> str:
        path = "-ojsonpath={.status.conditions[?(@.type=='Valid')].reason}"
        return plane.kubectl("get", "serviceexports.flomesh.io", "web", scoped, path).stdout

    def health() -> str:
        path = "-ojsonpath={.status.aggregatedStatus[0].health}"
        return plane.kubectl("get", "resourcebindings", "web-serviceexport", scoped, path).stdout

    def report(status: str) -> bool:
        condition = {**REPORTED, "status": status, "type": "Valid"}
        patch = [
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps({"status": {"conditions": [condition]}}),
        ]
        args = ["patch", "serviceexports.flomesh.io", "web", scoped, *patch]
        return plane.kubectl(*args, member="cluster-1", check=False).returncode == 0

    await until(lambda: asyncio.to_thread(report, "False"), bool)
    await until(lambda: asyncio.to_thread(health), lambda reason: reason == "Unhealthy")
    await until(lambda: asyncio.to_thread(export), lambda reason: reason == "RefusedInMember")
    assert report("True")
    await until(lambda: asyncio.to_thread(health), lambda reason: reason == "Healthy")
    await until(lambda: asyncio.to_thread(export), lambda reason: reason == "Valid")


def test_nothing_of_it_is_in_the_way_of_karmada(plane: Plane, namespace: str, asked: None) -> None:
    """Claims, the garbage collector, and an administrator's deletion of a whole namespace."""
    derived = yaml.safe_load((CASES / "alone.yaml").read_text())[5]["given"]
    give(plane, [*derived, SHOP[2]], namespace)

    def export() -> Any:
        scoped = [f"--namespace={namespace}", "--ignore-not-found", "-ojson"]
        return json.loads(plane.kubectl("get", "serviceexports.flomesh.io", "web", *scoped).stdout or "{}")

    def left() -> str:
        kinds = "serviceimports.flomesh.io,propagationpolicies,overridepolicies"
        scoped = [f"--namespace={namespace}", "-l", "app.kubernetes.io/managed-by=towpath", "-oname"]
        return plane.kubectl("get", kinds, *scoped).stdout

    waited(export, lambda obj: CLAIM in obj["metadata"].get("labels", {}))
    assert len(left().splitlines()) == 3
    plane.kubectl("delete", "serviceexports.flomesh.io", "web", f"--namespace={namespace}")
    waited(left, lambda names: names == "")

    give(plane, derived, namespace)
    plane.kubectl("delete", "namespace", namespace, "--timeout=60s")
    plane.kubectl("create", "namespace", namespace)


def waited(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    return asyncio.run(until(lambda: asyncio.to_thread(look), good))


async def test_without_the_webhook_or_the_plugin_the_rest_works(
    plane: Plane, namespace: str, karmada: Client, plugin: Plugin
) -> None:
    """Killed, not ended. Exports wait for its return, everything else goes on."""
    scoped = f"--namespace={namespace}"

    def export(path: str) -> str:
        spec = {"rules": [{"portNumber": 80, "path": path, "pathType": "Prefix"}]}
        return run(plane, {"kubectl": ["apply", "-f-"], "do": [{**SHOP[1], "spec": spec}]}, namespace)

    async def exported(right: Callable[[str], bool], path: str) -> str:
        return await until(lambda: asyncio.to_thread(export, path), right, patience=15)

    async with registered(plane, karmada):
        # An apply that changes nothing is answered without the plugin, which may connect a moment later.
        await until(lambda: asyncio.to_thread(probed, plane), lambda output: NO_SERVICE in output)
        assert NO_SERVICE in await exported(lambda output: NO_SERVICE in output, "/a")

        kill(plane, WEBHOOK)
        assert "failed calling webhook" in export("/b"), "what could be wrong is not let in unseen"
        give(plane, [SHOP[0], SHOP[2]], namespace)
        patch = '{"spec": {"priority": 7}}'
        plane.kubectl("patch", "propagationpolicy", "web", scoped, "--type=merge", "-p", patch)
        plane.kubectl("label", "serviceexports.flomesh.io", "web", scoped, "team=a")

        def claims() -> str:
            kinds = "services,serviceexports.flomesh.io"
            return plane.kubectl("get", kinds, scoped, "-l", CLAIM, "-oname").stdout

        await until(lambda: asyncio.to_thread(claims), lambda names: len(names.splitlines()) == 2)
        plane.kubectl("delete", "propagationpolicy", "web", scoped)

        await processes.start(plane.env, WEBHOOK)
        assert await exported(lambda output: output == "", "/b") == ""

        kill(plane, PLUGIN)
        output = await exported(lambda output: output != "", "/")
        assert output.rstrip() == f"Warning: {PLUGIN_UNAVAILABLE}"
        await plugin.start()
        await exported(lambda output: PLUGIN_UNAVAILABLE not in output, "/c")


def kill(plane: Plane, name: str) -> None:
    victim = processes.running(plane.env.root)[name]
    victim.kill()
    processes.end([victim])
