"""What is said of FSM where members have it, and of towpath-net where members have that."""

from __future__ import annotations

import pytest

from tests.support.worlds import export, key_of, member, service
from towpath.model.cluster import Member
from towpath.model.service import Service, ServicePort
from towpath.model.traffic import Spread, TrafficPolicy
from towpath.rules.export_warnings import export_warnings
from towpath.rules.ports import Exporter, exporter
from towpath.rules.reasons import Advice
from towpath.rules.traffic import surprises

OF_FSM = {
    Advice.SEVERAL_PORTS: ((80, "/a"), (81, "/b")),
    Advice.ROOT_PATH: ((80, "/"),),
    Advice.UNROUTED_PROTOCOL: ((80, "/a"),),
    Advice.NOT_HTTP: ((80, "/a"),),
}


def net(name: str) -> Member:
    return member(name, data_path=True)


def port(number: int, **more: object) -> ServicePort:
    return ServicePort.model_validate({"port": number, "targetPort": number, **more})


def offering(
    serves: Service, *members: Member, rules: tuple[tuple[int, str], ...] = ((80, "/a"),)
) -> list[Exporter]:
    return [exporter(exporting, export(*rules), serves) for exporting in members]


def reasons(exporters: list[Exporter], *importers: Member) -> set[object]:
    known = [exporting.member.key for exporting in exporters]
    return {warning.reason for warning in export_warnings(exporters, known, importers)}


def details(exporters: list[Exporter], *importers: Member) -> dict[object, str]:
    return {warning.reason: warning.detail for warning in export_warnings(exporters, [], importers)}


@pytest.mark.parametrize("reason", OF_FSM)
@pytest.mark.parametrize("fleet", ["fsm", "mixed", "net", "nobody imports"])
def test_what_fsm_cannot_import_is_said_where_it_imports(reason: Advice, fleet: str) -> None:
    importers = {"fsm": [member("c")], "mixed": [member("c"), net("d")], "net": [net("c"), net("d")]}
    protocol = {Advice.UNROUTED_PROTOCOL: "h2c", Advice.NOT_HTTP: "tcp"}.get(reason)
    serves = service(port(80, name="a", appProtocol=protocol), port(81, name="b"))
    exporters = offering(serves, net("a"), net("b"), rules=OF_FSM[reason])

    assert (reason in reasons(exporters, *importers.get(fleet, []))) == (fleet != "net")


def test_the_sidecar_of_fsm_is_named_where_it_exports() -> None:
    serves = service(port(80, targetPort=8080))

    assert details(offering(serves, member("a"), net("b")))[Advice.TARGET_PORT_DIFFERS].endswith(" in a")
    assert Advice.TARGET_PORT_DIFFERS not in reasons(offering(serves, net("a"), net("b")))


@pytest.mark.parametrize(
    ("exporters", "importers", "detail"),
    [
        ((net("a"), member("b")), (net("c"),), "port 80 in b"),
        ((member("a"), member("b")), (net("c"), member("d")), "port 80 in a, b"),
        ((net("a"), net("b")), (net("c"),), None),
        ((net("a"), member("b")), (member("c"),), None),
    ],
)
def test_a_tunnel_needs_towpath_net_at_both_ends(
    exporters: tuple[Member, ...], importers: tuple[Member, ...], detail: str | None
) -> None:
    database = offering(service(port(80, name="tcp-db")), *exporters)

    assert details(database, *importers).get(Advice.NO_TUNNEL) == detail


def test_a_protocol_that_is_tunnelled_everywhere_is_no_surprise() -> None:
    database = service(port(80, name="mysql"))

    assert Advice.OTHER_PROTOCOL not in reasons(offering(database, net("a")), net("b"))
    assert Advice.OTHER_PROTOCOL in reasons(offering(database, net("a")), net("b"), member("c"))
    assert Advice.OTHER_PROTOCOL in reasons(offering(database, member("a")), net("b"))


def test_a_headless_service_of_an_exporter_is_not_shared() -> None:
    headless = service(80).model_copy(update={"cluster_ip": "None"})

    assert details(offering(headless, member("a"), net("b")), net("c"))[Advice.HEADLESS_EXPORTER] == "b"
    assert Advice.HEADLESS_EXPORTER not in reasons(offering(headless, net("a")), net("c"))
    assert Advice.HEADLESS_EXPORTER not in reasons(offering(service(80), net("a"), net("b")), net("c"))


@pytest.mark.parametrize(
    ("consumers", "warnings"),
    [
        ((), {Advice.FAIL_OVER_OLD_FSM}),
        ((member("a"),), {Advice.FAIL_OVER_OLD_FSM}),
        ((net("a"),), set()),
        ((net("a"), member("d")), {Advice.FAIL_OVER_OLD_FSM}),
    ],
)
def test_of_a_policy_too_fsm_is_named_where_it_is(
    consumers: tuple[Member, ...], warnings: set[Advice]
) -> None:
    policy = TrafficPolicy.model_validate(
        {"lbType": Spread.FAIL_OVER, "targets": [{"clusterKey": key_of("b")}, {"clusterKey": key_of("c")}]}
    )
    exporters = offering(service(80), member("b"), member("c", gateway_port=81))
    known = [key_of(name) for name in "abcd"]

    found = surprises(policy, consumers=consumers, exporters=exporters, known=known, local=())

    assert {caution.reason for caution in found} == warnings


@pytest.mark.parametrize(("consumer", "is_warned"), [(member("a"), True), (net("a"), False)])
def test_weights_between_gateway_ports_concern_fsm(consumer: Member, is_warned: bool) -> None:
    targets = [{"clusterKey": key_of("b"), "weight": 1}, {"clusterKey": key_of("c"), "weight": 2}]
    policy = TrafficPolicy.model_validate({"lbType": Spread.ACTIVE_ACTIVE, "targets": targets})
    exporters = offering(service(80), member("b"), member("c", gateway_port=81))

    found = surprises(
        policy, consumers=[consumer], exporters=exporters, known=[key_of(n) for n in "abc"], local=()
    )

    assert (Advice.UNEQUAL_GATEWAY_PORTS in {caution.reason for caution in found}) == is_warned
