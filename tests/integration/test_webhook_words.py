"""What users of a real Karmada are told by the webhook, word for word, and whom it never hinders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Plane
from tests.foreign import theirs
from tests.waiting import until
from towpath.karmada.client import Client
from towpath.local import webhook

CASES = Path(__file__).parent / "webhook_cases"
FOREIGN = "multicluster.flomesh.io"
UNASKED = ("--as=before", "--as-group=system:masters", "--as-group=towpath")
"""Whom the apiserver does not ask about: so an object comes in as before there was a webhook."""
CLUSTER_SCOPED = {"Cluster"}


def cases(file: str) -> list[Any]:
    return [
        pytest.param(one, id=one["case"].replace(" ", "-"))
        for one in yaml.safe_load((CASES / file).read_text())
    ]


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
    """Tell whether the last webhook of the table is asked: a wrong import is refused by ours in its words."""
    probe = {
        "apiVersion": "flomesh.io/v1alpha1",
        "kind": "ServiceExport",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"rules": [{"portNumber": 80, "path": "/", "pathType": "Exact"}]},
    }
    said = plane.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(probe)).stderr
    return "pathType Exact never matches" in said


@pytest.fixture(scope="module")
def asked(plane: Plane) -> Any:
    """The webhook, for all tests of this module that change nothing about it."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[None]:
        connecting = Client.connect(plane.karmada, user_agent="towpath-tests")
        async with await connecting as karmada, registered(plane, karmada):
            yield

    runner = asyncio.Runner()
    context = connected()
    runner.run(context.__aenter__())
    yield
    runner.run(context.__aexit__(None, None, None))
    runner.close()


def written(objects: list[Any], namespace: str, uid: str = "") -> str:
    """Return manifests as kubectl reads them, in the namespace of the test."""
    placed = []
    for one in objects:
        meta = one["metadata"]
        meta = meta if one["kind"] in CLUSTER_SCOPED else {**meta, "namespace": namespace}
        placed.append({**one, "metadata": meta})
    return "\n---\n".join(json.dumps(one) for one in placed).replace("{uid}", uid)


def give(plane: Plane, objects: list[Any], namespace: str, *args: str) -> None:
    """Put in what is there already; what follows the first may refer to its uid."""
    for one in objects:
        place = [f"--namespace={namespace}", "--ignore-not-found", "-ojsonpath={.metadata.uid}"]
        uid = plane.kubectl("get", "serviceexports.flomesh.io", "web", *place).stdout
        plane.kubectl("create", "-f-", *args, stdin=written([one], namespace, uid))


def run(plane: Plane, case: Any, namespace: str) -> str:
    """Do what the case's user does, and return what kubectl says of it."""
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
    """CRDs of somebody else in one of the API groups."""
    found = json.loads(plane.kubectl("get", "crds", "-ojson").stdout)["items"]
    ours = {
        one["metadata"]["name"]: one["spec"]["versions"][0]["schema"]
        for one in found
        if one["spec"]["group"] == FOREIGN
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
    probes = written([{**head, **one} for one in wrong], "default")

    def refused_by_the_schema() -> int:
        said = plane.kubectl("create", "--dry-run=server", "-f-", *UNASKED, stdin=probes, check=False).stderr
        return sum("Invalid value" in line or "Required value" in line for line in said.splitlines())

    asyncio.run(
        until(lambda: asyncio.to_thread(refused_by_the_schema), lambda count: count == len(wrong) * strict)
    )


@pytest.mark.usefixtures("asked", "foreign")
@pytest.mark.parametrize("case", cases("foreign.yaml"))
def test_word_for_word_with_crds_of_others(plane: Plane, namespace: str, case: Any) -> None:
    test_word_for_word(plane, namespace, case)
