"""Which ports an import has, in which order, with whose endpoints."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import FEW, exports, services
from tests.support.worlds import endpoints, export, member, port, service
from towpath.model.export import Export
from towpath.model.service import Service, ServicePort
from towpath.model.view import View
from towpath.rules.paths import normal_path
from towpath.rules.ports import Clash, Exporter, can_replace, exporter, merge_ports, view_of


def having(*pairs: tuple[Export, Service]) -> list[Exporter]:
    """Return exporters a, b, c ... from the oldest on."""
    return [exporter(member(name), *pair) for name, pair in zip("abcd", pairs, strict=False)]


def seen(exporters: Sequence[Exporter], by: str = "abcd") -> View:
    view = view_of(merge_ports(exporters), set(by))
    assert view is not None
    return view


def numbers(*ports: int) -> Export:
    return export(*((number, f"/{number}") for number in ports))


HTTP, GRPC = port(80, "http"), port(90, "grpc")


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("x", "/x"),
        ("/x", "/x"),
        ("/x/", "/x"),
        ("//x//", "/x"),
        ("/x/y", "/x/y"),
        ("/x//y/", "/x//y"),
    ],
)
def test_paths_are_as_fsm_needs_them(path: str, normal: str) -> None:
    assert normal_path(path) == normal
    assert normal_path(normal) == normal


@pytest.mark.parametrize(
    ("rules", "offered"),
    [
        (export((80, "/v1"), (80, "/v2")), [(80, "/v2")]),
        (export((80, "/v1"), (90, "/x"), (80, "/v2")), [(80, "/v2"), (90, "/x")]),
        (export((90, "/x"), (80, "/v1")), [(90, "/x"), (80, "/v1")]),
        (export((7, "/x"), (80, "/v1")), [(80, "/v1")]),
        (export((80, "v1/")), [(80, "/v1")]),
        (export(), []),
    ],
)
def test_rules_choose_ports_and_the_last_rule_on_a_port_counts(
    rules: Export, offered: list[tuple[int, str]]
) -> None:
    found = exporter(member("a"), rules, service(HTTP, GRPC))

    assert [(number.port, endpoint.target.path) for number, endpoint in found.offered] == offered


@pytest.mark.parametrize(
    ("ports", "protocol"),
    [
        ([port(53, "u", "UDP"), port(53, "t")], "TCP"),
        ([port(53, "t"), port(53, "u", "UDP")], "TCP"),
        ([port(53, "u", "UDP")], "UDP"),
    ],
)
def test_of_two_ports_with_one_number_tcp_is_exported(ports: list[ServicePort], protocol: str) -> None:
    [(exported, _)] = exporter(member("a"), numbers(53), service(*ports)).offered

    assert exported.protocol == protocol


def test_ports_are_in_the_order_of_the_winners_rules() -> None:
    full = service(HTTP, GRPC, port(70, "more"))
    exporters = having((numbers(90, 80), full), (numbers(70, 80, 90), full))

    assert list(endpoints(seen(exporters)).items()) == [(90, ["a", "b"]), (80, ["a", "b"]), (70, ["b"])]
    assert list(endpoints(seen(exporters, "b"))) == [90, 80, 70], "the same order where the winner is out"


def test_a_port_without_endpoints_for_a_cluster_is_left_out() -> None:
    exporters = having((numbers(80), service(HTTP)), (numbers(90), service(GRPC)))

    assert endpoints(seen(exporters, "a")) == {80: ["a"]}
    assert view_of(merge_ports(exporters), "c") is None
    assert view_of(merge_ports([]), "a") is None


CLASHES: list[tuple[str, list[ServicePort], ServicePort, ServicePort | None]] = [
    ("the same port", [HTTP], HTTP, None),
    ("another one", [HTTP], GRPC, None),
    ("another appProtocol", [HTTP], port(80, "http", app="grpc"), None),
    ("the same without a name", [port(80)], port(80), None),
    ("the number has another name", [HTTP], port(80, "web"), HTTP),
    ("the number has another protocol", [HTTP], port(80, "http", "UDP"), HTTP),
    ("the name has another number", [HTTP], port(81, "http"), HTTP),
    ("the number has no name", [HTTP], port(80), HTTP),
    ("no name beside others", [HTTP, GRPC], port(81), HTTP),
    ("others beside one without a name", [port(80)], port(81, "http"), port(80)),
    ("two without a name", [port(80)], port(81), port(80)),
]


@pytest.mark.parametrize(("_case", "older", "later", "clash"), CLASHES, ids=[case for case, *_ in CLASHES])
def test_a_port_that_clashes_with_an_older_exporters_is_left_out(
    _case: str, older: list[ServicePort], later: ServicePort, clash: ServicePort | None
) -> None:
    exporters = having(
        (numbers(*(port.port for port in older)), service(*older)), (numbers(later.port), service(later))
    )
    united = merge_ports(exporters)

    assert united.clashes == (() if clash is None else (Clash("b", later, clash),))
    assert ("b" in endpoints(seen(exporters)).get(later.port, [])) == (clash is None)
    assert (view_of(united, "b") is None) == (clash is not None), "in every view alike"


def test_of_an_exporter_only_the_ports_that_clash_are_left_out() -> None:
    exporters = having(
        (numbers(80), service(HTTP)),
        (numbers(80, 90), service(port(80, "web"), GRPC)),
        (numbers(90), service(GRPC)),
    )

    assert endpoints(seen(exporters)) == {80: ["a"], 90: ["b", "c"]}
    assert endpoints(seen(exporters, "b")) == {90: ["b"]}


def test_the_first_exporter_of_a_port_says_what_else_it_is() -> None:
    exporters = having(
        (numbers(80), service(port(80, "http", app="kubernetes.io/h2c"))), (numbers(80), service(HTTP))
    )

    [whole], [of_b] = seen(exporters).ports, seen(exporters, "b").ports
    assert whole.app_protocol == of_b.app_protocol == "kubernetes.io/h2c"


def test_type_and_protocol_are_always_written() -> None:
    assert seen(having((numbers(80), service(80)))).dump() == {
        "type": "ClusterSetIP",
        "ports": [
            {
                "port": 80,
                "protocol": "TCP",
                "endpoints": [
                    {
                        "clusterKey": "default/default/default/a",
                        "target": {"host": "10.0.0.97", "ip": "10.0.0.97", "port": 80, "path": "/80"},
                    }
                ],
            }
        ],
    }


def test_an_endpoint_is_the_gateway_by_name_and_address() -> None:
    gateway = member("a", "gw.example.test", resolved="10.1.2.3", gateway_port=8080, region="eu", group="g")

    [(_, endpoint)] = exporter(gateway, numbers(80), service(80)).offered
    assert endpoint.cluster_key == "eu/default/g/a"
    assert endpoint.target.model_dump() == {
        "host": "gw.example.test",
        "ip": "10.1.2.3",
        "port": 8080,
        "path": "/80",
    }


def test_endpoints_are_sorted_by_cluster_key_not_by_age_or_name() -> None:
    a, b = member("a", region="z"), member("b", region="y")
    exporters = [exporter(cluster, numbers(80), service(80)) for cluster in (a, b)]

    assert endpoints(seen(exporters)) == {80: ["b", "a"]}


TO_A, TO_AB = ("x/y/z/a",), ("x/y/z/b", "x/y/z/a")


@pytest.mark.parametrize(
    ("lost", "other", "can"),
    [
        (numbers(80), numbers(80), True),
        (numbers(80), numbers(90, 80), True),
        (numbers(90, 80), numbers(80), False),
        (numbers(80), numbers(90), False),
        (export((80, "/x"), targets=TO_A), export((80, "/y")), True),
        (export((80, "/x"), targets=TO_A), export((80, "/y"), targets=TO_AB), True),
        (export((80, "/x"), targets=TO_AB), export((80, "/y"), targets=TO_AB[::-1]), True),
        (export((80, "/x"), targets=TO_AB), export((80, "/y"), targets=TO_A), False),
        (export((80, "/x")), export((80, "/y"), targets=TO_AB), False),
    ],
)
def test_a_cluster_with_the_same_ports_and_importers_can_replace(
    lost: Export, other: Export, can: bool
) -> None:
    serves = service(HTTP, GRPC)

    first, *others = having((lost, serves), (other, serves))
    assert can_replace(others, first) is can


def is_valid(ports: Sequence[ServicePort]) -> bool:
    """Tell whether a Service could have these ports, and FSM tell them apart."""
    names = {port.name for port in ports}
    return len({port.port for port in ports}) == len(names) == len(ports) and (
        len(ports) == 1 or "" not in names
    )


@given(st.lists(st.tuples(exports, services), min_size=1, max_size=4))
@FEW
def test_a_port_is_merged_if_the_service_stays_valid(
    pairs: list[tuple[Export, Service]],
) -> None:
    exporters = [exporter for exporter in having(*pairs) if exporter.offered]
    known: list[ServicePort] = []
    offers: dict[int, list[str]] = {}
    for source in exporters:
        for candidate, _ in source.offered:
            same = [
                k
                for k in known
                if (k.port, k.name, k.protocol) == (candidate.port, candidate.name, candidate.protocol)
            ]
            if not same and is_valid([*known, candidate]):
                known.append(candidate)
            elif not same:
                continue
            offers.setdefault(candidate.port, []).append(source.member.name)

    united = merge_ports(exporters)
    assert {merged.port.port: [name for name, _ in merged.offers] for merged in united.ports} == offers
    assert [merged.port for merged in united.ports] == known
    assert len(united.clashes) == sum(len(exporter.offered) for exporter in exporters) - sum(
        map(len, offers.values())
    )


@given(st.lists(st.tuples(exports, services), min_size=1, max_size=4), st.sets(st.sampled_from("abcd")))
@FEW
def test_a_smaller_view_is_a_part_of_the_larger_one(
    pairs: list[tuple[Export, Service]], by: set[str]
) -> None:
    united = merge_ports(having(*pairs))
    whole, part = view_of(united, "abcd"), view_of(united, by)

    left = {
        number: [name for name in names if name in by]
        for number, names in (endpoints(whole) if whole else {}).items()
    }
    assert (endpoints(part) if part else {}) == {number: names for number, names in left.items() if names}
