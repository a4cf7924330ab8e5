"""What each cluster imports, and why a cluster does not export."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import KEY, WEB, derived, export, fleet, member, offered, service
from towpath.derive import derive
from towpath.model.cluster import FlomeshCluster, Member
from towpath.model.keys import Dialect
from towpath.model.service import ServicePort
from towpath.model.view import View
from towpath.model.world import Offer, World
from towpath.rules.gateway import parse_gateway, why_no_gateway, with_flomesh_cluster
from towpath.rules.ports import exporter, normal_path, unite, view_of
from towpath.rules.reasons import Excluded


def endpoints(view: View) -> dict[int, list[str]]:
    return {p.port: [e.cluster_key.rpartition("/")[2] for e in p.endpoints] for p in view.ports}


def test_every_cluster_imports_from_the_others_and_never_from_itself() -> None:
    seen = derived({"a": WEB, "c": WEB}, fleet("a", "b", "c"))

    assert {name: endpoints(view) for name, view in seen.views.items()} == {
        "a": {80: ["c"]},
        "b": {80: ["a", "c"]},
        "c": {80: ["a"]},
    }


def test_a_single_exporter_imports_nothing() -> None:
    seen = derived({"a": WEB}, fleet("a", "b"))

    assert list(seen.views) == ["b"]


def test_members_that_do_not_serve_the_import_api_are_left_out() -> None:
    members = fleet("a", "b", "c")
    members["b"] = member("b", imports=frozenset({Dialect.MULTICLUSTER}))

    assert list(derived({"a": WEB}, members).views) == ["c"]


def test_target_clusters_limit_who_imports() -> None:
    scoped = Offer(export((80, "/web"), targets=("default/default/default/b",)), service(80))

    seen = derived({"a": scoped, "d": WEB}, fleet("a", "b", "c", "d"))

    assert {name: endpoints(view)[80] for name, view in seen.views.items()} == {
        "a": ["d"],
        "b": ["a", "d"],
        "c": ["d"],
    }


@pytest.mark.parametrize(
    ("name", "offer", "reason"),
    [
        ("gone", WEB, Excluded.NOT_A_MEMBER),
        ("a", Offer(WEB.export, None), Excluded.SERVICE_NOT_BOUND),
        ("a", Offer(WEB.export, service(80, kind="ExternalName")), Excluded.EXTERNAL_NAME),
        ("a", Offer(WEB.export, service(8080)), Excluded.NO_MATCHING_PORT),
        ("nowhere", WEB, Excluded.NO_GATEWAY),
        ("dns", WEB, Excluded.GATEWAY_UNRESOLVED),
    ],
)
def test_a_cluster_that_does_not_export_has_one_reason(name: str, offer: Offer, reason: Excluded) -> None:
    members = fleet("a", "b") | {
        "nowhere": Member(name="nowhere"),
        "dns": member("dns", "gw.example.test"),
    }

    seen = derived({name: offer}, members)

    assert {cluster: one.reason for cluster, one in seen.excluded.items()} == {name: reason}
    assert reason.text
    assert not seen.views


def named(number: int, name: str, protocol: str = "TCP") -> ServicePort:
    return ServicePort(port=number, name=name, protocol=protocol)


def test_ports_are_united_in_rule_order_and_keep_only_who_offers_them() -> None:
    both = Offer(export((90, "/x/90"), (80, "/x/80")), service(named(80, "http"), named(90, "more")))
    one = Offer(export((80, "/x")), service(named(80, "http")))

    seen = derived({"a": both, "b": one}, fleet("a", "b", "c"))

    assert list(endpoints(seen.views["c"]).items()) == [(90, ["a"]), (80, ["a", "b"])]


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(named(80, "other"), id="the number has another name"),
        pytest.param(named(80, "http", "UDP"), id="the number has another protocol"),
        pytest.param(named(81, "http"), id="the name has another number"),
    ],
)
def test_a_port_that_clashes_with_an_older_exporters_is_dropped_alone(later: ServicePort) -> None:
    first = exporter(member("a"), export((80, "/a")), service(named(80, "http")))
    second = exporter(
        member("b"), export((80, "/b"), (81, "/b"), (90, "/b")), service(later, named(90, "more"))
    )

    view = view_of(unite([first, second]), {"a", "b"})
    in_the_older = view_of(unite([first, second]), {"b"})

    assert view is not None
    assert endpoints(view) == {80: ["a"], 90: ["b"]}
    assert in_the_older is not None
    assert endpoints(in_the_older) == {90: ["b"]}, "what clashes is dropped in every view alike"


def test_of_two_rules_on_one_port_the_last_counts() -> None:
    view = view_of(unite([exporter(member("a"), export((80, "/v1"), (80, "/v2")), service(80))]), {"a"})

    assert view is not None
    assert [e.target.path for p in view.ports for e in p.endpoints] == ["/v2"]


@pytest.mark.parametrize(
    ("path", "normal"), [("", "/"), ("/", "/"), ("x", "/x"), ("/x/", "/x"), ("/x/y", "/x/y")]
)
def test_paths_are_as_fsm_needs_them(path: str, normal: str) -> None:
    assert normal_path(path) == normal


@pytest.mark.parametrize(
    ("text", "gateway"),
    [
        ("10.0.0.1", ("10.0.0.1", 80)),
        ("10.0.0.1:8080", ("10.0.0.1", 8080)),
        (" gw.example.test:1 ", ("gw.example.test", 1)),
        ("", None),
        (":80", None),
        ("10.0.0.1:", None),
        ("10.0.0.1:0", None),
        ("10.0.0.1:65536", None),
        ("10.0.0.1:http", None),
        ("10.0.0.1:٨٠", None),
    ],
)
def test_a_gateway_annotation_is_a_host_with_or_without_a_port(
    text: str, gateway: tuple[str, int] | None
) -> None:
    assert parse_gateway(text) == gateway


def test_a_flomesh_cluster_overrides_all_that_the_member_says() -> None:
    said = member("a", "10.9.9.9", region="north", zone="n1", group="g", gateway_port=8080)

    overridden = with_flomesh_cluster(said, FlomeshCluster(gateway_host="10.0.2.4"))

    assert overridden.key == "default/default/default/a"
    assert (overridden.gateway_host, overridden.gateway_port) == ("10.0.2.4", 80)
    assert overridden.imports == said.imports
    assert why_no_gateway(overridden) is None


names = st.sampled_from(["a", "b", "c", "d", "e"])
offers = st.builds(
    Offer,
    st.builds(
        lambda rules, targets, account: export(
            *rules, targets=tuple(f"default/default/default/{t}" for t in targets), account=account
        ),
        st.lists(
            st.tuples(st.sampled_from([80, 81, 82]), st.sampled_from(["/x", "y/", ""])),
            min_size=1,
            max_size=4,
        ),
        st.lists(names, max_size=3),
        st.sampled_from(["", "*", "web"]),
    ),
    st.none()
    | st.builds(
        lambda ports: service(*(named(port, f"p{port}") for port in ports)),
        st.sets(st.sampled_from([80, 81, 82]), min_size=1),
    ),
)
worlds = st.dictionaries(names, offers)


@given(worlds)
def test_views_hold_exactly_the_other_exporters_in_scope(some: dict[str, Offer]) -> None:
    members = fleet("a", "b", "c", "d", "e")
    seen = derived(some, members)

    assert set(seen.exporters) | set(seen.excluded) == set(some)
    assert not set(seen.exporters) & set(seen.excluded)
    for name, view in seen.views.items():
        for port, clusters in endpoints(view).items():
            assert name not in clusters
            assert clusters == sorted(set(clusters))
            for other in clusters:
                offer = some[other]
                targets = offer.export.target_clusters
                assert not targets or members[name].key in targets
                assert offer.service is not None
                assert port in {p.port for p in offer.service.ports}


@given(worlds, st.randoms(use_true_random=False))
def test_the_order_in_which_things_were_seen_does_not_matter(some: dict[str, Offer], random: object) -> None:
    members = fleet("a", "b", "c", "d", "e")
    world = World(members, {KEY: offered(some)})
    for order in itertools.islice(itertools.permutations(some), 6):
        turned = World(dict(reversed(members.items())), {KEY: offered({name: some[name] for name in order})})
        assert derive(turned) == derive(world)
