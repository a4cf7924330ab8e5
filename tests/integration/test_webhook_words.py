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
from tests.e2e.shop import Shop, annotate
from tests.support.foreign import theirs
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local import processes, webhook
from towpath.local.spec import PLUGIN, WEBHOOK
from towpath.model.keys import Dialect
from towpath.model.ownership import OWN_OBJECTS
from towpath_webhook.http.dispatch import PLUGIN_UNAVAILABLE

CASES = Path(__file__).parent / "webhook_cases"
FOREIGN = "multicluster.flomesh.io"
UNASKED = ("--as=system:kube-controller-manager", "--as-group=system:masters")
"""A user for whom the apiserver skips the webhook, so that an object is stored unchecked."""
CLAIM = "propagationpolicy.karmada.io/permanent-id"
CLUSTER_SCOPED = {"Cluster"}
EXPORTS = resources.service_exports(Dialect.FLOMESH)


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


def written(objects: list[Any], namespace: str) -> str:
    """Return manifests as kubectl reads them, in the namespace of the test."""
    placed = []
    for obj in objects:
        meta = obj["metadata"]
        meta = meta if obj["kind"] in CLUSTER_SCOPED else {**meta, "namespace": namespace}
        placed.append({**obj, "metadata": meta})
    return "\n---\n".join(json.dumps(obj) for obj in placed)


def give(plane: Plane, objects: list[Any], namespace: str) -> None:
    """Create the objects that exist before; some refer to the uid of the export among them."""
    uid = ""
    for text in map(json.dumps, sorted(objects, key=lambda obj: "{uid}" in json.dumps(obj))):
        if "{uid}" in text:
            uid = uid or plane.client().get(EXPORTS, "web", namespace)["metadata"]["uid"]
        plane.client().create(json.loads(written([json.loads(text.replace("{uid}", uid))], namespace)))


def run(plane: Plane, case: Any, namespace: str) -> str:
    """Do what the case's user does, and return the output of kubectl."""
    stdin = written(case.get("do", []), namespace) or None
    scoped = [*case["kubectl"], f"--namespace={namespace}"]
    return plane.kubectl(*scoped, stdin=stdin, check=False).stderr


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("case", cases("alone.yaml"))
def test_word_for_word(plane: Plane, namespace: str, case: Any) -> None:
    give(plane, case.get("given", []), namespace)
    if before := case.get("before the webhook"):
        plane.kubectl("create", "-f-", *UNASKED, stdin=written(before, namespace))
    assert run(plane, case, namespace) == case["says"]


@pytest.fixture(scope="module")
def foreign(plane: Plane) -> Iterator[None]:
    """CRDs of another vendor in one of the API groups."""
    found = plane.client().list(resources.CRDS)
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
        plane.client().patch(resources.CRDS, name, patch)
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


async def test_nothing_of_it_is_in_the_way_of_karmada(plane: Plane, namespace: str, asked: None) -> None:
    """Claims, the garbage collector, and an administrator's deletion of a whole namespace."""
    derived = yaml.safe_load((CASES / "alone.yaml").read_text())[5]["given"]
    give(plane, [*derived, SHOP[2]], namespace)

    async def claimed() -> bool:
        return CLAIM in plane.client().get(EXPORTS, "web", namespace)["metadata"].get("labels", {})

    async def left() -> list[str]:
        imports = resources.service_imports(Dialect.FLOMESH)
        kinds = (imports, resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES)
        return [name for kind in kinds for name in plane.client().names(kind, namespace, OWN_OBJECTS)]

    await until(claimed, bool)
    assert len(await left()) == 3
    plane.kubectl("delete", "serviceexports.flomesh.io", "web", f"--namespace={namespace}")
    await until(left, lambda names: not names)

    give(plane, derived, namespace)
    plane.kubectl("delete", "namespace", namespace, "--timeout=60s")
    plane.create_namespace(namespace)


@pytest.fixture
async def shop(plane: Plane, lasting_plugin: Plugin, namespace: str) -> AsyncIterator[None]:
    """A service that cluster-1 exports, known to the plugin."""
    annotate(plane, "cluster-1", gateway="10.0.2.4:80")
    give(plane, SHOP, namespace)
    await until(Shop(plane, namespace).conditions, lambda seen: seen.get("Valid", {}).get("status") == "True")
    yield
    annotate(plane, "cluster-1", gateway=None)


@pytest.mark.usefixtures("asked", "shop")
@pytest.mark.parametrize("case", cases("with_plugin.yaml"))
async def test_word_for_word_with_the_plugin(plane: Plane, namespace: str, case: Any) -> None:
    give(plane, case.get("given", []), namespace)
    dry = [*case["kubectl"], "--dry-run=server"]

    def output() -> str:
        return run(plane, {**case, "kubectl": dry}, namespace)

    # The plugin may see a new object a moment later.
    expected = case["says"].replace("{namespace}", namespace)
    assert await until(lambda: asyncio.to_thread(output), lambda text: text == expected)


@pytest.mark.usefixtures("asked", "shop")
async def test_the_status_follows_what_members_report(plane: Plane, namespace: str) -> None:
    """Through both operations of the interpreter: health in the binding, conditions on the export."""

    async def export() -> str:
        found = await Shop(plane, namespace).conditions()
        return str(found.get("Valid", {}).get("reason"))

    async def health() -> str:
        binding = plane.client().get(resources.BINDINGS, "web-serviceexport", namespace)
        reported = binding.get("status", {}).get("aggregatedStatus") or [{}]
        return str(reported[0].get("health"))

    async def is_there() -> bool:
        return bool(plane.client("cluster-1").get(EXPORTS, "web", namespace))

    def report(status: str) -> None:
        conditions = [{**REPORTED, "status": status, "type": "Valid"}]
        reported = {"conditions": conditions}
        plane.client("cluster-1").merge(EXPORTS, "web", namespace, "status", status=reported)

    await until(is_there, bool)
    report("False")
    await until(health, lambda reason: reason == "Unhealthy")
    await until(export, lambda reason: reason == "RefusedInMember")
    report("True")
    await until(health, lambda reason: reason == "Healthy")
    await until(export, lambda reason: reason == "Valid")


async def test_without_the_webhook_or_the_plugin_the_rest_works(
    plane: Plane, namespace: str, karmada: Client, lasting_plugin: Plugin
) -> None:
    """Killed, not ended. Exports wait for its return, everything else goes on."""

    def export(path: str) -> str:
        spec = {"rules": [{"portNumber": 80, "path": path, "pathType": "Prefix"}]}
        return run(plane, {"kubectl": ["apply", "-f-"], "do": [{**SHOP[1], "spec": spec}]}, namespace)

    async def exported(right: Callable[[str], bool], path: str) -> str:
        return await until(lambda: asyncio.to_thread(export, path), right)

    async with registered(plane, karmada):
        # An apply that changes nothing is answered without the plugin, which may connect a moment later.
        await until(lambda: asyncio.to_thread(probed, plane), lambda output: NO_SERVICE in output)
        assert NO_SERVICE in await exported(lambda output: NO_SERVICE in output, "/a")

        kill(plane, WEBHOOK)
        assert "failed calling webhook" in export("/b"), "what could be wrong is not let in unseen"
        give(plane, [SHOP[0], SHOP[2]], namespace)
        client = plane.client()
        client.merge(resources.PROPAGATION_POLICIES, "web", namespace, spec={"priority": 7})
        client.label(EXPORTS, "web", {"team": "a"}, namespace)

        async def claimed() -> int:
            kinds = (resources.SERVICES, EXPORTS)
            return sum(len(client.list(kind, namespace, CLAIM)) for kind in kinds)

        await until(claimed, lambda number: number == 2)
        client.remove(resources.PROPAGATION_POLICIES, "web", namespace=namespace)

        await processes.start(plane.env, WEBHOOK)
        assert await exported(lambda output: output == "", "/b") == ""

        kill(plane, PLUGIN)
        output = await exported(lambda output: output != "", "/")
        assert output.rstrip() == f"Warning: {PLUGIN_UNAVAILABLE}"
        await lasting_plugin.start()
        await exported(lambda output: PLUGIN_UNAVAILABLE not in output, "/c")


def kill(plane: Plane, name: str) -> None:
    victim = processes.running(plane.env.root)[name]
    victim.kill()
    processes.end([victim])
