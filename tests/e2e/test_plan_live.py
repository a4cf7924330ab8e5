"""``towpath plan`` on top of a real Karmada: the changes of the plan are the changes that happen."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.cli import towpath
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.model.keys import Dialect

Planned = subprocess.CompletedProcess[str]
KINDS = ["OverridePolicy", "PropagationPolicy", "ServiceImport"]


@pytest.fixture(scope="module", autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.2.0"):
        yield


@pytest.fixture
async def shop(plane: Plane, plugin: Plugin, namespace: str, members: dict[str, Client]) -> Shop:
    """Export a service from cluster-1 and cluster-3, and wait for its imports."""
    shop = Shop(plane, namespace, dialect=Dialect.MULTICLUSTER)
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS)
    return shop


def planned(plane: Plane, *args: str | Path) -> Planned:
    return towpath("plan", "--all", "--kubeconfig", plane.karmada, *args)


def differing(diff: str, namespace: str) -> dict[str, list[str]]:
    """Return the changed lines of a namespace's objects, by kind: other tests may have left something."""
    found = {}
    for section in diff.split("--- live: ")[1:]:
        head, _, *lines = section.splitlines()
        kind, name = head.split()
        if name.startswith(f"{namespace}/"):
            found[kind] = [line for line in lines if line[0] in "+-"]
    return found


def of_namespace(plane: Plane, namespace: str, *args: str | Path) -> list[dict[str, Any]]:
    """Return a namespace's services as a plan has them."""
    done = planned(plane, "-o", "json", *args)
    assert done.returncode == 0, done.stderr
    return [service for service in json.loads(done.stdout)["services"] if service["namespace"] == namespace]


async def quiet(shop: Shop, *args: str | Path) -> None:
    """Wait until nothing of a shop would change: then nothing is printed, but for other tests' leftovers."""

    async def look() -> Planned:
        return planned(shop.plane, "-o", "diff", *args)

    done = await until(look, lambda seen: not differing(seen.stdout, shop.namespace), patience=60)
    assert done.returncode == (1 if done.stdout else 0), done.stderr


async def test_a_converged_service_does_not_change(shop: Shop, plane: Plane, tmp_path: Path) -> None:
    await quiet(shop)

    again = tmp_path / "again.yaml"
    again.write_text("---\n".join([shop.service(), shop.export(), shop.policy()]))
    await quiet(shop, "-f", again)
    assert f"\n{shop.namespace}/web (multicluster.flomesh.io)\n" in planned(plane, "-f", again).stdout


@pytest.mark.parametrize("case", ["another rule", "fewer clusters", "no port left"])
async def test_the_plan_predicts_the_result(case: str, shop: Shop, plane: Plane, tmp_path: Path) -> None:
    await quiet(shop)
    file, fewer = tmp_path / "change.yaml", Shop(plane, shop.namespace, ("cluster-3",), shop.dialect)
    two_ports = shop.service().replace("ports: [", "ports: [{name: admin, port: 81, protocol: TCP}, ")
    without_placement = ["OverridePolicy", "ServiceImport"]
    text, kinds, line = {
        "another rule": (
            "---\n".join([two_ports, shop.export(80, 81)]),
            without_placement,
            "+  - endpoints:",
        ),
        "fewer clusters": (fewer.policy(), KINDS, "-      - cluster-3"),
        "no port left": (shop.service(8080), KINDS[2:], "-kind: ServiceImport"),
    }[case]
    file.write_text(text)

    done = planned(plane, "-f", file, "-o", "diff")
    assert done.returncode == 1, done.stderr
    shown = differing(done.stdout, shop.namespace)
    assert sorted(shown) == kinds
    assert any(line in lines for lines in shown.values())
    predicted = of_namespace(plane, shop.namespace, "-f", file)

    shop.apply(text)

    async def decided() -> bool:
        return of_namespace(plane, shop.namespace) == predicted

    await until(decided, bool, patience=60)
    await quiet(shop)


async def test_without_a_live_object_everything_is_new(plane: Plane, namespace: str, tmp_path: Path) -> None:
    """Without the plugin nothing changes; only the plan shows the result."""
    shop = Shop(plane, namespace)
    file = tmp_path / "new.yaml"
    file.write_text("---\n".join([shop.service(), shop.export(), shop.policy()]))

    done = planned(plane, "-f", file, "-o", "diff")
    assert done.returncode == 1, done.stderr
    shown = differing(done.stdout, namespace)
    assert sorted(shown) == KINDS
    assert {line[0] for lines in shown.values() for line in lines} == {"+"}

    shop.apply(shop.service(), shop.export(), shop.policy())

    async def kinds() -> list[str]:
        return sorted(differing(planned(plane, "-o", "diff").stdout, namespace))

    await until(kinds, lambda seen: seen == KINDS)  # once Karmada has bound them


async def test_an_import_of_another_owner_is_reported(plane: Plane, namespace: str) -> None:
    shop = Shop(plane, namespace)
    theirs = f"""
apiVersion: flomesh.io/v1alpha1
kind: ServiceImport
metadata: {{name: web, namespace: {namespace}}}
spec: {{type: ClusterSetIP, ports: []}}
"""
    shop.apply(theirs, shop.service(), shop.export(), shop.policy())

    async def look() -> Planned:
        return planned(plane, "-o", "diff")

    note = f"note: ServiceImport {namespace}/web (flomesh.io): Not created by Towpath"
    done = await until(look, lambda seen: note in seen.stderr)
    assert not differing(done.stdout, namespace)


def test_a_user_without_read_permission_is_reported(plane: Plane, tmp_path: Path) -> None:
    config = tmp_path / "nobody.config"
    config.write_text(plane.karmada.read_text().replace("client-certificate-data", "ignored-data"))
    done = towpath("plan", "-o", "diff", "--kubeconfig", config)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
