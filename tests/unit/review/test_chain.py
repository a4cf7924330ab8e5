"""The chain of a service: for each broken set-up the first broken link, its cause, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.support.inventories import (
    GROUP,
    Object,
    annotated,
    binding,
    carry,
    claimed,
    cluster,
    clusters,
    export,
    exported,
    forget,
    key,
    knowing,
    metadata,
    propagation,
    rendered,
    service,
    tell,
)
from towpath.controller.service_export import ServiceExports
from towpath.derivation.chain import Link, LinkState, Step, of_cluster, verdict
from towpath.derivation.explanation import Explanation, standing
from towpath.inventory.inventory import Inventory
from towpath.inventory.take import take
from towpath.model.keys import Dialect, cluster_key
from towpath.model.times import seconds
from towpath.review.explanation import Explainer
from towpath.rules.gateway_route import RouteKind
from towpath.rules.late_cache import CATCHING_UP_SECONDS

NOW = 1_800_000_000.0
USER = propagation("user", {"apiVersion": GROUP, "kind": "ServiceExport", "name": "web"})
LOST = {"type": "Ready", "status": "False", "lastTransitionTime": "2027-01-15T07:59:00Z"}
STATED = "2027-01-15T07:30:00Z"
RETURNED = {**LOST, "status": "True"}
IMPORT = {
    "apiVersion": GROUP,
    "kind": "ServiceImport",
    "metadata": {**metadata("web"), "uid": "uid-of-ServiceImport"},
}
Break = Callable[[Inventory], None]


def settled() -> Inventory:
    """Return a fleet in which a and b export the service, and every member has its import."""
    inventory = knowing(*clusters("a", "b", "c"), USER, *exported("web", "a", "b"))
    carry(inventory)
    return inventory


def explained(inventory: Inventory, now: float = NOW, **options: Any) -> Explanation:
    explainer = Explainer(inventory, **options)
    found = explainer.explain(key(), now)
    assert found is not None
    assert explainer.standing(key(), now) == standing(found[0])
    return found[0]


def first(inventory: Inventory, now: float = NOW, **options: Any) -> Link:
    link = verdict(explained(inventory, now, **options).chain).first
    assert link is not None, "nothing is broken"
    return link


def says(*objects: Object) -> Break:
    return lambda inventory: tell(inventory, *objects)


def no_service(inventory: Inventory) -> None:
    forget(inventory, service())


def no_policy(inventory: Inventory) -> None:
    for obj in (export(), service()):
        plain = {**obj, "metadata": {**obj["metadata"], "annotations": {}}}
        forget(inventory, binding(plain))
        tell(inventory, plain)
    forget(inventory, USER)


def elsewhere(inventory: Inventory) -> None:
    """The policy sends the Service to c alone, and the export to a and b."""
    tell(inventory, binding(service(), "c"))


def refused(kind: str, message: str) -> Break:
    obj = service() if kind == "Service" else export()
    bound = binding(obj, "a", "b")
    bound["status"]["aggregatedStatus"][1] = {"clusterName": "b", "applied": False, "appliedMessage": message}
    return with_exporter_gone(says(bound))


def with_exporter_gone(change: Break) -> Break:
    """The cluster never had the objects: nothing derived before names it."""

    def apply(inventory: Inventory) -> None:
        forget(inventory, IMPORT)
        change(inventory)
        carry(inventory)

    return apply


def suspended() -> Object:
    bound = binding(export(), "a", "b")
    bound["spec"]["suspension"] = {"dispatchingOnClusters": {"clusterNames": ["b"]}}
    del bound["status"]["aggregatedStatus"][1]
    return bound


def gateway(text: str) -> Object:
    obj = cluster("b", text or "x")
    if not text:
        obj["metadata"]["annotations"] = {}
    return obj


def lost(name: str) -> Object:
    obj = cluster(name)
    return {**obj, "status": {**obj["status"], "conditions": [LOST]}}


def headless_in(name: str) -> Object:
    value = [{"path": "/spec/clusterIP", "operator": "add", "value": "None"}]
    return override({"apiVersion": "v1", "kind": "Service", "name": "web"}, name, {"plaintext": value})


def differing_in(name: str) -> Object:
    value = [{"path": "/spec/ports/0/appProtocol", "operator": "add", "value": "grpc"}]
    return override({"apiVersion": "v1", "kind": "Service", "name": "web"}, name, {"plaintext": value})


def override(selector: Object | None, name: str, overriders: Object) -> Object:
    rule = {"targetCluster": {"clusterNames": [name]}, "overriders": overriders}
    spec: Object = {"overrideRules": [rule]}
    if selector:
        spec["resourceSelectors"] = [selector]
    return {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "OverridePolicy",
        "metadata": metadata("mine"),
        "spec": spec,
    }


def breaks_import() -> Object:
    value = [{"path": "/spec/ports/0/port", "operator": "replace", "value": 81}]
    return override({"apiVersion": GROUP, "kind": "ServiceImport"}, "c", {"plaintext": value})


def rival(name: str, path: str, created: str) -> list[Object]:
    claim = {"path": path, "pathType": "Prefix", "since": created, "clusters": ["a", "b"]}
    return [
        *exported(name, "a", "b"),
        {**export(name, (80, path), created=created), "status": {"claims": [claim]}},
    ]


def cannot_write(message: str) -> Break:
    def apply(inventory: Inventory) -> None:
        bound = binding(IMPORT, "a", "b", "c")
        digests = explained_digests(inventory)
        bound["status"]["aggregatedStatus"] = [
            {"clusterName": name, "applied": True, "status": {"view": digests[name]}} for name in ("a", "b")
        ] + [{"clusterName": "c", "applied": False, "appliedMessage": message}]
        tell(inventory, bound)

    return apply


def explained_digests(inventory: Inventory) -> dict[str, str]:
    return dict(rendered(inventory).digests)


def claimed_by_another(inventory: Inventory) -> None:
    template = inventory.watched.imports[Dialect.FLOMESH].get("web", "shop")
    assert template is not None
    tell(inventory, claimed(template, propagation("all", kind="ClusterPropagationPolicy")))


def taken(inventory: Inventory) -> None:
    """A ServiceImport of another API group has the binding."""
    other = {**IMPORT, "apiVersion": "multicluster.x-k8s.io/v1alpha1"}
    tell(inventory, binding({**other, "metadata": {**metadata("web"), "uid": "other"}}, "a", "b", "c"))


def unbound(inventory: Inventory) -> None:
    tell(inventory, binding(IMPORT, "a", "b"))


def not_written(inventory: Inventory) -> None:
    """The plugin is down while another cluster begins to export."""
    made = export()
    tell(inventory, binding(made, "a", "b", "c"), binding(service(), "a", "b", "c"))


def foreign(inventory: Inventory) -> None:
    forget(inventory, IMPORT)
    tell(inventory, {**IMPORT, "spec": {"ports": []}})


def in_scope_of(*names: str) -> Object:
    targets = [cluster_key("default", "default", "default", name) for name in names]
    return claimed(export(targets=targets), propagation("user"))


SKIPPED = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": metadata("shop", "", labels={"namespace.karmada.io/skip-auto-propagation": "true"}),
}
OF_NAMESPACE: Object = {
    "apiVersion": "work.karmada.io/v1alpha2",
    "kind": "ClusterResourceBinding",
    "metadata": metadata("shop-namespace", ""),
    "spec": {"resource": {"apiVersion": "v1", "kind": "Namespace", "name": "shop"}},
    "status": {"aggregatedStatus": [{"clusterName": name, "applied": True} for name in ("a", "b")]},
}
PORT_TAKEN = 'Service "web" is invalid: spec.ports[0].nodePort: provided port is already allocated'
THERE = "resource (kind=Service, shop/web) already exists in the cluster"
EXPORT_THERE = "resource (kind=ServiceExport, shop/web) already exists in the cluster"
IMPORT_THERE = "resource (kind=ServiceImport, shop/web) already exists in the cluster"

BROKEN: dict[str, tuple[Break, Step, str, str, str]] = {
    "no Service": (no_service, Step.SERVICE, "", "NoService", "Create a Service"),
    "wrong rule port": (
        says(claimed(export("web", (81, "/web")), propagation("user"))),
        Step.EXPORTING,
        "a",
        "NoMatchingPort",
        "Set portNumber",
    ),
    "no policy": (no_policy, Step.SERVICE, "", "ServiceNotPropagated", "Create a PropagationPolicy"),
    "policy elsewhere": (elsewhere, Step.SERVICE, "", "ServiceNotPropagated", "correct its placement"),
    "member without CRD": (
        says(cluster("c", serves=())),
        Step.IMPORTING,
        "c",
        "NotServed",
        "Install its CRD",
    ),
    "member without the namespace": (
        says(SKIPPED, OF_NAMESPACE),
        Step.IMPORTING,
        "c",
        "NoNamespace",
        "Propagate it there",
    ),
    "override that breaks the import": (
        says(breaks_import()),
        Step.OVERRIDE,
        "",
        "ImportOverridden",
        "Add resourceSelectors",
    ),
    "binding collision": (taken, Step.BINDING, "", "ImportNameTaken", "Delete or rename one"),
    "NodePort taken": (
        refused("Service", PORT_TAKEN),
        Step.EXPORTING,
        "b",
        "ApplyFailed",
        "already allocated",
    ),
    "Service there before": (refused("Service", THERE), Step.EXPORTING, "b", "ApplyFailed", "kind=Service,"),
    "ServiceExport there before": (
        refused("ServiceExport", EXPORT_THERE),
        Step.EXPORTING,
        "b",
        "ApplyFailed",
        "kind=ServiceExport,",
    ),
    "suspended": (
        with_exporter_gone(says(suspended())),
        Step.EXPORTING,
        "b",
        "Suspended",
        "Remove the cluster from spec.suspension",
    ),
    "member down in its grace": (says(lost("a")), Step.EXPORTING, "a", "ExporterLost", "Restore"),
    "no gateway": (says(gateway("")), Step.EXPORTING, "b", "NoGateway", "towpath.io/gateway"),
    "gateway unresolved": (
        says(gateway("gw.example.com")),
        Step.EXPORTING,
        "b",
        "GatewayUnresolved",
        "Correct the name",
    ),
    "conflict": (says(headless_in("b")), Step.EXPORTING, "b", "TypeConflict", "Use one type"),
    "exporters that disagree": (
        says(differing_in("b")),
        Step.EXPORTING,
        "",
        "PortConflict",
        "Use the same ports",
    ),
    "path taken": (
        says(*rival("old", "/web", "2025-01-01T00:00:00Z")),
        Step.EXPORTING,
        "a",
        "PathClaimed",
        "Set another path",
    ),
    "claim of another policy": (
        claimed_by_another,
        Step.POLICY,
        "",
        "ClaimedElsewhere",
        "Exclude ServiceImports",
    ),
    "plugin down": (not_written, Step.IMPORT, "", "NotWritten", "towpath check"),
    "ErieCanal leftover": (
        cannot_write(IMPORT_THERE),
        Step.WORK,
        "c",
        "LeftInMember",
        "towpath.io/conflict-resolution",
    ),
    "ServiceImport of others in Karmada": (foreign, Step.IMPORT, "", "DerivedNameInUse", "Delete or rename"),
    "member that cannot be written to": (
        cannot_write("admission webhook denied it"),
        Step.WORK,
        "c",
        "NotApplied",
        "denied it",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_first_broken_link_names_cause_and_fix(name: str) -> None:
    change, step, where, reason, fix = BROKEN[name]
    inventory = settled()
    change(inventory)

    link = first(inventory)

    assert (link.state, link.step, link.cluster, link.reason) == (LinkState.BROKEN, step, where, reason)
    assert fix in link.text


LEFT_OUT: dict[str, tuple[Break, Step, str, str]] = {
    "drained": (says(annotated(cluster("b"), drain="true")), Step.EXPORTING, "b", "Drained"),
    "targetClusters": (says(in_scope_of("a", "b")), Step.IMPORTING, "c", "OutOfScope"),
    "export reaches a cluster without the Service": (
        says(binding(service(), "a")),
        Step.EXPORTING,
        "b",
        "ServiceNotBound",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_the_configuration_asks_for_is_in_sync(name: str) -> None:
    change, step, where, reason = LEFT_OUT[name]
    inventory = settled()
    change(inventory)
    carry(inventory)

    found = verdict(explained(inventory).chain)

    assert found.is_in_sync
    assert found.first is not None
    assert found.state is LinkState.LEFT_OUT
    assert (found.first.step, found.first.cluster, found.first.reason) == (step, where, reason)


def test_a_member_that_is_down_after_its_grace_is_withdrawn() -> None:
    inventory = settled()
    tell(inventory, lost("a"))
    link = first(inventory, NOW + 3600)
    assert (link.step, link.cluster, link.reason) == (Step.EXPORTING, "a", "Unreachable")
    assert link.since == "2027-01-15T07:59:00Z"


def test_a_service_that_is_everywhere_has_no_broken_link() -> None:
    chain = explained(settled()).chain
    assert verdict(chain) == (LinkState.OK, None)
    assert {link.step for link in chain} == set(Step) - {Step.NAME, Step.PODS, Step.GATEWAY, Step.ROUTE}


def telling(unready: dict[str, str], silent: dict[str, dict[str, str]], *, label: str = "net") -> Inventory:
    """Return the fleet with the data path, in which members report exporters that do not answer."""
    members = clusters("a", "b", "c")
    for obj in members:
        obj["metadata"]["labels"] = {"towpath.io/data-path": label}
    inventory = knowing(*members, USER, *exported("web", "a", "b"))
    pods = {
        name: {"conditions": [{"type": "Serving", "status": "False", "lastTransitionTime": since}]}
        for name, since in unready.items()
    }
    tell(inventory, binding(exported("web")[0], "a", "b", reported=pods))
    carry(inventory)
    digests = rendered(inventory).digests
    statuses: dict[str, Object] = {
        name: {
            "view": digest,
            "unanswered": [
                {"clusterKey": cluster_key("default", "default", "default", exporter), "since": since}
                for exporter, since in silent.get(name, {}).items()
            ],
        }
        for name, digest in digests.items()
    }
    tell(inventory, binding(IMPORT, *digests, reported=statuses))
    return inventory


@pytest.mark.parametrize(
    ("inventory", "link", "ready"),
    [
        (
            telling({"b": STATED}, {}),
            (Step.PODS, "b", "NoReadyPod", "the Service has no ready pod"),
            "b: The Service has no ready pod in the exporting cluster. ",
        ),
        (
            telling({}, {"c": {"a": STATED}, "b": {"a": STATED}}),
            (Step.GATEWAY, "a", "NoAnswer", "the gateway does not answer b, c"),
            "a (from b, c): The gateway of the exporting cluster does not answer. ",
        ),
    ],
    ids=["no ready pod", "no answer"],
)
def test_what_data_paths_report_is_named(inventory: Inventory, link: tuple[str, ...], ready: str) -> None:
    """By every way in which it is asked; and no endpoint is withdrawn for it."""
    found = first(inventory)
    assert (found.step, found.cluster, found.reason, found.subject) == link
    assert (found.state, found.since) == (LinkState.BROKEN, STATED)
    decided = ServiceExports()
    decided.decide(take(inventory, key(), NOW, idle=True))
    for condition in (explained(inventory).conditions[-1], decided.ready[key()]):
        assert (condition.status, condition.reason) == ("False", link[2])
        assert condition.message.startswith(ready)
    assert explained(inventory).exporters == explained(telling({}, {})).exporters
    assert rendered(inventory).digests == rendered(telling({}, {})).digests


def test_without_the_data_path_nothing_is_reported() -> None:
    """What was stated before it was taken out of a member stays there."""
    chain = explained(telling({"b": STATED}, {"c": {"a": STATED}}, label="none")).chain
    assert verdict(chain) == (LinkState.OK, None)


def with_data_path(*, applied: bool, message: str = "") -> Inventory:
    """Return the fleet where c has the data path, and its Service by the import; or not yet."""
    labelled = cluster("c")
    labelled["metadata"]["labels"] = {"towpath.io/data-path": "net"}
    inventory = knowing(*clusters("a", "b"), labelled, USER, *exported("web", "a", "b"))
    carry(inventory)
    bound = binding(exported("web")[1], "a", "b")
    requirer = {"namespace": "shop", "name": "web-serviceimport", "clusters": [{"name": "c"}]}
    bound["spec"]["requiredBy"] = [requirer]
    copy = {"clusterName": "c", "applied": applied, "appliedMessage": message, "health": "Healthy"}
    bound["status"]["aggregatedStatus"].append(copy)
    tell(inventory, bound)
    return inventory


@pytest.mark.parametrize(
    ("applied", "message", "state", "reason"),
    [
        (True, "", LinkState.OK, ""),
        (False, "", LinkState.PENDING, "ServiceOnItsWay"),
        (False, "port taken", LinkState.BROKEN, "ServiceNotApplied"),
    ],
)
def test_with_the_data_path_the_name_has_to_resolve(
    applied: bool, message: str, state: LinkState, reason: str
) -> None:
    chain = explained(with_data_path(applied=applied, message=message)).chain
    (link,) = [link for link in chain if link.step is Step.NAME]
    assert (link.cluster, link.state, link.reason) == ("c", state, reason)
    assert link.text.startswith(message)


@pytest.mark.parametrize(
    ("asked", "kinds", "state", "reason"),
    [
        ("HTTPRoute/infra/public", RouteKind, LinkState.PENDING, "RoutePending"),
        ("HTTPRoute/infra/public", [RouteKind.INGRESS], LinkState.BROKEN, "RouteNotServed"),
        ("public", RouteKind, LinkState.BROKEN, "RouteMalformed"),
    ],
)
def test_a_gateway_of_the_member_must_serve_the_route(
    asked: str, kinds: Iterable[RouteKind], state: LinkState, reason: str
) -> None:
    inventory = settled()
    tell(inventory, annotated(cluster("a", routes=kinds), **{"gateway-route": asked}))
    (link,) = [link for link in explained(inventory).chain if link.step is Step.ROUTE]
    assert (link.cluster, link.state, link.reason) == ("a", state, reason)
    assert first(inventory) == link


def test_a_late_member_is_pending_since_the_change() -> None:
    inventory = settled()
    digests = explained_digests(inventory)
    carry(inventory, {**digests, "c": "other"})
    link = first(inventory, pending_since=lambda _: NOW - 60)
    assert (link.state, link.step, link.cluster) == (LinkState.PENDING, Step.MEMBER, "c")
    assert seconds(link.since) == NOW - 60
    assert not verdict([link]).is_in_sync


@pytest.mark.parametrize(
    ("seconds_later", "step", "state", "reason"),
    [
        (CATCHING_UP_SECONDS - 1, Step.WORK, LinkState.PENDING, "CatchingUp"),
        (CATCHING_UP_SECONDS, Step.WORK, LinkState.BROKEN, "LeftInMember"),
    ],
)
def test_a_member_that_returns_is_pending(
    seconds_later: float, step: Step, state: LinkState, reason: str
) -> None:
    """Karmada tries to create what it does not know yet: nothing has to be removed there."""
    inventory, returned = settled(), cluster("c")
    since = seconds(RETURNED["lastTransitionTime"]) or 0.0
    tell(inventory, {**returned, "status": {**returned["status"], "conditions": [RETURNED]}})
    cannot_write('serviceimports.flomesh.io "web" already exists')(inventory)

    link = first(inventory, since + seconds_later)

    assert (link.step, link.cluster, link.state, link.reason) == (step, "c", state, reason)
    assert link.since == ("" if state is LinkState.BROKEN else RETURNED["lastTransitionTime"])
    found = Explainer(inventory).explain(key(), since + seconds_later)
    assert found is not None
    assert found[1] == (math.inf if state is LinkState.BROKEN else since + CATCHING_UP_SECONDS)


def test_a_cluster_that_karmada_has_not_bound_is_pending() -> None:
    inventory = settled()
    unbound(inventory)
    link = first(inventory)
    assert (link.state, link.step, link.reason) == (LinkState.PENDING, Step.BINDING, "NotBound")
    assert link.text.startswith("c: ")


def test_a_withheld_deletion_is_named() -> None:
    inventory = settled()
    link = first(inventory, withheld={key(): ""})
    assert (link.step, link.reason) == (Step.IMPORT, "WithdrawalWithheld")


def test_members_that_report_nothing_lack_the_interpreter() -> None:
    inventory = settled()
    inventory.reflecting = False
    link = first(inventory)
    assert (link.step, link.reason) == (Step.MEMBER, "NotReported")
    assert "towpath install" in link.text


def test_the_chain_of_one_cluster_leaves_out_the_others() -> None:
    inventory = settled()
    tell(inventory, gateway(""))
    links = of_cluster(explained(inventory).chain, "a")
    assert {link.cluster for link in links} == {"", "a"}


def test_a_broken_link_decides_before_a_pending_one() -> None:
    pending = Link(Step.EXPORTING, "x", LinkState.PENDING)
    broken = pending._replace(state=LinkState.BROKEN)
    assert verdict([pending, broken]).first == broken
