"""Which calls `towpath verify` makes, and from where none can be made."""

from __future__ import annotations

from tests.support.worlds import KEY, key_of
from towpath.derivation.explanation import Explanation, ImportingCluster, TrafficState
from towpath.model.view import Endpoint, ImportPort, Target
from towpath.rules.reasons import CallReason
from towpath.verification.plan import Call, Pair, Place, plan

PLACES = {
    key_of("a"): Place("a", data_path=True),
    key_of("b"): Place("b", data_path=False),
    key_of("c"): Place("c", data_path=True),
    key_of("d"): Place("d", data_path=True, lost=True),
}
WEB = "shop/web"


def port(number: int, *exporters: str, path: str = "/web", name: str | None = None) -> ImportPort:
    endpoints = tuple(
        Endpoint(cluster_key=key_of(e), target=Target(host="gw", ip=f"10.0.0.{ord(e)}", port=80, path=path))
        for e in exporters
    )
    return ImportPort(port=number, protocol="TCP", name=name, endpoints=endpoints)


def explained(traffic: str = "", **importers: ImportPort) -> Explanation:
    imports = tuple(ImportingCluster(name, key_of(name), (found,)) for name, found in importers.items())
    policy = TrafficState(traffic, (), (), ()) if traffic else None
    return Explanation(KEY, importers=imports, traffic=policy)


def test_each_exporter_is_called_at_its_gateway() -> None:
    found = plan([explained(c=port(80, "a", "b"))], PLACES, "/ready")

    assert found.calls == {
        "c": (
            Call(Pair(WEB, "c", "a", 80), "GET 10.0.0.97:80 /web/ready"),
            Call(Pair(WEB, "c", "b", 80), "GET 10.0.0.98:80 /web/ready", is_plain=True),
        )
    }
    assert found.left_out == ()


def test_the_root_path_is_no_double_slash() -> None:
    (call,) = plan([explained(c=port(80, "a", path="/"))], PLACES, "/").calls["c"]
    assert call.target == "GET 10.0.0.97:80 /"


def test_a_port_that_is_no_http_is_called_through_its_tunnel() -> None:
    (call,) = plan([explained("ActiveActive", c=port(6379, "a", name="redis"))], PLACES, "/").calls["c"]
    assert call.target == "CONNECT 10.0.0.97:80 web.shop.tunnel.towpath.io:6379"


def test_the_name_is_called_where_calls_go_elsewhere() -> None:
    def names(traffic: str) -> list[str]:
        calls = plan([explained(traffic, c=port(80, "a"))], PLACES, "/").calls["c"]
        return [call.target for call in calls if call.pair.exporter == "any"]

    assert names("ActiveActive") == names("FailOver") == ["GET web.shop:80 /"]
    assert names("Locality") == names("") == []


def test_a_cluster_that_cannot_call_is_left_out_with_its_reason() -> None:
    found = plan([explained(a=port(80, "c"), b=port(80, "a", "c"), d=port(80, "a"))], PLACES, "/")

    assert list(found.calls) == ["a"]
    assert [(o.pair.importer, o.pair.exporter, o.reason, o.made) for o in found.left_out] == [
        ("b", "a", CallReason.NO_DATA_PATH, False),
        ("b", "c", CallReason.NO_DATA_PATH, False),
        ("d", "a", CallReason.CLUSTER_LOST, False),
    ]


def test_only_the_chosen_clusters_call() -> None:
    found = plan([explained(a=port(80, "c"), b=port(80, "c"), c=port(80, "a"))], PLACES, "/", ["c"])
    assert (list(found.calls), found.left_out) == (["c"], ())
