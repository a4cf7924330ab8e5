"""The findings on a change before it is stored, from an inventory as a real Karmada fills it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.inventories import (
    GROUP,
    Object,
    binding,
    claimed,
    cluster,
    clusters,
    export,
    exported,
    knowing,
    policy,
    propagation,
    service,
)
from tests.support.worlds import key_of
from towpath.model.keys import Dialect
from towpath.review import admission
from towpath.review.admission import Change, review
from towpath.rules.reasons import Advice, ExclusionReason, Finding

NOW = 1_800_000_000.0
SHOP = exported("web", "a", "b")


def changed(obj: Object | None, old: Object | None = None) -> Change:
    subject: Any = obj or old
    group = subject["apiVersion"].rpartition("/")[0]
    raw = [None if it is None else msgspec.json.encode(it) for it in (obj, old)]
    return Change(
        group, subject["kind"], subject["metadata"].get("namespace", ""), subject["metadata"]["name"], *raw
    )


def found(change: Change, *objects: Object) -> list[tuple[str, str]]:
    return [(finding.reason, finding.field) for finding in review(change, knowing(*objects), NOW)]


FLEET = clusters("a", "b", "c")
UNKNOWN = ("UnknownTargetCluster", "spec.targetClusters[1]")
PORTS = ("TargetPortDiffers", "spec.rules[0].portNumber")
NO_SERVICE = ("NoService", "metadata.name")
NO_PORT = ("RuleWithoutPort", "spec.rules[0].portNumber")
ROOT = ("RootPath", "spec.rules[0].path")
PATH = ("PathClaimed", "spec.rules[0].path")
OTHER_PORT = claimed(service("web", {"port": 80, "targetPort": 8080}), propagation("user"))
OLD = exported("old", "a", "b", created="2025-01-01T00:00:00Z")
YOUNG = exported("young", "a", "b", created="2027-06-01T00:00:00Z")


@pytest.mark.parametrize(
    ("obj", "others", "findings"),
    [
        pytest.param(export(), SHOP, [], id="nothing to say"),
        pytest.param(export(targets=(key_of("a"), "r/z/g/b")), SHOP, [UNKNOWN], id="no such key"),
        pytest.param(
            export(targets=(key_of("a"), "r/z/g/b")), [], [NO_SERVICE, UNKNOWN], id="before the Service"
        ),
        pytest.param(export("web", (90, "/")), SHOP, [NO_PORT], id="a port that the Service lacks"),
        pytest.param(
            export(), [OTHER_PORT, binding(OTHER_PORT, "a")], [PORTS], id="created where its Service is bound"
        ),
        pytest.param(export(), [OTHER_PORT], [], id="a Service that is bound nowhere"),
        pytest.param(export("web", (80, "/old")), [*SHOP, *OLD], [PATH], id="an older path"),
        pytest.param(
            export("web", (80, "old/")), [*SHOP, *OLD], [PATH], id="the same path otherwise written"
        ),
        pytest.param(export("web", (80, "/young")), [*SHOP, *YOUNG], [], id="a younger export's path"),
        pytest.param(
            export("web", (80, "/old"), created=""),
            [*SHOP[1:], *OLD],
            [PATH],
            id="what is new is the youngest",
        ),
        pytest.param(
            export("web", (80, "/old"), (81, "/a")),
            [*SHOP, *OLD],
            [PATH, ("RuleWithoutPort", "spec.rules[1].portNumber")],
            id="all at once",
        ),
        pytest.param(
            export("web", (80, "/a"), (81, "/old")),
            [*SHOP, *OLD],
            [("RuleWithoutPort", "spec.rules[1].portNumber")],
            id="a path for a port that the Service lacks",
        ),
        pytest.param(
            export(version=Dialect.MULTICLUSTER.api_version, created="2026-02-02T00:00:00Z"),
            SHOP,
            [("NameTaken", "metadata.name")],
            id="the other API group has the name",
        ),
        pytest.param(
            export(annotations={"towpath.io/drain": "nowhere", "towpath.io/when-unreachable": "what"}),
            SHOP,
            [("BadAnnotation", "metadata.annotations[towpath.io/drain]")],
            id="of annotations only what names members",
        ),
        pytest.param(export("web", (80, "/")), SHOP, [ROOT], id="what FSM does with it"),
        pytest.param(export(deletionTimestamp="2026-01-01T00:00:00Z"), SHOP, [], id="on its way out"),
    ],
)
def test_exports(obj: Object, others: list[Object], findings: list[tuple[str, str]]) -> None:
    assert found(changed(obj), *FLEET, *others) == findings


def test_paths_of_an_older_export_are_reported_once() -> None:
    inventory = knowing(*FLEET, *SHOP, *OLD)
    [finding] = review(changed(export("web", (80, "/old"))), inventory, NOW)
    assert finding == Finding(
        "PathClaimed",
        "spec.rules[0].path",
        f"spec.rules[0].path (/old of ServiceExport shop/old in a, b): {ExclusionReason.PATH_CLAIMED.text}",
    )


def test_a_warning_names_the_ports_and_the_key_that_exist() -> None:
    wrong = changed(export("web", (90, "/web"), targets=("r/z/g/b",)))
    port, key = review(wrong, knowing(*FLEET, *SHOP), NOW)
    assert port.text.startswith("spec.rules[0].portNumber (port 90, the Service has 80): ")
    assert key.text.startswith(f"spec.targetClusters[0] (r/z/g/b; the key of b is {key_of('b')}): ")


def test_an_export_without_a_service_names_the_service() -> None:
    (finding,) = review(changed(export("cart")), knowing(*FLEET), NOW)
    assert finding.text.startswith("metadata.name (Service shop/cart): ")


STRANGER = [
    {**obj, "metadata": {**obj["metadata"], "namespace": "bank"}}
    for obj in exported("old", "a", created="2025-01-01T00:00:00Z")
]
for bound in STRANGER[2:]:
    bound["spec"]["resource"]["namespace"] = "bank"


def refused(obj: Object, old: Object | None, *others: Object) -> list[str]:
    return [
        finding.field
        for finding in review(changed(obj, old), knowing(*FLEET, *others), NOW)
        if finding.is_error
    ]


@pytest.mark.parametrize(
    ("obj", "old", "there", "fields"),
    [
        pytest.param(export("web", (80, "/old")), None, STRANGER, ["spec.rules[0].path"], id="created"),
        pytest.param(export("web", (80, "/old")), export(), STRANGER, ["spec.rules[0].path"], id="edited"),
        pytest.param(export("web", (80, "/%6Fld")), export(), STRANGER, ["spec.rules[0].path"], id="encoded"),
        pytest.param(export("web", (80, "/old")), export("web", (80, "/old")), STRANGER, [], id="unchanged"),
        pytest.param(export("web", (80, "/new")), None, STRANGER, [], id="free"),
        pytest.param(export("web", (80, "/old")), None, OLD, [], id="of the same namespace"),
        pytest.param(
            export("web", (80, "/old")),
            None,
            [cluster("a", "127.0.0.1"), *STRANGER],
            [],
            id="claimed and not served",
        ),
    ],
)
def test_a_path_that_another_namespace_serves_is_refused(
    obj: Object, old: Object | None, there: list[Object], fields: list[str]
) -> None:
    assert refused(obj, old, *SHOP, *there) == fields


NESTED = ("PathNested", "spec.rules[0].path")


@pytest.mark.parametrize(
    ("path", "findings"),
    [
        pytest.param("/old/cart", [NESTED], id="below"),
        pytest.param("/", [ROOT, NESTED], id="above"),
        pytest.param("/older", [], id="beside"),
    ],
)
def test_a_path_above_or_below_another_namespaces_is_reported(
    path: str, findings: list[tuple[str, str]]
) -> None:
    assert found(changed(export("web", (80, path))), *FLEET, *SHOP, *STRANGER) == findings
    beside_its_own = found(changed(export("web", (80, path))), *FLEET, *SHOP, *OLD)
    assert beside_its_own == [finding for finding in findings if finding != NESTED]


def test_another_path_type_on_a_path_of_others_is_reported() -> None:
    """An exact match comes before a prefix."""
    exact = export("web", (80, "/old"))
    exact["spec"]["rules"][0]["pathType"] = "Exact"

    assert found(changed(exact), *FLEET, *SHOP, *STRANGER) == [NESTED]
    assert found(changed(exact), *FLEET, *SHOP, *OLD) == []


def test_a_nested_path_names_the_other_path_and_its_export() -> None:
    [finding] = review(changed(export("web", (80, "/old/cart"))), knowing(*FLEET, *SHOP, *STRANGER), NOW)
    assert finding.text.startswith(
        "spec.rules[0].path (/old/cart, below /old of ServiceExport bank/old in a): "
    )


def test_a_review_changes_nothing() -> None:
    inventory = knowing(*FLEET, *SHOP, *OLD)
    before = inventory.world.derived(inventory.world.services[next(iter(inventory.world.services))].key, NOW)
    change = changed(export("web", (80, "/old"), targets=["x"]))
    first = review(change, inventory, NOW)
    assert first
    assert review(change, inventory, NOW) == first
    assert inventory.world.derived(next(iter(inventory.world.services)), NOW) is before


SPREAD = propagation("spread", {"apiVersion": GROUP, "kind": "GlobalTrafficPolicy"})


def target(name: str, **more: object) -> Object:
    return {"clusterKey": name if "/" in name else key_of(name), **more}


@pytest.mark.parametrize(
    ("obj", "findings"),
    [
        (policy("web", "ActiveActive", target("a"), target("b")), []),
        (
            policy("web", "ActiveActive", target("x/y/z/a")),
            [("UnknownClusterKey", "spec.targets[0].clusterKey")],
        ),
        (policy("web", "ActiveActive", target("c")), [("TargetDoesNotExport", "spec.targets[0].clusterKey")]),
        (policy("nothing", "ActiveActive"), [("NotExported", "metadata.name")]),
        (
            policy("web", "ActiveActive", target("a", weight=10), target("far", weight=90)),
            [("UnequalGatewayPorts", "spec.targets")],
        ),
        # Weight 0, a target of Locality and a second entry are found in the object alone.
        (policy("web", "ActiveActive", target("a", weight=0), target("a")), []),
        (policy("web", "Locality", target("a")), []),
        (policy("web", "Locality", target("a"), target("b")), []),
    ],
)
def test_traffic_policies(obj: Object, findings: list[tuple[str, str]]) -> None:
    there = [*FLEET, cluster("far", "10.9.9.9:8080"), *exported("web", "a", "b", "far")]
    assert found(changed(obj), *there, SPREAD) == findings


def test_a_traffic_policy_without_policy_goes_to_importers() -> None:
    there = [*FLEET, *exported("web", "a", "b")]
    [warning] = review(changed(policy("web", "ActiveActive")), knowing(*there), NOW)
    assert (warning.reason, warning.field) == ("LocalTakesPart", "spec.lbType")
    assert warning.text.startswith("spec.lbType (a, b): ")
    assert found(changed(policy("web", "ActiveActive")), *there, SPREAD) == [], "nothing is exported yet"
    bound = binding(policy(), "b")
    [warning] = review(changed(policy("web", "ActiveActive")), knowing(*there, SPREAD, bound), NOW)
    assert warning.text.startswith("spec.lbType (b): ")


BY_NAME = {"apiVersion": GROUP, "kind": "ServiceExport", "name": "web"}
SERVICES = {"apiVersion": "v1", "kind": "Service"}
BY_LABEL = {**SERVICES, "labelSelector": {"matchLabels": {"app": "web"}}}
BOTH = propagation("httpbin", BY_NAME, SERVICES)
LEFT = ("FreezesService", "spec.resourceSelectors")


@pytest.mark.parametrize(
    ("new", "findings"),
    [
        pytest.param(BOTH, [], id="the same"),
        pytest.param(propagation("httpbin", SERVICES), [], id="the export follows its Service"),
        pytest.param(propagation("httpbin", BY_NAME), [LEFT], id="the Service is left"),
        pytest.param(propagation("httpbin", BY_NAME, BY_LABEL), [], id="selected by its label now"),
        pytest.param(propagation("httpbin", {**BY_NAME, "name": ""}, SERVICES), [], id="with all others"),
        pytest.param(None, [("FreezesService", "")], id="deleted"),
        pytest.param({**BOTH, "spec": {"resourceSelectors": 5}}, [], id="unreadable: Karmada refuses it"),
    ],
)
@pytest.mark.parametrize("kind", ["PropagationPolicy", "ClusterPropagationPolicy"])
def test_policies_that_leave_something_behind(
    new: Object | None, findings: list[tuple[str, str]], kind: str
) -> None:
    old = propagation("httpbin", BY_NAME, SERVICES, kind=kind)
    if new is not None:
        new = {**new, "kind": kind, "metadata": old["metadata"]}
    template, behind = (claimed(obj, old) for obj in (export(), service(labels={"app": "web"})))
    assert found(changed(new, old), template, behind) == findings


def test_a_template_left_behind_is_named() -> None:
    template, behind = claimed(export(), BOTH), claimed(service(), BOTH)
    [warning] = review(changed(propagation("httpbin"), BOTH), knowing(template, behind), NOW)
    assert warning.text == (f"spec.resourceSelectors (Service shop/web): {Advice.FREEZES.text}")


def test_large_policies_do_not_hold_up_the_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_MATCHES", 2)
    template, behind = claimed(export(), BOTH), claimed(service(), BOTH)
    for number, expected in ((2, [LEFT]), (3, [])):
        others = [{**SERVICES, "name": f"other-{n}"} for n in range(number)]
        assert found(changed(propagation("httpbin", *others), BOTH), template, behind) == expected


def test_a_template_of_another_policy_is_not_left_behind() -> None:
    other = propagation("other", BY_NAME)
    template, behind = claimed(export(), other), service()
    assert found(changed(None, BOTH), template, behind) == []
    lone = claimed(service("lone"), BOTH)  # it is not exported, so Towpath does not manage it
    assert found(changed(None, BOTH), template, behind, lone) == []


@pytest.mark.parametrize(
    "change",
    [
        Change("", "Pod", "shop", "web", b"{}"),
        Change("flomesh.io", "ServiceImport", "shop", "web", b"{}"),
        Change("flomesh.io", "ServiceExport", "shop", "web", b"{}"),
        Change("flomesh.io", "ServiceExport", "shop", "web", b"{"),
        Change("flomesh.io", "ServiceExport", "shop", "web", b"[" * 20_000),
        Change("flomesh.io", "ServiceExport", "shop", "web", None, msgspec.json.encode(export())),
        changed({**export(), "spec": {"rules": [{"portNumber": "x"}]}}),
        changed({**policy(), "spec": {"lbType": "Sideways"}}),
    ],
)
def test_objects_without_a_warning(change: Change) -> None:
    assert review(change, knowing(*FLEET, *SHOP), NOW) == ()
