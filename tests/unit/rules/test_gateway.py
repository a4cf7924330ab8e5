"""Where a member's gateway is, and whether others can connect to it."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.worlds import member
from towpath.model.cluster import FlomeshCluster, Member
from towpath.rules.gateway import Gateway, is_dns_name, parse_gateway, why_no_gateway, with_flomesh_cluster
from towpath.rules.reasons import Exclusion, ExclusionReason

NAME = "gw.example.test"


ELB = "a1b2c3d4-1234567890.eu-west-1.elb.amazonaws.com"
USABLE = [
    ("10.0.0.1", Gateway("10.0.0.1", 80)),
    ("10.0.0.1:8080", Gateway("10.0.0.1", 8080)),
    ("10.0.0.1:1", Gateway("10.0.0.1", 1)),
    ("10.0.0.1:65535", Gateway("10.0.0.1", 65535)),
    ("10.0.0.1:0080", Gateway("10.0.0.1", 80)),
    (f" {NAME}:1 ", Gateway(NAME, 1)),
    (f"{ELB}:80", Gateway(ELB, 80)),
    (f"{ELB}.", Gateway(ELB, 80)),
    (f"{ELB}.:8080", Gateway(ELB, 8080)),
    ("GW.Example.Test", Gateway("GW.Example.Test")),
]
MISTAKES = [
    ("", ExclusionReason.NO_GATEWAY),
    ("  ", ExclusionReason.NO_GATEWAY),
    ("http://10.1.1.1:80", ExclusionReason.GATEWAY_URL),
    ("https://gw.example.test/", ExclusionReason.GATEWAY_URL),
    ("10.1.1.1/web", ExclusionReason.GATEWAY_URL),
    ("10.1.1.1:80,10.1.1.2:80", ExclusionReason.GATEWAY_SEVERAL),
    ("10.1.1.1, 10.1.1.2", ExclusionReason.GATEWAY_SEVERAL),
    ("10.1.1.1 10.1.1.2", ExclusionReason.GATEWAY_SEVERAL),
    ("gw.example.test;10.1.1.2", ExclusionReason.GATEWAY_SEVERAL),
    ("[2001:db8::10]:80", ExclusionReason.GATEWAY_NOT_IPV4),
    ("2001:db8::10", ExclusionReason.GATEWAY_NOT_IPV4),
    ("::1", ExclusionReason.GATEWAY_NOT_IPV4),
    ("10.1.1.3:99999", ExclusionReason.GATEWAY_PORT),
    ("10.1.1.3:0", ExclusionReason.GATEWAY_PORT),
    (f"10.1.1.3:{'8' * 5000}", ExclusionReason.GATEWAY_PORT),
    ("10.1.1.3:-1", ExclusionReason.GATEWAY_PORT),
    ("10.1.1.3:", ExclusionReason.GATEWAY_PORT),
    ("10.1.1.3:http", ExclusionReason.GATEWAY_PORT),
    ("10.1.1.3:٨٠", ExclusionReason.GATEWAY_PORT),
    ("10.1.1.3:80:80", ExclusionReason.GATEWAY_PORT),
    (":80", ExclusionReason.GATEWAY_MALFORMED),
    (".", ExclusionReason.GATEWAY_MALFORMED),
    ("010.001.001.004:0080", ExclusionReason.GATEWAY_MALFORMED),
    ("10.0.0.256", ExclusionReason.GATEWAY_MALFORMED),
    ("10.0.1", ExclusionReason.GATEWAY_MALFORMED),
    ("10.0.0.1.", ExclusionReason.GATEWAY_MALFORMED),
    ("gw_1.example", ExclusionReason.GATEWAY_MALFORMED),
    ("admin@gw.example", ExclusionReason.GATEWAY_MALFORMED),
    ("localhost:80", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("gw.LOCALHOST.", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("127.0.0.1", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("127.255.0.9:8080", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("0.0.0.0", ExclusionReason.GATEWAY_NOT_ROUTABLE),  # noqa: S104 - not to listen on
    ("224.0.0.1", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("0.1.2.3", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("240.0.0.1", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("169.254.169.254", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("168.63.129.16", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("100.100.100.200", ExclusionReason.GATEWAY_NOT_ROUTABLE),
    ("255.255.255.255", ExclusionReason.GATEWAY_NOT_ROUTABLE),
]


@pytest.mark.parametrize(("text", "gateway"), USABLE)
def test_a_gateway_is_a_host_with_or_without_a_port(text: str, gateway: Gateway) -> None:
    assert parse_gateway(text) == gateway


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_each_mistake_has_a_reason_and_the_text_is_kept(text: str, problem: ExclusionReason | None) -> None:
    gateway = parse_gateway(text)
    assert gateway.problem is problem
    assert problem is None or gateway.host == text.strip()


@pytest.mark.parametrize(("text", "problem"), [row for row in MISTAKES if row[1] and ":" not in row[0]])
def test_a_flomesh_cluster_obeys_the_same_parser(text: str, problem: ExclusionReason) -> None:
    described = with_flomesh_cluster(member("a"), FlomeshCluster(gateway_host=text))
    excluded = why_no_gateway(described)
    assert excluded is not None
    assert excluded.reason is problem


@pytest.mark.parametrize("text", [NAME, f"{NAME}.", f" {NAME} ", "10.0.0.9"])
def test_a_flomesh_cluster_takes_what_the_annotation_takes(text: str) -> None:
    described = with_flomesh_cluster(member("a"), FlomeshCluster(gateway_host=text, gateway_port=81))
    assert (described.gateway_host, described.gateway_port) == (parse_gateway(text).host, 81)


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_a_flomesh_cluster_with_a_bad_port_is_reported(port: int) -> None:
    described = with_flomesh_cluster(member("a"), FlomeshCluster(gateway_host=NAME, gateway_port=port))
    assert why_no_gateway(described) == Exclusion(ExclusionReason.GATEWAY_PORT, f"{NAME}:{port}")


def test_a_flomesh_cluster_has_its_port_in_a_field_of_its_own() -> None:
    described = with_flomesh_cluster(member("a"), FlomeshCluster(gateway_host="10.0.0.1:81"))
    assert why_no_gateway(described) == Exclusion(
        ExclusionReason.GATEWAY_MALFORMED, "10.0.0.1:81 in gatewayHost"
    )


@given(st.text() | st.from_regex(r"\A.{0,5}:\d{0,6}\Z"))
def test_any_text_is_read_or_refused(text: str) -> None:
    gateway = parse_gateway(text)
    if gateway.problem is None:
        assert gateway.host
        assert ":" not in gateway.host
        assert 1 <= gateway.port <= 65535
        assert parse_gateway(gateway.host).host == gateway.host, "what is stored is read again"


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("gw", True),
        (NAME, True),
        ("GW.Example.Test", True),
        ("1.gw-2.x3", True),
        ("a" * 63, True),
        (".".join(["a" * 63] * 3 + ["a" * 61]), True),
        ("", False),
        ("a" * 64, False),
        (".".join(["a" * 63] * 3 + ["a" * 62]), False),
        ("-gw", False),
        ("gw-.example", False),
        ("gw..example", False),
        ("gw_1.example", False),
        ("gw example", False),
        ("gw\n", False),
        ("10.0.0.1", False),
        ("10.0.0.256", False),
        ("10.0.1", False),
        ("fe80::1", False),
    ],
)
def test_a_malformed_address_is_not_resolved_as_a_name(host: str, is_one: bool) -> None:
    assert is_dns_name(host) == is_one


@pytest.mark.parametrize(
    ("host", "resolved", "why"),
    [
        ("10.0.0.1", "", None),
        ("128.0.0.1", "", None),
        (NAME, "10.0.0.1", None),
        ("", "", Exclusion(ExclusionReason.NO_GATEWAY)),
        (NAME, "", Exclusion(ExclusionReason.GATEWAY_UNRESOLVED, NAME)),
        ("fe80::1", "", Exclusion(ExclusionReason.GATEWAY_NOT_IPV4, "fe80::1")),
        ("10.0.0.256", "", Exclusion(ExclusionReason.GATEWAY_MALFORMED, "10.0.0.256")),
        ("127.0.0.1", "", Exclusion(ExclusionReason.GATEWAY_NOT_ROUTABLE, "127.0.0.1")),
        (NAME, "127.0.0.1", Exclusion(ExclusionReason.GATEWAY_NOT_ROUTABLE, "127.0.0.1")),
        (NAME, "224.0.0.1", Exclusion(ExclusionReason.GATEWAY_NOT_ROUTABLE, "224.0.0.1")),
    ],
)
def test_a_gateway_has_an_ipv4_address_that_others_can_reach(
    host: str, resolved: str, why: Exclusion | None
) -> None:
    assert why_no_gateway(Member(name="a", gateway_host=host, resolved=resolved)) == why


def test_a_gateway_is_judged_once_for_all_services(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Mock(wraps=parse_gateway)
    monkeypatch.setattr("towpath.rules.gateway.parse_gateway", read)

    for _ in range(3):
        assert why_no_gateway(member("once", "once.example.test", resolved="10.0.0.1")) is None
    assert why_no_gateway(member("once", "once.example.test")) is not None
    assert read.call_count == 2


def test_an_address_counts_before_what_a_name_was_resolved_to() -> None:
    assert member("a", "10.0.0.1", resolved="10.0.0.2").gateway_ip == "10.0.0.1"
    assert member("a", NAME, resolved="10.0.0.2").gateway_ip == "10.0.0.2"


def test_a_flomesh_cluster_overrides_place_and_gateway() -> None:
    reported = member(
        "a",
        NAME,
        region="north",
        zone="n1",
        group="g",
        gateway_port=8080,
        resolved="10.9.9.9",
        drained=True,
        unreachable_since=5.0,
    )

    overridden = with_flomesh_cluster(reported, FlomeshCluster(gateway_host="10.0.2.4"))

    assert overridden.key == "default/default/default/a"
    assert (overridden.gateway_host, overridden.gateway_port) == ("10.0.2.4", 80)
    assert overridden.gateway_ip == "10.0.2.4"
    assert why_no_gateway(overridden) is None
    rest = {"imports", "drained", "unreachable_since", "name"}
    assert overridden.model_dump(include=rest) == reported.model_dump(include=rest)


def test_a_flomesh_cluster_without_gateway_removes_the_gateway() -> None:
    overridden = with_flomesh_cluster(member("a", "10.0.0.1"), FlomeshCluster(region="eu"))

    assert overridden.key == "eu/default/default/a"
    assert why_no_gateway(overridden) == Exclusion(ExclusionReason.NO_GATEWAY)


def test_an_address_that_was_found_for_another_name_is_not_used() -> None:
    reported = member("a", "old.example.test", resolved="10.0.0.1")

    overridden = with_flomesh_cluster(reported, FlomeshCluster(gateway_host=NAME))

    assert why_no_gateway(overridden) == Exclusion(ExclusionReason.GATEWAY_UNRESOLVED, NAME)
