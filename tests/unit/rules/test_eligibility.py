"""Why a cluster does not export: every reason, both ways, and which of several is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

import pytest

from tests.support.worlds import (
    HEADLESS,
    KEY,
    WEB,
    export,
    fleet,
    key_of,
    member,
    offered,
    reasons,
    service,
    world,
)
from towpath.derivation.derive import Derived, derive
from towpath.derivation.warnings import advise
from towpath.model.cluster import DRAIN_ANNOTATION, Fleet, Member
from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import Absence, ExportedService, Offer
from towpath.rules import eligibility
from towpath.rules.eligibility import drain_list, drained, is_set
from towpath.rules.reasons import Advice, Exclusion, ExclusionReason

OLD, NEW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
YOUNG_WEB = replace(WEB, created=NEW)
LATER = 1000.0


@dataclass
class Case:
    """A service that ``a`` and ``b`` export, and what is in the way in ``a``."""

    members: dict[str, Member] = field(default_factory=lambda: {"a": member("a"), "b": member("b")})
    offer: Offer = YOUNG_WEB
    other: Offer = YOUNG_WEB
    more: list[ExportedService] = field(default_factory=list)
    key: ServiceKey = KEY
    path_root: str = ""

    def derive(self) -> Derived:
        annotations = {WHEN_UNREACHABLE: "Withdraw"}
        offers = {"a": self.offer, "b": self.other}
        exported = offered(
            offers, key=self.key, created=NEW, annotations=annotations, path_root=self.path_root
        )
        return derive(world(self.members, exported, *self.more, now=LATER)).services[self.key]

    def reserve(self) -> None:
        self.key = KEY._replace(namespace="kube-system")

    def member(self, **change: object) -> None:
        if "a" in self.members:
            self.members["a"] = self.members["a"].model_copy(update=change)

    def change(self, **change: object) -> None:
        self.offer = replace(self.offer, **change)  # type: ignore[arg-type]

    def has_service(self, **change: object) -> None:
        if self.offer.service is not None:
            self.change(service=self.offer.service.model_copy(update=change))

    def is_ready_again(self) -> None:
        self.member(ready_since=LATER)
        self.change(absence=Absence.FAILED, obstacle='services "web" already exists')

    def is_outside(self) -> None:
        self.path_root = "/web"
        self.change(export=export((80, "/web/x"), (81, "/web/../other")))

    def older(self, **key: object) -> None:
        exported = offered({"a": WEB}, key=KEY._replace(**key), created=OLD)  # type: ignore[arg-type]
        self.more.append(exported)

    def is_not_as_the_oldest(self) -> None:
        self.other = replace(HEADLESS, created=OLD)


IN_THE_WAY: dict[ExclusionReason, tuple[str, Callable[[Case], object]]] = {
    ExclusionReason.NOT_A_MEMBER: ("", lambda case: case.members.pop("a")),
    ExclusionReason.NAMESPACE_RESERVED: ("", Case.reserve),
    ExclusionReason.NAME_TAKEN: (
        "ServiceExport of multicluster.flomesh.io",
        lambda case: case.older(dialect=Dialect.MULTICLUSTER),
    ),
    ExclusionReason.SERVICE_NOT_BOUND: ("", lambda case: case.change(service=None)),
    ExclusionReason.NOT_APPLIED_YET: ("", lambda case: case.change(absence=Absence.PENDING)),
    ExclusionReason.NOT_REPORTED_YET: (
        "Service",
        lambda case: case.change(absence=Absence.UNREPORTED, obstacle="Service"),
    ),
    ExclusionReason.CATCHING_UP: ("Ready since 1970-01-01T00:16:40Z", Case.is_ready_again),
    ExclusionReason.SUSPENDED: ("", lambda case: case.change(absence=Absence.SUSPENDED)),
    ExclusionReason.APPLY_FAILED: ("no", lambda case: case.change(absence=Absence.FAILED, obstacle="no")),
    ExclusionReason.SERVICE_GOING: ("", lambda case: case.change(going=True)),
    ExclusionReason.EXTERNAL_NAME: ("", lambda case: case.has_service(type="ExternalName")),
    ExclusionReason.NO_MATCHING_PORT: ("", lambda case: case.has_service(ports=service(8080).ports)),
    ExclusionReason.PATH_OUTSIDE: ("/web/../other", Case.is_outside),
    ExclusionReason.PATH_CLAIMED: (
        "/web of ServiceExport bank/api",
        lambda case: case.older(namespace="bank", name="api"),
    ),
    ExclusionReason.REFUSED_IN_MEMBER: ("no", lambda case: case.change(refused="no")),
    ExclusionReason.NO_GATEWAY: ("", lambda case: case.member(gateway_host="")),
    ExclusionReason.GATEWAY_NOT_IPV4: ("::1", lambda case: case.member(gateway_host="::1")),
    ExclusionReason.GATEWAY_UNRESOLVED: ("gw.test", lambda case: case.member(gateway_host="gw.test")),
    ExclusionReason.GATEWAY_URL: ("http://x", lambda case: case.member(gateway_host="http://x")),
    ExclusionReason.GATEWAY_SEVERAL: ("x,y", lambda case: case.member(gateway_host="x,y")),
    ExclusionReason.GATEWAY_PORT: ("x:99999", lambda case: case.member(gateway_host="x:99999")),
    ExclusionReason.GATEWAY_MALFORMED: ("1.2.3", lambda case: case.member(gateway_host="1.2.3")),
    ExclusionReason.GATEWAY_NOT_ROUTABLE: ("127.0.0.1", lambda case: case.member(gateway_host="127.0.0.1")),
    ExclusionReason.DRAINED: ("", lambda case: case.member(drained=True)),
    ExclusionReason.UNREACHABLE: ("", lambda case: case.member(unreachable_since=0.0)),
    ExclusionReason.TYPE_CONFLICT: ("", Case.is_not_as_the_oldest),
}
"""What each reason is about, and how to bring it about."""


EVERYWHERE = {ExclusionReason.NAMESPACE_RESERVED, ExclusionReason.NAME_TAKEN}


def test_the_table_has_every_reason_not_to_export() -> None:
    assert set(IN_THE_WAY) == set(ExclusionReason)


def test_without_anything_in_the_way_a_cluster_exports() -> None:
    seen = Case().derive()

    assert seen.exporters == ("a", "b")
    assert seen.excluded == {}


@pytest.mark.parametrize("reason", ExclusionReason)
def test_a_cluster_that_does_not_export_has_a_reason(reason: ExclusionReason) -> None:
    detail, bring_about = IN_THE_WAY[reason]
    case = Case()
    bring_about(case)

    seen = case.derive()

    assert seen.excluded["a"] == Exclusion(reason, detail)
    assert seen.excluded["a"].text == (f"{detail}: {reason.text}" if detail else reason.text)
    assert reasons(seen).get("b") == (reason if reason in EVERYWHERE else None)


def pairs() -> list[tuple[ExclusionReason, ExclusionReason]]:
    gateways = {reason for reason in ExclusionReason if reason.name.startswith(("GATEWAY", "NO_GATEWAY"))}
    absences = set(list(ExclusionReason)[list(ExclusionReason).index(ExclusionReason.NOT_APPLIED_YET) :][:5])
    # A cluster has only one gateway, and its objects are absent for only one cause, be it that it is lost.
    absences.add(ExclusionReason.UNREACHABLE)
    pairs = combinations(ExclusionReason, 2)
    return [pair for pair in pairs if not gateways.issuperset(pair) and not absences.issuperset(pair)]


@pytest.mark.parametrize(("first", "second"), pairs())
def test_of_two_reasons_the_more_fundamental_is_reported(
    first: ExclusionReason, second: ExclusionReason
) -> None:
    """The order is that of the registry, and of the condition that names the nearest cluster's reason."""
    case = Case()
    # What takes a thing away comes last: there would be nothing to change.
    for reason in (second, first):
        IN_THE_WAY[reason][1](case)

    assert reasons(case.derive())["a"] is first


@pytest.mark.parametrize("absence", Absence)
def test_objects_are_absent_where_a_cluster_is_lost(absence: Absence) -> None:
    """Whatever Karmada says of them follows from the loss, but for what a user has suspended."""
    case = Case()
    case.change(absence=absence, obstacle="connection refused")
    case.member(unreachable_since=0.0)

    is_suspended = absence is Absence.SUSPENDED
    expected = ExclusionReason.SUSPENDED if is_suspended else ExclusionReason.UNREACHABLE
    assert case.derive().excluded["a"] == Exclusion(expected)


A_RULE = (80, "/web")


@pytest.mark.parametrize(
    ("rules", "ports", "matches"),
    [
        ([A_RULE], [80], True),
        ([(81, "/x"), A_RULE], [443, 80], True),
        ([A_RULE], [81], False),
        ([], [80], False),
        ([A_RULE], [], False),
    ],
)
def test_one_rule_that_names_a_port_is_enough(
    rules: list[tuple[int, str]],
    ports: list[int],
    matches: bool,
) -> None:
    case = Case(offer=Offer(export(*rules), service(*ports)))

    assert reasons(case.derive()).get("a") is (None if matches else ExclusionReason.NO_MATCHING_PORT)


@pytest.mark.parametrize("refused", ["", "the path is taken"])
def test_a_cluster_that_reports_valid_false_does_not_export(refused: str) -> None:
    seen = Case(offer=replace(WEB, refused=refused)).derive()

    assert seen.excluded == {"a": Exclusion(ExclusionReason.REFUSED_IN_MEMBER, refused)}


DRAINS: list[tuple[Mapping[str, str], set[str]]] = [
    ({}, set()),
    ({DRAIN_ANNOTATION: ""}, set()),
    ({DRAIN_ANNOTATION: "false"}, set()),
    ({DRAIN_ANNOTATION: " , "}, set()),
    ({DRAIN_ANNOTATION: "nobody"}, set()),
    ({DRAIN_ANNOTATION: "A"}, set()),
    ({DRAIN_ANNOTATION: "true"}, {"a", "b"}),
    ({DRAIN_ANNOTATION: " true "}, {"a", "b"}),
    ({DRAIN_ANNOTATION: "a"}, {"a"}),
    ({DRAIN_ANNOTATION: " b ,, a "}, {"a", "b"}),
    ({DRAIN_ANNOTATION: key_of("b")}, {"b"}),
    ({DRAIN_ANNOTATION: "eu/default/default/b"}, set()),
    ({DRAIN_ANNOTATION: "b,default"}, {"b"}),
]


@pytest.mark.parametrize(("annotations", "which"), DRAINS)
def test_an_export_drains_clusters_by_name_by_key_or_all(
    annotations: Mapping[str, str], which: set[str]
) -> None:
    members = {"a": member("a"), "b": member("b")}
    exported = offered({"a": WEB, "b": WEB}, annotations=annotations)

    assert {name for name in members if drained(exported, members[name])} == which
    assert reasons(derive(world(members, exported)).services[KEY]) == dict.fromkeys(
        sorted(which), ExclusionReason.DRAINED
    )


@pytest.mark.parametrize("annotation", ["false", "", "b"])
def test_a_member_that_is_drained_is_so_for_every_service(annotation: str) -> None:
    exported = offered({}, annotations={DRAIN_ANNOTATION: annotation})

    assert drained(exported, member("a", drained=True))
    assert drained(offered({}), member("a", drained=True))


@pytest.mark.parametrize("text", ["false", "", "yes", "True", "1"])
def test_only_true_is_on(text: str) -> None:
    assert not is_set(text)
    assert is_set("true")


def test_a_drained_cluster_still_imports() -> None:
    members = {"a": member("a", drained=True), "b": member("b")}

    assert set(derive(world(members, offered({"a": WEB, "b": WEB}))).services[KEY].views) == {"a"}


@pytest.mark.parametrize(
    ("text", "unknown"), [("a", []), ("true", []), ("false", []), (key_of("a"), []), ("a, x ,y", ["x", "y"])]
)
def test_draining_an_unknown_cluster_is_reported(text: str, unknown: list[str]) -> None:
    cluster_set, exported = (
        Fleet({"a": member("a")}),
        offered({"a": WEB}, annotations={DRAIN_ANNOTATION: text}),
    )
    warnings = advise(exported, derive(world(cluster_set.members, exported)).services[KEY], cluster_set)

    assert [caution.detail for caution in warnings if caution.reason is Advice.BAD_ANNOTATION] == [
        f"{name!r}: must be the name or the key of a member cluster" for name in unknown
    ]
    assert drain_list(exported) == {part.strip() for part in text.split(",") if part not in {"true", "false"}}


def test_an_annotation_is_read_once_for_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant decides how long it is, and there may be a thousand members."""
    read: list[str] = []

    def listed(text: str) -> list[str]:
        read.append(text)
        return ["c7"]

    monkeypatch.setattr(eligibility, "listed", listed)
    members = fleet(*(f"c{number}" for number in range(50)))
    long = offered(dict.fromkeys(members, WEB), annotations={DRAIN_ANNOTATION: "c7," * 80_000})
    found = derive(world(members, long)).services[KEY]
    assert found.excluded["c7"].reason is ExclusionReason.DRAINED
    assert len(read) == 1
