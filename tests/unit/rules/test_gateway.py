"""Where a member's gateway is, and whether others can connect to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.worlds import member
from towpath.model.cluster import FlomeshCluster, Member
from towpath.rules.gateway import is_dns_name, parse_gateway, why_no_gateway, with_flomesh_cluster
from towpath.rules.reasons import Exclusion, ExclusionReason

NAME = "gw.example.test"


@pytest.mark.parametrize(
    ("text", "gateway"),
    [
        ("10.0.0.1", ("10.0.0.1", 80)),
        ("10.0.0.1:8080", ("10.0.0.1", 8080)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        (f" {NAME}:1 ", (NAME, 1)),
        ("", None),
        ("  ", None),
        (":80", None),
        ("10.0.0.1:", None),
        ("10.0.0.1:0", None),
        ("10.0.0.1:65536", None),
        ("10.0.0.1:-1", None),
        ("10.0.0.1:http", None),
        ("10.0.0.1:٨٠", None),
        ("10.0.0.1:80:80", None),
        ("[fe80::1]:80", None),
        ("fe80::1", None),
    ],
)
def test_a_gateway_annotation_is_a_host_with_or_without_a_port(
    text: str, gateway: tuple[str, int] | None
) -> None:
    assert parse_gateway(text) == gateway


@given(st.text() | st.from_regex(r"\A.{0,5}:\d{0,6}\Z"))
def test_any_annotation_is_read_or_refused(text: str) -> None:
    gateway = parse_gateway(text)

    if gateway is not None:
        host, number = gateway
        assert host
        assert ":" not in host
        assert 1 <= number <= 65535


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
def test_what_looks_like_an_address_is_no_name_to_look_up(host: str, is_one: bool) -> None:
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
        ("10.0.0.256", "", Exclusion(ExclusionReason.GATEWAY_NOT_IPV4, "10.0.0.256")),
        ("10.0.1", "", Exclusion(ExclusionReason.GATEWAY_NOT_IPV4, "10.0.1")),
        ("010.0.0.1", "", Exclusion(ExclusionReason.GATEWAY_NOT_IPV4, "010.0.0.1")),
        ("127.0.0.1", "", Exclusion(ExclusionReason.GATEWAY_LOCAL, "127.0.0.1")),
        ("127.255.0.9", "", Exclusion(ExclusionReason.GATEWAY_LOCAL, "127.255.0.9")),
        ("0.0.0.0", "", Exclusion(ExclusionReason.GATEWAY_LOCAL, "0.0.0.0")),  # noqa: S104 - not to listen on
        ("localhost", "127.0.0.1", Exclusion(ExclusionReason.GATEWAY_LOCAL, "127.0.0.1")),
    ],
)
def test_a_gateway_has_an_ipv4_address_that_others_can_reach(
    host: str, resolved: str, why: Exclusion | None
) -> None:
    assert why_no_gateway(Member(name="a", gateway_host=host, resolved=resolved)) == why


def test_an_address_counts_before_what_a_name_was_resolved_to() -> None:
    assert member("a", "10.0.0.1", resolved="10.0.0.2").gateway_ip == "10.0.0.1"
    assert member("a", NAME, resolved="10.0.0.2").gateway_ip == "10.0.0.2"


def test_a_flomesh_cluster_overrides_place_and_gateway() -> None:
    said = member(
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

    overridden = with_flomesh_cluster(said, FlomeshCluster(gateway_host="10.0.2.4"))

    assert overridden.key == "default/default/default/a"
    assert (overridden.gateway_host, overridden.gateway_port) == ("10.0.2.4", 80)
    assert overridden.gateway_ip == "10.0.2.4"
    assert why_no_gateway(overridden) is None
    rest = {"imports", "drained", "unreachable_since", "name"}
    assert overridden.model_dump(include=rest) == said.model_dump(include=rest)


def test_a_flomesh_cluster_without_gateway_removes_the_gateway() -> None:
    overridden = with_flomesh_cluster(member("a", "10.0.0.1"), FlomeshCluster(region="eu"))

    assert overridden.key == "eu/default/default/a"
    assert why_no_gateway(overridden) == Exclusion(ExclusionReason.NO_GATEWAY)


def test_an_address_that_was_found_for_another_name_is_not_used() -> None:
    said = member("a", "old.example.test", resolved="10.0.0.1")

    overridden = with_flomesh_cluster(said, FlomeshCluster(gateway_host=NAME))

    assert why_no_gateway(overridden) == Exclusion(ExclusionReason.GATEWAY_UNRESOLVED, NAME)
