"""What each cluster offers live: templates where they are bound, after the user's overrides."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from tests.support import inventories as stored
from towpath.inventory.offers import Offered, offers_of
from towpath.karmada import decode
from towpath.karmada.decode import Binding, Copies
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import Absence, Offer
from towpath.propagation.policies import OverridePolicy, Target, read_override

KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")
TARGETS = {name: Target(name, {"tier": "edge"} if name == "b" else {}) for name in "abc"}


def override(path: str, value: object, *, kind: str = "Service", **target: Any) -> OverridePolicy:
    version = "v1" if kind == "Service" else Dialect.FLOMESH.api_version
    change = {"operator": "replace", "path": path, "value": value}
    return read_override(
        {
            "kind": "OverridePolicy",
            "metadata": {"name": "o", "namespace": "shop"},
            "spec": {
                "resourceSelectors": [{"apiVersion": version, "kind": kind, "name": "web"}],
                "overrideRules": [{"targetCluster": target, "overriders": {"plaintext": [change]}}],
            },
        }
    )


Found = tuple[dict[str, Offer], tuple[str, ...]]


def offers(*overrides: OverridePolicy, refused: dict[str, str] | None = None) -> Found:
    export = decode.service_export(msgspec.json.encode(stored.export()))
    service = decode.service(msgspec.json.encode(stored.service()))
    assert export is not None
    every = frozenset("abc")
    copies = Copies(refused=refused or {}, applied=every)
    bound = Binding(KEY.dialect.api_version, "ServiceExport", export.uid, every, copies)
    serving = Binding("v1", "Service", service.uid, frozenset("ab"), Copies(applied=frozenset("ab")))
    offered = offers_of(KEY, export, bound, service, serving, overrides, TARGETS)
    return offered.offers, offered.faults


def paths(offered: dict[str, Offer]) -> dict[str, str]:
    return {name: offer.export.rules[0].path for name, offer in sorted(offered.items())}


def ports(offered: dict[str, Offer]) -> dict[str, int | None]:
    return {n: o.service.ports[0].port if o.service else None for n, o in sorted(offered.items())}


def test_without_overrides_all_that_have_both_share_one_offer() -> None:
    found, faults = offers()

    assert ports(found) == {"a": 80, "b": 80, "c": None}
    assert found["a"] is found["b"]
    assert faults == ()


@pytest.mark.parametrize(
    "target", [{"clusterNames": ["b"]}, {"labelSelector": {"matchLabels": {"tier": "edge"}}}]
)
def test_an_override_changes_what_its_clusters_offer(target: dict[str, Any]) -> None:
    of_export = override("/spec/rules/0/path", "/edge", kind="ServiceExport", **target)
    of_service = override("/spec/ports/0/port", 8080, **target)
    found, faults = offers(of_export, of_service)

    assert paths(found) == {"a": "/web", "b": "/edge", "c": "/web"}
    assert ports(found) == {"a": 80, "b": 8080, "c": None}
    assert faults == ()


def test_silent_override_failure_keeps_the_copy_and_is_reported() -> None:
    found, (fault,) = offers(override("/spec/none", "x", clusterNames=["b"]))

    assert ports(found) == {"a": 80, "b": 80, "c": None}
    assert fault.startswith(
        "OverridePolicy shop/o: spec.overrideRules[0].overriders.plaintext[0]: Cannot replace"
    )
    assert fault.endswith("reports it in events only.")


@pytest.mark.parametrize("value", ["many", [{"port": "x"}], [1]])
def test_an_override_that_makes_no_service_of_it_is_reported(value: object) -> None:
    found, (fault,) = offers(override("/spec/ports", value, clusterNames=["b"]))

    assert ports(found)["b"] == 80
    assert fault.startswith("Service shop/web: spec.ports")


def test_a_refusal_by_a_cluster_survives_overrides() -> None:
    found, _ = offers(
        override("/spec/ports/0/port", 8080, clusterNames=["b"]), refused={"b": "no", "z": "no"}
    )

    assert found["b"].refused == "no"
    assert ports(found)["b"] == 8080
    assert "z" not in found


REFUSED = {"clusterName": "a", "applied": False, "appliedMessage": "provided port is already allocated"}
APPLIED = {"clusterName": "a", "applied": True}
KEPT = {"a": "The PropagationPolicy suspends dispatching."}
SUSPENDED = {"dispatchingOnClusters": {"clusterNames": ["a"]}}


def bound_to_a(template: stored.Object, *copies: stored.Object, **spec: object) -> Binding:
    made = stored.binding(template, "a")
    made["spec"].update(spec)
    made["status"] = {"aggregatedStatus": list(copies)}
    found = decode.binding(msgspec.json.encode(made))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("of_export", "of_service", "absence", "obstacle"),
    [
        ([APPLIED], [APPLIED], None, ""),
        ([], [APPLIED], Absence.PENDING, ""),
        ([APPLIED], [], Absence.PENDING, ""),
        ([APPLIED], [REFUSED], Absence.FAILED, "Service: provided port is already allocated"),
        ([REFUSED], [], Absence.FAILED, "ServiceExport: provided port is already allocated"),
        ([], [REFUSED], Absence.FAILED, "Service: provided port is already allocated"),
    ],
)
@pytest.mark.parametrize("had", [False, True])
def test_a_cluster_offers_what_it_has(
    of_export: list[stored.Object],
    of_service: list[stored.Object],
    absence: Absence | None,
    obstacle: str,
    had: bool,
) -> None:
    """Once a cluster has exported, a later failure keeps it, and Karmada says why."""
    export, service = stored.export(), stored.service()
    bindings = bound_to_a(export, *of_export), bound_to_a(service, *of_service)
    found, _, kept, _ = _offers(export, service, *bindings, {"a"} if had else ())

    assert (found["a"].absence, found["a"].obstacle) == ((None, "") if had else (absence, obstacle))
    assert kept == ({"a": obstacle} if had and absence is Absence.FAILED else {})


@pytest.mark.parametrize("suspension", [SUSPENDED, {"dispatching": True}])
def test_a_suspended_cluster_does_not_offer_what_it_never_had(suspension: stored.Object) -> None:
    export, service = stored.export(), stored.service()
    bindings = bound_to_a(export, suspension=suspension), bound_to_a(service, suspension=suspension)

    found, _, kept, _ = _offers(export, service, *bindings, ())
    assert (found["a"].absence, kept) == (Absence.SUSPENDED, {})
    found, _, kept, _ = _offers(export, service, *bindings, {"a"})
    assert (found["a"].absence, kept) == (None, KEPT)

    # Karmada goes on to report what was applied before.
    bindings = bound_to_a(export, APPLIED, suspension=suspension), bound_to_a(service, APPLIED)
    found, _, kept, stale = _offers(export, service, *bindings, {"a"})
    assert (found["a"].absence, kept, stale) == (None, KEPT, frozenset())


UNREPORTED = {**APPLIED, "health": "Unknown"}


@pytest.mark.parametrize(
    ("of_export", "of_service", "lost", "stale"),
    [
        (UNREPORTED, APPLIED, "ServiceExport", {"a"}),
        (APPLIED, UNREPORTED, "Service", set()),
        (APPLIED, {**UNREPORTED, "health": "Unhealthy"}, "", set()),
        ({**UNREPORTED, "status": {"digest": "1"}}, APPLIED, "", {"a"}),
    ],
)
def test_a_lost_write_is_no_copy_whatever_karmada_reports(
    of_export: stored.Object, of_service: stored.Object, lost: str, stale: set[str]
) -> None:
    """Karmada reports a write that timed out as applied; the member reports no copy, or an older one."""
    export, service = stored.export(), stored.service()
    found = _offers(export, service, bound_to_a(export, of_export), bound_to_a(service, of_service), ())

    absence = Absence.UNREPORTED if lost else None
    assert (found.offers["a"].absence, found.offers["a"].obstacle) == (absence, lost)
    assert found.stale == stale


def test_each_member_reports_the_export_after_its_overrides() -> None:
    export, service = stored.export(), stored.service()
    plain = decode.any_service_export(msgspec.json.encode(export))
    changed = {**export, "spec": {"rules": [{"portNumber": 80, "path": "/edge"}]}}
    edge = decode.any_service_export(msgspec.json.encode(changed))
    held = [{**APPLIED, "clusterName": name, "status": {"digest": edge.digest}} for name in "ab"]
    bound = bound_to_a(export, *held)._replace(clusters=frozenset("ab"))
    found = offers_of(
        KEY,
        plain,
        bound,
        decode.service(msgspec.json.encode(service)),
        bound_to_a(service, *held)._replace(clusters=frozenset("ab")),
        [override("/spec/rules/0/path", "/edge", kind="ServiceExport", clusterNames=["b"])],
        TARGETS,
    )
    assert found.stale == {"a"}


def test_a_service_brought_by_the_import_alone_does_not_count() -> None:
    """The derived ServiceImport depends on the Service where the data path is on."""
    export, service = stored.export(), stored.service()
    required = [{"namespace": "shop", "name": "web-serviceimport", "clusters": [{"name": "b"}]}]
    others = [{"namespace": "shop", "name": "app-deployment", "clusters": [{"name": "c"}]}]

    assert bound_to_a(service, APPLIED, requiredBy=required).clusters == {"a"}
    assert not bound_to_a(service, APPLIED, requiredBy=required).attached
    assert bound_to_a(service, APPLIED, requiredBy=required + others).clusters == {"a", "c"}
    assert bound_to_a(export, APPLIED, requiredBy=others).attached


def _offers(
    export: stored.Object, service: stored.Object, bound: Binding, serving: Binding, had: Collection[str]
) -> Offered:
    of_export = decode.service_export(msgspec.json.encode(export))
    assert of_export is not None
    of_service = decode.service(msgspec.json.encode(service))
    return offers_of(KEY, of_export, bound, of_service, serving, (), TARGETS, had)
