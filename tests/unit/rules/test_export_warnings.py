"""Warnings about an export whose effect is not what it states."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.worlds import export, member, service
from towpath.model.export import Export, ExportRule
from towpath.model.service import Service, ServicePort
from towpath.rules.export_warnings import export_warnings
from towpath.rules.ports import Exporter, exporter
from towpath.rules.reasons import Advice, Caution

ABOUT_EXPORTS = set(list(Advice)[: list(Advice).index(Advice.NOT_EXPORTED)])
ABOUT_EXPORTS -= {
    Advice.JOINED_TWICE,
    Advice.BAD_ANNOTATION,
    Advice.STALE_EXPORT,
    Advice.NO_IMPORTER_IN_SCOPE,
    Advice.FROZEN,
    Advice.PATH_NESTED,
    Advice.JOINED_TWICE,
    Advice.IMPORT_OVERRIDDEN,
    Advice.IMPORT_OVERRIDE_FAILS,
    Advice.NO_TUNNEL,
    Advice.HEADLESS_EXPORTER,
}
NAMES = ("alpha", "beta", "gamma")
KNOWN = frozenset(f"default/default/default/{name}" for name in NAMES)


def rules(*entries: ExportRule) -> Export:
    return Export(rules=entries)


def rule(number: int, path: str = "/web", kind: str = "Prefix") -> ExportRule:
    return ExportRule(port_number=number, path=path, path_type=kind)


def port(number: int, name: str = "", protocol: str = "TCP", **more: str | int | None) -> ServicePort:
    return ServicePort.model_validate({"port": number, "name": name, "protocol": protocol, **more})


def having(first: Export, serves: Service, *others: tuple[Export, Service]) -> list[Exporter]:
    """Return alpha with the first pair, and beta and gamma with the others or the same one."""
    pairs = [(first, serves), *others, *[(first, serves)] * (len(NAMES) - 1 - len(others))]
    return [exporter(member(name), *pair) for name, pair in zip(NAMES, pairs, strict=True)]


def behind(*gateways: tuple[str, int]) -> list[Exporter]:
    return [
        exporter(member(name, host, gateway_port=number), export((80, "/web")), service(80))
        for name, (host, number) in zip(NAMES, gateways, strict=False)
    ]


class Row(NamedTuple):
    """One rule: an input with its warning, and inputs without one."""

    reason: Advice
    exporters: Sequence[Exporter]
    field: str
    detail: str
    silent: Sequence[Sequence[Exporter]]


WEB = export((80, "/web"))
FINE = having(WEB, service(80))
ROWS = [
    Row(
        Advice.UNKNOWN_TARGET_CLUSTER,
        having(export((80, "/web"), targets=("default/default/default/beta", "beta")), service(80)),
        "spec.targetClusters[1]",
        "beta; the key of beta is default/default/default/beta",
        [FINE, having(export((80, "/web"), targets=tuple(KNOWN)), service(80))],
    ),
    Row(
        Advice.RULE_WITHOUT_PORT,
        having(export((80, "/web"), (7000, "/more")), service(80)),
        "spec.rules[1].portNumber",
        "port 7000",
        [having(export((80, "/web"), (7000, "/more")), service(80, 7000))],
    ),
    Row(
        Advice.REPEATED_RULE,
        having(export((80, "/v1"), (81, "/x"), (80, "/v2")), service(80, 81)),
        "spec.rules[0].portNumber",
        "port 80",
        [FINE],
    ),
    Row(
        Advice.EXACT_PATH,
        having(rules(rule(80, kind="Exact")), service(80)),
        "spec.rules[0].pathType",
        "Exact",
        [
            FINE,
            having(rules(rule(80, kind="Exact"), rule(80)), service(80)),
            having(rules(rule(81, kind="Exact"), rule(80)), service(80)),
        ],
    ),
    *(
        Row(
            Advice.ROOT_PATH, having(rules(rule(80, path)), service(80)), "spec.rules[0].path", detail, [FINE]
        )
        for path, detail in [("/", "'/'"), ("", "''"), ("//", "'//'")]
    ),
    Row(
        Advice.SEVERAL_PORTS,
        having(export((8081, "/x"), (90, "/web")), service(port(90, "a"), port(8081, "b"))),
        "spec.rules",
        "ports 90, 8081",
        [
            FINE,
            having(export((90, "/x"), (80, "/web")), service(80)),
            having(export((80, "/x"), (80, "/web")), service(80, 90)),
        ],
    ),
    Row(
        Advice.SEVERAL_PORTS,
        having(WEB, service(port(80, "a")), (export((90, "/web")), service(port(90, "b")))),
        "spec.rules",
        "ports 80, 90",
        [having(WEB, service(80), (export((90, "/web")), service(90)))],  # they clash: one port is imported
    ),
    Row(
        Advice.SEVERAL_PROTOCOLS,
        having(export((53, "/dns")), service(port(53, "udp", "UDP"), port(53, "tcp"))),
        "spec.rules[0].portNumber",
        "port 53 is for UDP and TCP",
        [having(WEB, service(80, port(53, "udp", "UDP"), port(53, "tcp")))],
    ),
    *(
        Row(
            Advice.NOT_HTTP,
            having(WEB, service(of)),
            "spec.rules[0].portNumber",
            f"port 80 is for {protocol}",
            [],
        )
        for of, protocol in [
            (port(80, app_protocol="tcp"), "tcp"),
            (port(80, app_protocol="HTTPS"), "https"),
            (port(80, app_protocol="tcp-server-first"), "tcp-server-first"),
            (port(80, "http-web", app_protocol="https"), "https"),
            (port(80, "tcp-web"), "tcp"),
            (port(80, "tcp-web", app_protocol=""), "tcp"),
            (port(80, "tcp-server-first-web"), "tcp-server-first"),
        ]
    ),
    Row(
        Advice.NOT_HTTP,
        having(export((80, "/web"), (81, "/tcp")), service(80, port(81, "tcp-more"))),
        "spec.rules[1].portNumber",
        "port 81 is for tcp",
        [
            FINE,
            *(
                having(WEB, service(of))
                for of in [
                    port(80, "tcp"),
                    port(80, "https-web"),
                    port(80, "grpc-web"),
                    port(80, "tcp-web", app_protocol="http"),
                    port(80, app_protocol="GRPC"),
                    port(80, app_protocol="kubernetes.io/h2c"),
                ]
            ),
        ],
    ),
    *(
        Row(
            Advice.OTHER_PROTOCOL,
            having(export((of.port, "/web")), service(of)),
            "spec.rules[0].portNumber",
            f"port {of.port} is known for {protocol}",
            [],
        )
        for of, protocol in [
            (port(80, "redis"), "redis"),
            (port(80, "https-web"), "https"),
            (port(80, "my-postgresql"), "postgres"),
            (port(443), "https"),
            (port(3306, "db"), "mysql"),
            (port(9092), "kafka"),
        ]
    ),
    Row(
        Advice.OTHER_PROTOCOL,
        having(export((6379, "/web")), service(6379)),
        "spec.rules[0].portNumber",
        "port 6379 is known for redis",
        [
            FINE,
            *(
                having(export((6379, "/web")), service(of))
                for of in [
                    port(6379, "http"),
                    port(6379, "http-redis"),
                    port(6379, "grpc"),
                    port(6379, "redis", app_protocol="http"),
                    port(6379, "tcp-redis"),  # NotHTTP says it
                    port(6379, protocol="UDP"),  # NotTCP says it
                ]
            ),
        ],
    ),
    Row(
        Advice.UNROUTED_PROTOCOL,
        having(WEB, service(port(80, "http-web", app_protocol="kubernetes.io/ws"))),
        "spec.rules[0].portNumber",
        "port 80 is for kubernetes.io/ws",
        [
            FINE,
            having(WEB, service(port(80, "redis"))),
            *(
                having(WEB, service(port(80, app_protocol=name)))
                for name in ["", "http", "grpc", "tcp", "https", "tcp-server-first", "Http"]
            ),
        ],
    ),
    Row(
        Advice.NOT_TCP,
        having(WEB, service(port(80, protocol="UDP"))),
        "spec.rules[0].portNumber",
        "port 80 is for UDP",
        [FINE, having(WEB, service(port(80, "udp", "UDP"), port(80, "tcp")))],
    ),
    Row(
        Advice.NOT_TCP,
        having(WEB, service(port(80, protocol="SCTP"))),
        "spec.rules[0].portNumber",
        "port 80 is for SCTP",
        [],
    ),
    Row(
        Advice.TARGET_PORT_DIFFERS,
        having(WEB, service(port(80, target_port=8080))),
        "spec.rules[0].portNumber",
        "port 80 has targetPort 8080",
        [
            FINE,
            *(having(WEB, service(port(80, target_port=same))) for same in (80, "web", None, 0)),
            having(WEB, service(80, port(81, target_port=8080))),
        ],
    ),
    Row(
        Advice.SHARED_GATEWAY,
        behind(("10.0.0.9", 80), ("10.0.0.8", 80), ("10.0.0.9", 80)),
        "",
        "alpha, gamma at 10.0.0.9:80",
        [
            FINE,
            behind(("10.0.0.9", 80), ("10.0.0.9", 81)),
            behind(("gw-1.example.test", 80), ("gw-2.example.test", 80)),
        ],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.reason}, {row.detail}")
def test_a_surprise_is_reported_where_it_is_and_nowhere_else(row: Row) -> None:
    warnings = [warning for warning in export_warnings(row.exporters, KNOWN) if warning.reason is row.reason]

    assert warnings == [Caution(row.reason, row.field, row.detail)]
    for exporters in row.silent:
        assert row.reason not in {warning.reason for warning in export_warnings(exporters, KNOWN)}, exporters


def test_the_table_has_every_surprise_both_ways() -> None:
    assert {row.reason for row in ROWS} == ABOUT_EXPORTS
    assert {row.reason for row in ROWS if row.silent} == ABOUT_EXPORTS


@pytest.mark.parametrize("exporters", [[], FINE, FINE[:1], behind(("10.0.0.9", 80), ("10.0.0.9", 81))])
def test_an_effective_policy_has_no_warning(exporters: list[Exporter]) -> None:
    assert export_warnings(exporters, KNOWN) == ()


BOTH = export((80, "/web"), (7000, "/more"))


@pytest.mark.parametrize(
    ("others", "detail"),
    [
        pytest.param([], "port 7000", id="all"),
        pytest.param([(BOTH, service(80))], "port 7000", id="all, from objects that are only equal"),
        pytest.param([(WEB, service(80))], "port 7000 in alpha, gamma", id="some"),
        pytest.param([(BOTH, service(80, 7000)), (WEB, service(80))], "port 7000 in alpha", id="one"),
    ],
)
def test_a_warning_for_some_clusters_names_them(others: list[tuple[Export, Service]], detail: str) -> None:
    for turned in permutations(having(BOTH, service(80), *others)):
        details = [w.detail for w in export_warnings(turned, KNOWN) if w.reason is Advice.RULE_WITHOUT_PORT]

        assert details == [detail]


def test_one_service_may_have_different_exports() -> None:
    shared = service(80)

    assert [w.detail for w in export_warnings(having(BOTH, shared, (WEB, shared)), KNOWN)] == [
        "port 7000 in alpha, gamma"
    ]


def test_a_port_that_is_not_offered_is_not_judged() -> None:
    exporters = having(export((80, "/"), (81, "/")), service(port(80, "tcp-web"), 81))
    offering = [exporter._replace(offered=exporter.offered[1:]) for exporter in exporters]

    assert [(w.reason, w.field) for w in export_warnings(offering, KNOWN)] == [
        (Advice.ROOT_PATH, "spec.rules[1].path")
    ]


def test_one_field_has_a_warning_for_each_kind_of_surprise() -> None:
    first, second = (service(port(80, target_port=number)) for number in (8080, 9090))

    assert [w.detail for w in export_warnings(having(WEB, first, (WEB, second)), KNOWN)] == [
        "port 80 has targetPort 8080 in alpha, gamma",
        "port 80 has targetPort 9090 in beta",
    ]


def test_all_differences_are_reported_by_field_in_order() -> None:
    many = [*(rule(number, f"/{number}") for number in range(90, 99)), rule(80, "/x"), rule(81, "", "Exact")]
    exported = Export(rules=(*many, rule(81, "", "Exact")), target_clusters=("nowhere",))
    named = [port(number, f"p{number}") for number in (*range(91, 99), 81)]
    serves = service(*named, port(80, "tcp-x", "UDP", target_port=1))

    warnings = export_warnings(
        [*having(exported, serves), *behind(("10.0.0.9", 80), ("10.0.0.9", 80))], KNOWN
    )

    assert [(warning.reason, warning.field) for warning in warnings] == [
        (Advice.SHARED_GATEWAY, ""),
        (Advice.SEVERAL_PORTS, "spec.rules"),
        (Advice.RULE_WITHOUT_PORT, "spec.rules[0].portNumber"),
        (Advice.NOT_HTTP, "spec.rules[9].portNumber"),
        (Advice.NOT_TCP, "spec.rules[9].portNumber"),
        (Advice.TARGET_PORT_DIFFERS, "spec.rules[9].portNumber"),
        (Advice.REPEATED_RULE, "spec.rules[10].portNumber"),
        (Advice.ROOT_PATH, "spec.rules[11].path"),
        (Advice.EXACT_PATH, "spec.rules[11].pathType"),
        (Advice.UNKNOWN_TARGET_CLUSTER, "spec.targetClusters[0]"),
    ]
    assert warnings[2].text.startswith(
        "spec.rules[0].portNumber (port 90 in alpha, beta, gamma): The Service"
    )


numbers = st.sampled_from([53, 80, 81])
exports = st.builds(
    Export,
    rules=st.lists(
        st.builds(rule, numbers, st.sampled_from(["", "/", "/web"]), st.sampled_from(["Exact", "Prefix"])),
        max_size=12,
    ).map(tuple),
    target_clusters=st.lists(st.sampled_from(["", "beta", *sorted(KNOWN)])).map(tuple),
)
services = st.builds(
    lambda ports: service(*ports),
    st.lists(
        st.builds(
            ServicePort,
            port=numbers,
            name=st.sampled_from(["", "web", "tcp-web", "grpc-web"]),
            protocol=st.sampled_from(["TCP", "UDP"]),
            app_protocol=st.none() | st.sampled_from(["", "https", "grpc", "kubernetes.io/ws"]),
            target_port=st.none() | st.sampled_from([0, 80, 8080, "web"]),
        ),
        max_size=4,
    ),
)
# Few pairs for many clusters, so that some share them as they share a template.
fleets = st.lists(st.tuples(exports, services), min_size=1, max_size=3).flatmap(
    lambda pairs: st.lists(
        st.builds(
            lambda name, pair, host: exporter(member(name, host), *pair),
            st.sampled_from("abcdefg"),
            st.sampled_from(pairs),
            st.sampled_from(["10.0.0.1", "10.0.0.2", "gw.example.test"]),
        ),
        unique_by=lambda exporter: exporter.member.name,
        max_size=5,
    )
)


def existing(field: str, exported: Export) -> bool:
    """Tell whether the export has the place that a warning points at."""
    found = re.fullmatch(
        r"spec\.(?:rules\[(\d+)\]\.(?:portNumber|path|pathType)|targetClusters\[(\d+)\])", field
    )
    if found is None:
        return field in {"", "spec.rules"}
    return int(found[1]) < len(exported.rules) if found[1] else int(found[2]) < len(exported.target_clusters)


@given(fleets)
def test_nothing_is_reported_twice_or_about_nothing(exporters: list[Exporter]) -> None:
    warnings = export_warnings(exporters, KNOWN)

    assert len(set(warnings)) == len(warnings)
    for warning in warnings:
        assert any(existing(warning.field, exporter.export) for exporter in exporters), warning
        assert warning.text.endswith(warning.reason.text)


@given(fleets, st.data())
def test_the_order_in_which_clusters_were_seen_does_not_matter(
    exporters: list[Exporter], data: st.DataObject
) -> None:
    turned = data.draw(st.permutations(exporters))

    assert without_ports(export_warnings(turned, KNOWN)) == without_ports(export_warnings(exporters, KNOWN))


def without_ports(warnings: Sequence[Caution]) -> list[Caution]:
    """Return all but that there are several ports: which clash and are left out is decided by age."""
    return [warning for warning in warnings if warning.reason is not Advice.SEVERAL_PORTS]


@given(fleets)
def test_equal_objects_are_as_good_as_the_same(exporters: list[Exporter]) -> None:
    copied = [
        Exporter(
            exporter.member, exporter.export.model_copy(), exporter.service.model_copy(), exporter.offered
        )
        for exporter in exporters
    ]

    assert export_warnings(copied, KNOWN) == export_warnings(exporters, KNOWN)


@given(fleets)
def test_the_loss_of_one_cluster_is_reported_beside_others(exporters: list[Exporter]) -> None:
    """But for the number of ports: what clashes with an older exporter's is not imported."""
    together = {(warning.reason, warning.field) for warning in export_warnings(exporters, KNOWN)}

    for single in exporters:
        alone = {(warning.reason, warning.field) for warning in export_warnings([single], KNOWN)}
        assert alone - {(Advice.SEVERAL_PORTS, "spec.rules")} <= together
