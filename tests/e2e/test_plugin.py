"""The plugin on a real Karmada: whatever changes, in any order, the members hold what follows from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Plane, Plugin
from tests.e2e.shop import Endpoints, Shop, annotate, gateways
from tests.support.audit import PLUGIN_USER
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.local import processes
from towpath.model.keys import Dialect

ONE, TWO, THREE = (f"cluster-{n}@10.1.0.{n}:80" for n in (1, 2, 3))
IMPORTED: dict[str, Endpoints] = {
    "cluster-1": {80: [f"{THREE}/web-80"]},
    "cluster-2": {80: [f"{ONE}/web-80", f"{THREE}/web-80"]},
    "cluster-3": {80: [f"{ONE}/web-80"]},
}


DERIVED = {"serviceimports", "overridepolicies", "propagationpolicies"}


@pytest.fixture(scope="module", autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.1.0"):
        yield


@pytest.fixture(params=list(Dialect), ids=lambda dialect: dialect.value)
async def shop(
    request: pytest.FixtureRequest,
    plane: Plane,
    lasting_plugin: Plugin,
    namespace: str,
    members: dict[str, Client],
) -> Shop:
    """Export a service from cluster-1 and cluster-3, in each dialect, and wait for its imports."""
    shop = Shop(plane, namespace, dialect=request.param)
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: seen == IMPORTED)
    return shop


async def test_a_service_port_that_changes_takes_its_rule_with_it(
    shop: Shop, members: dict[str, Client]
) -> None:
    shop.apply(shop.service(8080))
    await until(lambda: shop.seen(members), lambda seen: not seen)

    shop.apply(shop.export(8080))
    await until(
        lambda: shop.seen(members),
        lambda seen: seen.get("cluster-2") == {8080: [f"{ONE}/web-8080", f"{THREE}/web-8080"]},
    )


async def test_a_deleted_service_is_withdrawn_and_imported_again(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    shop.remove(resources.SERVICES)
    await until(lambda: shop.seen(members), lambda seen: not seen)

    shop.apply(shop.service())
    await until(lambda: shop.seen(members), lambda seen: seen == IMPORTED)


async def test_the_order_of_arrival_does_not_matter(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    shop = Shop(plane, namespace)

    async def bound() -> set[str]:
        return plane.client().names(resources.BINDINGS, namespace)

    shop.apply(shop.export())
    await until(shop.conditions, bool)  # the plugin has seen it alone
    shop.apply(shop.policy())
    await until(bound, bool)
    shop.apply(shop.service())

    await until(lambda: shop.seen(members), lambda seen: seen == IMPORTED)


async def test_a_cluster_that_stops_exporting_is_taken_out_everywhere(
    shop: Shop, members: dict[str, Client]
) -> None:
    fewer = Shop(shop.plane, shop.namespace, ("cluster-3",), shop.dialect)

    fewer.apply(fewer.policy())

    await until(
        lambda: shop.seen(members),
        lambda seen: seen == {m: {80: [f"{THREE}/web-80"]} for m in ("cluster-1", "cluster-2")},
    )


async def test_a_gateway_that_moves_is_followed(shop: Shop, plane: Plane, members: dict[str, Client]) -> None:
    annotate(plane, "cluster-1", gateway="10.1.0.99:8080")
    try:
        await until(
            lambda: shop.seen(members),
            lambda seen: seen.get("cluster-3") == {80: ["cluster-1@10.1.0.99:8080/web-80"]},
        )
    finally:
        annotate(plane, "cluster-1", gateway="10.1.0.1")


@pytest.mark.parametrize("kind", [resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES], ids=str)
async def test_an_edited_or_deleted_derived_policy_is_restored(
    shop: Shop, plane: Plane, kind: Resource
) -> None:
    """Judged by the policy alone.

    A policy that goes and comes back within milliseconds can leave a Work without its override for ever:
    Karmada compares what it is to write with a cache that has not seen its own last write yet
    (ctrlutil/work.go, CreateOrUpdate on a cached client), finds them equal and writes nothing.
    """
    name, client = "towpath-import-web", plane.client()

    async def look() -> tuple[str, Object]:
        found = client.get(kind, name, shop.namespace)
        return found.get("metadata", {}).get("uid", ""), found.get("spec", {})

    made, right = await look()
    edit: Object = (
        {"priority": 1}
        if kind == resources.PROPAGATION_POLICIES
        else {"overrideRules": right["overrideRules"][1:]}
    )
    client.merge(kind, name, shop.namespace, spec=edit)
    await until(look, lambda seen: seen == (made, right))

    shop.delete(kind, name)
    await until(look, lambda seen: seen[0] != made and seen[1] == right)


async def test_an_import_written_by_hand_is_left_alone(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    shop, other = Shop(plane, namespace), "theirs"
    shop.apply(
        f"""
apiVersion: flomesh.io/v1alpha1
kind: ServiceImport
metadata: {{name: web, namespace: {namespace}, labels: {{made: {other}}}}}
spec: {{type: ClusterSetIP, ports: []}}
"""
    )
    shop.apply(shop.service(), shop.export(), shop.policy())

    async def refused() -> bool:
        return f"{namespace}/web" in processes.tail(plane.env.log("towpath-plugin"), 50)

    await until(refused, bool)
    kept = plane.client().get(resources.service_imports(shop.dialect), "web", namespace)
    assert kept["spec"]["ports"] == []
    written = plane.audit.writes(user=PLUGIN_USER, namespace=namespace)
    assert {(w.resource, w.subresource) for w in written} <= {("serviceexports", "status")}


async def test_of_two_dialects_that_claim_one_name_the_older_keeps_it(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    (late,) = set(Dialect) - {shop.dialect}
    newcomer = Shop(plane, shop.namespace, dialect=late)
    before = plane.audit.writes(user=PLUGIN_USER, namespace=shop.namespace)

    def created(shop: Shop) -> str:
        return str(plane.client().get(shop.exports, "web", shop.namespace)["metadata"]["creationTimestamp"])

    newcomer.apply(newcomer.export())
    while created(newcomer) == created(shop):  # timestamps are whole seconds
        newcomer.remove(newcomer.exports)
        newcomer.apply(newcomer.export())
    probe = Shop(plane, shop.namespace, dialect=shop.dialect)
    probe.apply(probe.service(8080), probe.export(8080))

    await until(lambda: shop.seen(members), lambda seen: 8080 in seen.get("cluster-2", {}))
    assert not await newcomer.seen(members)
    after = plane.audit.writes(user=PLUGIN_USER, namespace=shop.namespace)[len(before) :]
    assert {w.resource for w in after if not w.subresource} <= DERIVED


async def test_an_apiserver_that_goes_away_is_waited_for(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    first = Shop(plane, namespace)
    first.apply(first.service(), first.export(), first.policy())
    await until(lambda: first.seen(members), lambda seen: seen == IMPORTED)
    written = plane.audit.writes(user=PLUGIN_USER)
    pid = processes.running(plane.env.root)["towpath-plugin"].pid

    processes.end([processes.running(plane.env.root)["karmada-apiserver"]])
    await processes.start(plane.env, "karmada-apiserver")

    # Not a change that deletes the import: a garbage collector whose watch was cut misses that a template
    # was deleted and made anew, and then its binding stays with the old one's uid for ever.
    fewer = Shop(plane, namespace, ("cluster-3",))
    fewer.apply(fewer.policy())
    withdrawn = {m: {80: [f"{THREE}/web-80"]} for m in ("cluster-1", "cluster-2")}
    await until(lambda: first.seen(members), lambda seen: seen == withdrawn, patience=60)
    assert processes.running(plane.env.root)["towpath-plugin"].pid == pid
    later = plane.audit.writes(user=PLUGIN_USER)[len(written) :]
    assert {w.namespace for w in later if w.verb == "patch" and not w.subresource} == {namespace}, later


async def test_a_drained_cluster_is_taken_out_and_comes_back(
    shop: Shop, plane: Plane, members: dict[str, Client]
) -> None:
    drained = {m: {80: [f"{THREE}/web-80"]} for m in ("cluster-1", "cluster-2")}

    shop.annotate(drain="cluster-1")
    await until(lambda: shop.seen(members), lambda seen: seen == drained)
    shop.annotate(drain=None)
    await until(lambda: shop.seen(members), lambda seen: seen == IMPORTED)

    annotate(plane, "cluster-1", drain="true")
    try:
        await until(lambda: shop.seen(members), lambda seen: seen == drained)
    finally:
        annotate(plane, "cluster-1", drain=None)
    await until(lambda: shop.seen(members), lambda seen: seen == IMPORTED)


async def test_a_contested_path_moves_when_the_older_claim_ends(
    shop: Shop, plane: Plane, namespace: str, members: dict[str, Client]
) -> None:
    plane.create_namespace(f"{namespace}-b")
    other = Shop(plane, f"{namespace}-b", dialect=shop.dialect, claimed=f"/{namespace}")
    other.apply(other.service(), other.export(), other.policy())

    async def refused() -> bool:
        return f"{namespace}-b/web" in processes.tail(plane.env.log("towpath-plugin"), 50)

    try:
        await until(refused, bool)
        assert not await other.seen(members)
        shop.remove(shop.exports)
        await until(lambda: other.seen(members), lambda seen: seen == IMPORTED)
    finally:
        plane.delete_namespace(f"{namespace}-b")
