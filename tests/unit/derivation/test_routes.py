"""Routes on members' own gateways: what they hold, and in which order they are written and removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from tests.support.worlds import KEY, UID, WEB, derived, export, member, offered, port, service
from towpath.derivation.routes import LiveRoute, Routes, route_stages, routes_of
from towpath.model.cluster import Fleet
from towpath.model.export import PathRewrite
from towpath.model.ownership import is_derived, is_marked
from towpath.model.world import Offer
from towpath.rules.gateway_route import RouteKind
from towpath.rules.reasons import RouteReason

HTTP, INGRESS = RouteKind.HTTP_ROUTE, RouteKind.INGRESS
PUBLIC = "HTTPRoute/infra/public"
KEEP = {"towpath.io/keep-path": "true"}


def made(offers: Mapping[str, Offer], asked: Mapping[str, str], **more: Any) -> Routes:
    """Return the routes of a service, where clusters ask for them by this annotation."""
    members = {name: member(name, gateway_route=asked.get(name, "")) for name in {*offers, "z"}}
    return routes_of(offered(offers, **more), derived(offers, members, **more), Fleet(members))


def rewriting(rewrite: Mapping[str, str], *, exact: bool = False) -> Offer:
    """Return an offer at /web with a pathRewrite."""
    kind = "Exact" if exact else "Prefix"
    rules = tuple(rule.model_copy(update={"path_type": kind}) for rule in WEB.export.rules)
    changed = {"rules": rules, "path_rewrite": PathRewrite.model_validate(rewrite)}
    return Offer(WEB.export.model_copy(update=changed), WEB.service)


def test_the_path_of_a_rule_leads_to_the_service() -> None:
    (spec,) = made({"a": WEB}, {"a": PUBLIC}).specs[HTTP].values()

    group = "gateway.networking.k8s.io"
    assert spec["parentRefs"] == [{"group": group, "kind": "Gateway", "namespace": "infra", "name": "public"}]
    (rule,) = spec["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/web"}}]
    assert rule["backendRefs"] == [{"group": "", "kind": "Service", "name": "web", "port": 80, "weight": 1}]
    (taken_off,) = rule["filters"]
    assert taken_off["urlRewrite"]["path"] == {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}


def test_a_listener_is_named() -> None:
    (spec,) = made({"a": WEB}, {"a": f"{PUBLIC}/web"}).specs[HTTP].values()
    assert spec["parentRefs"][0]["sectionName"] == "web"


def test_an_exact_path_is_replaced_as_a_whole() -> None:
    rules = tuple(rule.model_copy(update={"path_type": "Exact"}) for rule in WEB.export.rules)
    exact = Offer(WEB.export.model_copy(update={"rules": rules}), WEB.service)
    (spec,) = made({"a": exact}, {"a": PUBLIC}).specs[HTTP].values()
    assert spec["rules"][0]["matches"] == [{"path": {"type": "Exact", "value": "/web"}}]
    replaced = {"type": "ReplaceFullPath", "replaceFullPath": "/"}
    assert spec["rules"][0]["filters"][0]["urlRewrite"]["path"] == replaced


def test_a_path_that_is_kept_is_not_taken_off() -> None:
    (spec,) = made({"a": WEB}, {"a": PUBLIC}, annotations=KEEP).specs[HTTP].values()
    assert "filters" not in spec["rules"][0]


@pytest.mark.parametrize(
    ("rewrite", "exact", "path"),
    [
        (
            {"from": "^/web", "to": "/new"},
            False,
            {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"},
        ),
        ({"from": "^/web/?", "to": "/"}, False, {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}),
        (
            {"from": "^/(web)", "to": "/v2/$1"},
            True,
            {"type": "ReplaceFullPath", "replaceFullPath": "/v2/web"},
        ),
        ({"from": "^/other", "to": "/"}, False, None),
        ({"from": "^/web", "to": ""}, False, {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}),
    ],
)
def test_a_path_is_rewritten_as_the_export_says(
    rewrite: dict[str, str], exact: bool, path: dict[str, str] | None
) -> None:
    (spec,) = made({"a": rewriting(rewrite, exact=exact)}, {"a": PUBLIC}).specs[HTTP].values()
    filters = [{"type": "URLRewrite", "urlRewrite": {"path": path}}] if path else []
    assert spec["rules"][0].get("filters", []) == filters


def test_an_ingress_may_have_a_rewrite_without_effect() -> None:
    offer = rewriting({"from": "^/other", "to": "/"})
    assert not made({"a": offer}, {"a": "Ingress/contour"}).problems


def test_an_ingress_names_its_class() -> None:
    (spec,) = made({"a": WEB}, {"a": "Ingress/contour"}, annotations=KEEP).specs[INGRESS].values()

    assert spec["ingressClassName"] == "contour"
    (path,) = spec["rules"][0]["http"]["paths"]
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    assert path == {"path": "/web", "pathType": "Prefix", "backend": backend}


def test_a_cluster_that_does_not_ask_gets_none() -> None:
    assert made({"a": WEB, "b": WEB}, {"b": PUBLIC}).specs[HTTP].keys() == {"b"}


@pytest.mark.parametrize(
    ("offer", "asked", "problem"),
    [
        (WEB, "HTTPRoute/public", RouteReason.MALFORMED),
        (WEB, "Ingress/contour", RouteReason.PATH_STAYS),
        (Offer(export((5432, "/db")), service(port(5432, "tcp-db"))), PUBLIC, RouteReason.NO_HTTP_PORT),
        (rewriting({"from": "b$", "to": "c"}), PUBLIC, RouteReason.REWRITE),
        (rewriting({"from": "^/web", "to": "/new"}), "Ingress/contour", RouteReason.REWRITE),
        (Offer(export((53, "/dns")), service(port(53, protocol="UDP"))), PUBLIC, RouteReason.NO_HTTP_PORT),
    ],
)
def test_what_cannot_be_had_has_a_reason(offer: Offer, asked: str, problem: RouteReason) -> None:
    routes = made({"a": offer, "b": offer}, {"a": asked})
    assert routes.problems == {"a": problem}
    assert not routes.specs


@pytest.mark.parametrize(("number", "problems"), [(16, {}), (17, {"a": RouteReason.TOO_MANY_RULES})])
def test_an_http_route_has_a_limit(number: int, problems: dict[str, RouteReason]) -> None:
    ports = [port(80 + n, f"p{n}") for n in range(number)]
    offer = Offer(export(*((p.port, f"/{p.name}") for p in ports)), service(*ports))
    assert made({"a": offer}, {"a": PUBLIC}).problems == problems


def test_an_ingress_at_the_root_keeps_nothing() -> None:
    assert not made({"a": Offer(export((80, "/")), service(80))}, {"a": "Ingress/contour"}).problems


class Store:
    """The objects of one kind of route, written stage by stage."""

    def __init__(self) -> None:
        self.live = LiveRoute()
        self.stages: list[list[str]] = []

    def bring(
        self, specs: Mapping[str, Any], *, arrived: bool = True, without_kind: Collection[str] = ()
    ) -> list[list[str]]:
        """Write everything; return the kinds of each stage, deletions with a minus."""
        done: list[list[str]] = []
        routes = Routes({HTTP: specs}, without_kind=frozenset(without_kind))
        while stage := next(route_stages(KEY, UID, HTTP, routes, self.live, arrived=arrived), None):
            found = {"HTTPRoute": self.live.route, "PropagationPolicy": self.live.propagation}
            found["OverridePolicy"] = self.live.override
            done.append([])
            for write in stage:
                obj = write.wanted or write.live or {}
                done[-1].append(f"{'' if write.wanted else '-'}{obj['kind']}")
                found[obj["kind"]] = write.wanted
            self.live = LiveRoute(found["HTTPRoute"], found["PropagationPolicy"], found["OverridePolicy"])
        return done

    @property
    def seen(self) -> dict[str, Any]:
        """What each member gets."""
        if self.live.route is None or self.live.propagation is None:
            return {}
        names = self.live.propagation["spec"]["placement"]["clusterAffinity"]["clusterNames"]
        rules = self.live.override["spec"]["overrideRules"] if self.live.override else []
        changed = {
            name: rule["overriders"]["plaintext"][0]["value"]
            for rule in rules
            for name in rule["targetCluster"]["clusterNames"]
        }
        return {name: changed.get(name, self.live.route["spec"]) for name in names}


def test_policies_come_before_the_route_and_go_after_it() -> None:
    store = Store()
    assert store.bring({"a": {"n": 1}, "b": {"n": 2}}) == [
        ["OverridePolicy", "PropagationPolicy"],
        ["HTTPRoute"],
    ]
    assert store.seen == {"a": {"n": 1}, "b": {"n": 2}}
    assert store.bring({}) == [["-HTTPRoute"], ["-PropagationPolicy", "-OverridePolicy"]]


def test_clusters_with_one_route_share_a_rule() -> None:
    store = Store()
    store.bring({"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 2}})
    assert store.live.override is not None
    (rule,) = store.live.override["spec"]["overrideRules"]
    assert rule["targetCluster"]["clusterNames"] == ["b", "c"]


def test_a_leaving_exporter_keeps_its_route_while_it_is_called() -> None:
    store, both = Store(), {"a": {"n": 1}, "b": {"n": 2}}
    store.bring(both)
    for left in ({"b": {"n": 2}}, {"a": {"n": 1}}, {}):
        assert store.bring(left, arrived=False) == []
        assert store.seen == both
    store.bring({"b": {"n": 2}})
    assert store.seen == {"b": {"n": 2}}
    assert store.live.override is None


def test_a_cluster_that_does_not_serve_the_kind_is_not_named() -> None:
    store, both = Store(), {"a": {"n": 1}, "b": {"n": 2}}
    assert store.bring(both, without_kind={"a", "b"}) == []
    store.bring(both, without_kind={"a"})
    assert store.seen == {"b": {"n": 2}}
    store.bring(both)
    assert store.seen == both


def test_a_cluster_that_stops_serving_the_kind_keeps_its_route() -> None:
    store, both = Store(), {"a": {"n": 1}, "b": {"n": 2}}
    store.bring(both)
    assert store.bring(both, without_kind={"a"}) == []
    changed = {"a": {"n": 3}, "b": {"n": 2}}
    store.bring(changed, without_kind={"a"})
    assert store.seen == changed


def test_all_objects_are_recognized_as_derived() -> None:
    store = Store()
    store.bring({"a": {"n": 1}, "b": {"n": 2}})
    assert store.live.route is not None
    assert store.live.propagation is not None
    assert store.live.override is not None
    assert is_marked(store.live.route)
    assert is_derived(store.live.propagation)
    assert is_derived(store.live.override)
    elsewhere = {
        **store.live.propagation,
        "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "Secret"}]},
    }
    assert not is_derived(elsewhere)
