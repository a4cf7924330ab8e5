"""Two services that want the same: a path on a gateway, or one name in both dialects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import FEW, worlds
from tests.support.worlds import KEY, WEB, condition, export, fleet, member, offered, reasons, service, world
from towpath.derivation.derive import Derived, derive
from towpath.model.claim import EVERYWHERE, Claim, ClaimRecord
from towpath.model.condition import CONFLICT, VALID
from towpath.model.export import Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.times import rfc3339, seconds
from towpath.model.world import ExportedService, Offer, World
from towpath.rules.contention import (
    NOT_RECORDED,
    claims_of,
    holders,
    is_shown,
    is_to_record,
    lost,
    may_record_later,
    records,
    settled,
    since,
)
from towpath.rules.reasons import Exclusion, ExclusionReason

OLD, NEW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
OTHER = ServiceKey(Dialect.FLOMESH, "bank", "api")
THIRD = KEY._replace(name="db")
TWIN = KEY._replace(dialect=Dialect.MULTICLUSTER)
FLEET = fleet("a", "b", "c")


def exported(
    key: ServiceKey, created: str, offer: Offer = WEB, clusters: Iterable[str] = "ab"
) -> ExportedService:
    return offered(dict.fromkeys(clusters, offer), key=key, created=created)


def second(first: ExportedService, key: ServiceKey = OTHER, offer: Offer = WEB) -> Derived:
    """Derive a younger service that ``a`` and ``b`` offer, beside the first."""
    return derive(world(FLEET, first, exported(key, NEW, offer))).services[key]


OTHERS = [
    OTHER,
    KEY._replace(name="api"),
    KEY._replace(namespace="bank"),
    OTHER._replace(dialect=Dialect.MULTICLUSTER),
]


@pytest.mark.parametrize("key", OTHERS, ids=str)
def test_a_path_stays_with_the_older_export(key: ServiceKey) -> None:
    older = exported(KEY, OLD, clusters="a")
    seen = second(older, key)

    assert seen.excluded == {"a": Exclusion(ExclusionReason.PATH_CLAIMED, "/web of ServiceExport shop/web")}
    assert seen.exporters == ("b",)
    assert condition(seen, VALID).status == "True"
    assert condition(seen, CONFLICT).reason == "PathConflict"
    assert derive(world(FLEET, older, exported(key, NEW))).services[KEY].exporters == ("a",)


@pytest.mark.parametrize(
    ("mine", "other", "contended"),
    [
        pytest.param(("/web", "Prefix"), ("/web", "Prefix"), True, id="the same"),
        pytest.param(("/web", "Prefix"), ("web/", "Prefix"), True, id="the same as FSM sees it"),
        pytest.param(("", "Prefix"), ("/", "Prefix"), True, id="the root"),
        pytest.param(("/web", "Prefix"), ("/web", "Exact"), False, id="another pathType"),
        pytest.param(("/web", "Prefix"), ("/web/x", "Prefix"), False, id="below it"),
        pytest.param(("/web", "Prefix"), ("/Web", "Prefix"), False, id="another case"),
        pytest.param(("/web", "Prefix"), ("/%77eb", "Prefix"), True, id="encoded"),
        pytest.param(("/a%20b", "Prefix"), ("/a%20%62", "Prefix"), True, id="encoded where it must be"),
        pytest.param(("/\u00e4", "Prefix"), ("/%c3%A4", "Prefix"), True, id="not ASCII"),
        pytest.param(("/web", "Prefix"), ("/x/%2e%2e/web", "Prefix"), True, id="dot segments"),
        pytest.param(("/a/b", "Prefix"), ("/a%2Fb", "Prefix"), True, id="an encoded slash"),
    ],
)
def test_paths_are_the_same_as_a_gateway_sees_them(
    mine: tuple[str, str], other: tuple[str, str], contended: bool
) -> None:
    def offer(path: str, kind: str) -> Offer:
        return replace(WEB, export=Export(rules=(ExportRule(port_number=80, path=path, path_type=kind),)))

    seen = second(exported(KEY, OLD, offer(*mine)), offer=offer(*other))

    assert set(reasons(seen).values()) == ({ExclusionReason.PATH_CLAIMED} if contended else set())


def test_one_contested_path_excludes_the_whole_export() -> None:
    """The member's controller refuses an export as a whole."""
    seen = second(
        exported(KEY, OLD, clusters="a"), offer=Offer(export((80, "/x"), (81, "/web")), service(80, 81))
    )

    assert seen.exporters == ("b",)


def test_all_claimed_paths_are_reported_the_first_as_reason() -> None:
    older = exported(KEY, OLD, Offer(export((80, "/y"), (81, "/x")), service(80, 81)), clusters="a")
    seen = second(older, offer=Offer(export((80, "/x"), (81, "/y")), service(80, 81)))

    assert seen.excluded == {"a": Exclusion(ExclusionReason.PATH_CLAIMED, "/x of ServiceExport shop/web")}
    assert condition(seen, CONFLICT).reason == "PathConflict"
    assert condition(seen, CONFLICT).message == (
        'Conflicting path. "/x" on the gateway of "a" was claimed earlier by service export "shop/web".'
        ' Conflicting path. "/y" on the gateway of "a" was claimed earlier by service export "shop/web".'
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda old: replace(old, offers={}), id="no longer bound"),
        pytest.param(lambda old: replace(old, offers={"c": WEB}), id="only bound elsewhere"),
        pytest.param(
            lambda old: replace(old, offers={"a": Offer(WEB.export, None)}), id="no Service: no Ingress"
        ),
        pytest.param(
            lambda old: replace(old, offers={"a": Offer(WEB.export, service(kind="ExternalName"))}),
            id="ExternalName",
        ),
        pytest.param(
            lambda old: replace(old, offers={"a": replace(WEB, export=export((80, "/w")))}), id="another path"
        ),
        pytest.param(
            lambda old: replace(old, offers={"a": replace(WEB, service=service(8080))}), id="no such port"
        ),
        pytest.param(lambda old: replace(old, created="2026-12-01T00:00:00Z"), id="made anew"),
    ],
)
def test_a_path_that_is_given_up_is_free(change: object) -> None:
    older = exported(KEY, OLD, clusters="a")

    assert reasons(second(older)) == {"a": ExclusionReason.PATH_CLAIMED}
    assert reasons(second(change(older))) == {}  # type: ignore[operator]


def test_a_path_outside_of_the_namespace_claims_nothing() -> None:
    squatter = replace(exported(OTHER, OLD), path_root="/bank")
    own = replace(exported(KEY, NEW, replace(WEB, export=export((80, "/%77eb")))), path_root="/web")
    made = derive(world(FLEET, squatter, own)).services

    assert reasons(made[OTHER]) == dict.fromkeys("ab", ExclusionReason.PATH_OUTSIDE)
    assert made[KEY].exporters == ("a", "b")


@pytest.mark.parametrize(
    ("held", "members"),
    [
        pytest.param(replace(WEB, refused="no"), FLEET, id="refused"),
        pytest.param(replace(WEB, going=True), FLEET, id="its Service goes"),
        pytest.param(WEB, FLEET | {"a": member("a", drained=True)}, id="drained"),
        pytest.param(WEB, FLEET | {"a": member("a", unreachable_since=-1e9)}, id="lost"),
    ],
)
def test_a_path_is_held_whether_or_not_its_holder_exports(held: Offer, members: dict[str, object]) -> None:
    """Otherwise the holder of a claim would depend on its own effects."""
    older = exported(KEY, OLD, held, clusters="a")
    made = derive(world(members, older, exported(OTHER, NEW))).services  # type: ignore[arg-type]

    assert claims_of(older) == {Claim("a", "/web", "Prefix"), Claim(EVERYWHERE, "shop/web", "name")}
    assert "a" not in made[OTHER].exporters
    assert condition(made[OTHER], CONFLICT).reason == "PathConflict"


def test_of_three_the_oldest_holds_the_path_and_then_the_next() -> None:
    three = [
        exported(KEY, NEW),
        exported(OTHER, OLD),
        exported(KEY._replace(name="db"), "2026-03-01T00:00:00Z"),
    ]
    for order in permutations(three):
        assert set(holders({each.key: each for each in order}).values()) >= {OTHER}
        assert derive(world(FLEET, *order)).services[OTHER].exporters == ("a", "b")
    left = derive(world(FLEET, three[0], three[2])).services
    assert left[three[2].key].exporters == ("a", "b")


def test_of_equally_old_exports_the_first_by_key_counts() -> None:
    made = derive(world(FLEET, exported(KEY, OLD), exported(OTHER, OLD))).services

    assert OTHER < KEY
    assert made[OTHER].exporters == ("a", "b")
    assert made[KEY].exporters == ()


@pytest.mark.parametrize("first", [KEY, TWIN], ids=str)
def test_of_one_name_in_two_dialects_the_older_counts_everywhere(first: ServiceKey) -> None:
    later = TWIN if first is KEY else KEY
    elsewhere = Offer(export((80, "/elsewhere")), service(80))
    made = derive(
        world(FLEET, exported(first, OLD, clusters="a"), exported(later, NEW, elsewhere, "bc"))
    ).services

    assert made[first].exporters == ("a",)
    assert made[later].exporters == ()
    taken = Exclusion(ExclusionReason.NAME_TAKEN, f"ServiceExport of {first.dialect.value}")
    assert made[later].excluded == {"b": taken, "c": taken}
    assert condition(made[later], VALID)[1:3] == ("False", "NameTaken")
    assert condition(made[later], CONFLICT).reason == "NoConflicts"


@pytest.mark.parametrize("dialect", Dialect)
def test_the_api_group_that_holds_the_name_is_reported(dialect: Dialect) -> None:
    first, later = KEY._replace(dialect=dialect), KEY if dialect is TWIN.dialect else TWIN
    seen = second(exported(first, OLD), later)

    assert re.search(rf"(?<![\w.]){re.escape(dialect.value)}(?![\w.])", condition(seen, VALID).message)


def test_a_taken_name_is_reported_even_for_an_unbound_export() -> None:
    seen = second(exported(KEY, OLD), TWIN)
    nowhere = derive(world(FLEET, exported(KEY, OLD), offered({}, key=TWIN, created=NEW))).services[TWIN]

    assert condition(nowhere, VALID) == condition(seen, VALID)
    assert reasons(nowhere) == {}


def test_a_name_is_free_when_the_older_export_has_gone() -> None:
    assert derive(world(FLEET, exported(TWIN, NEW))).services[TWIN].exporters == ("a", "b")


def test_a_name_in_another_namespace_is_another_name() -> None:
    other = TWIN._replace(namespace="bank")
    seen = second(exported(KEY, OLD), other, Offer(export((80, "/bank")), service(80)))

    assert seen.exporters == ("a", "b")


@given(worlds)
@FEW
def test_a_claim_is_held_by_the_oldest_claimant_alone(world: World) -> None:
    held = holders(world.services)
    for key, each in world.services.items():
        mine = {claim for claim in claims_of(each) if held[claim] == key}
        gone = {claim for claim, _ in lost(key, claims_of(each), held)}
        name_is_gone = any(claim.cluster == EVERYWHERE for claim in gone)
        assert len(gone) == 1 if name_is_gone else mine | gone == claims_of(each)
        for claim in mine:
            rivals = [other for other in world.services.values() if claim in claims_of(other)]
            began = since(each, claim)
            assert all(began <= since(other, claim) for other in rivals)
            if began != NOT_RECORDED:
                assert all(each.age <= other.age for other in rivals if began == since(other, claim))


@given(worlds)
@FEW
def test_on_no_gateway_two_exporters_have_the_same_path(world: World) -> None:
    seen = set()
    for key, each in derive(world).services.items():
        for name in each.exporters:
            for claim in claims_of(world.services[key]):
                if claim.cluster == name:
                    assert claim not in seen
                    seen.add(claim)


def recorded(service: ExportedService, *claims: tuple[str, str, str]) -> ExportedService:
    """Return a service whose status records claims: path, since, clusters."""
    return replace(
        service,
        claimed=tuple(
            ClaimRecord(path, "Prefix", began, tuple(clusters)) for path, began, clusters in claims
        ),
    )


def exporters(*services: ExportedService) -> dict[ServiceKey, tuple[str, ...]]:
    return {key: made.exporters for key, made in derive(world(FLEET, *services)).services.items()}


WEB_EXACTLY = ExportRule(port_number=80, path="/web", path_type="Exact")
LATER, NOW = "2026-07-01T00:00:00Z", 1_800_000_000.0


@pytest.mark.parametrize(
    ("younger", "older", "expected"),
    [
        pytest.param(
            recorded(exported(OTHER, NEW), ("/web", NEW, "ab")),
            recorded(exported(KEY, OLD), ("/before", OLD, "ab")),
            {OTHER: ("a", "b"), KEY: ()},
            id="an edited old export does not take a younger claim",
        ),
        pytest.param(
            recorded(exported(OTHER, NEW, clusters="b"), ("/web", NEW, "b")),
            recorded(exported(KEY, OLD), ("/web", OLD, "a")),
            {OTHER: ("b",), KEY: ("a",)},
            id="a claim reaches another cluster only from then on",
        ),
        pytest.param(
            recorded(exported(OTHER, NEW), ("/web", NEW, "a")),
            recorded(exported(KEY, OLD), ("/web", LATER, "a")),
            {OTHER: ("a", "b"), KEY: ()},
            id="in a new cluster the earliest claim elsewhere counts",
        ),
        pytest.param(
            recorded(exported(OTHER, NEW), ("/web", NEW, "ab")),
            recorded(exported(KEY, OLD), ("/web", LATER, "ab")),
            {OTHER: ("a", "b"), KEY: ()},
            id="the earliest of two recorded claims counts",
        ),
    ],
)
def test_a_recorded_claim_counts_from_its_time_in_a_cluster(
    younger: ExportedService, older: ExportedService, expected: dict[ServiceKey, tuple[str, ...]]
) -> None:
    assert exporters(younger, older) == expected


def test_an_edited_old_export_does_not_take_an_unrecorded_claim() -> None:
    """The younger export serves its path already, and its first status is still to be written."""
    younger = replace(recorded(exported(OTHER, NEW)), untouched=True)
    edited = recorded(exported(KEY, OLD), ("/before", OLD, "ab"))

    for old in (edited, recorded(exported(KEY, OLD)), replace(edited, claimed=())):
        assert exporters(younger, old) == {OTHER: ("a", "b"), KEY: ()}


def test_of_two_new_exports_the_older_has_the_path() -> None:
    new = [replace(recorded(exported(key, age)), untouched=True) for key, age in ((KEY, OLD), (OTHER, NEW))]

    for order in permutations(new):
        assert exporters(*order) == {KEY: ("a", "b"), OTHER: ()}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        pytest.param(replace(recorded(exported(KEY, OLD)), untouched=True), True, id="a new export"),
        pytest.param(exported(KEY, OLD), False, id="a CRD that records nothing"),
        pytest.param(recorded(exported(KEY, OLD)), True, id="a first path"),
        pytest.param(recorded(exported(KEY, OLD), ("/before", OLD, "ab")), True, id="another path"),
        pytest.param(recorded(exported(KEY, OLD), ("/web", OLD, "a")), True, id="a further cluster"),
        pytest.param(recorded(exported(KEY, OLD), ("/web", OLD, "abc")), True, id="a cluster less"),
        pytest.param(recorded(exported(KEY, OLD), ("/web", OLD, "ab")), False, id="nothing new"),
    ],
)
def test_a_claim_is_recorded_before_it_is_served(service: ExportedService, expected: bool) -> None:
    assert is_to_record(service, records_of(KEY, service)) is expected


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(
            exported(OTHER, NEW, replace(WEB, export=export((80, "/api")))), True, id="another path"
        ),
        pytest.param(exported(OTHER, NEW, clusters="c"), True, id="another gateway"),
        pytest.param(exported(OTHER, NEW), False, id="a younger export has the path"),
        pytest.param(exported(OTHER, OLD, clusters="b"), False, id="an older one"),
        pytest.param(
            exported(OTHER, NEW, Offer(Export(rules=(WEB_EXACTLY,)), WEB.service)),
            False,
            id="the other pathType",
        ),
    ],
)
def test_a_new_path_without_a_rival_is_recorded_later(other: ExportedService, expected: bool) -> None:
    new = replace(recorded(exported(KEY, OLD)), untouched=True)

    def claimants(claim: Claim) -> list[ServiceKey]:
        return [each.key for each in (new, other) if claim in claims_of(each)]

    assert may_record_later(new, claims_of(new), claimants) is expected
    assert not may_record_later(replace(new, untouched=False), claims_of(new), claimants)


def test_what_an_import_shows_is_claimed_before_it_is_recorded() -> None:
    shows = replace(recorded(exported(OTHER, NEW)), shown=frozenset({("a", "/web"), ("b", "/web")}))
    edited = recorded(exported(KEY, OLD), ("/web", OLD, "c"))

    assert exporters(shows, edited) == {OTHER: ("a", "b"), KEY: ()}
    assert claims_of(replace(shows, offers={"a": replace(WEB, service=None)})) >= {
        Claim("a", "/web", "Prefix")
    }


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ({("a", "/web"), ("b", "/web")}, True),
        ({("a", "/web"), ("b", "/web"), ("b", "/other")}, True),
        ({("a", "/web")}, False),
        ({("a", "/web"), ("b", "/other")}, False),
        (set(), False),
    ],
)
def test_an_import_stands_for_a_record_that_it_shows_whole(
    paths: set[tuple[str, str]], expected: bool
) -> None:
    record = ClaimRecord("/web", "Prefix", OLD, ("a", "b"))

    assert is_shown([record], paths) is expected
    assert not is_shown([record, record._replace(path_type="Exact")], paths), "an import shows no pathType"


ACTIONS = st.tuples(
    st.sampled_from(("edit", "edit", "pass", "pass", "change", "report", "port", "bind", "create")),
    st.sampled_from((KEY, OTHER, THIRD)),
    st.sampled_from(("/x", "/y", "/y=")),
)
"""A path with ``=`` is Exact."""

EDITS = {
    "a new export is edited before its status": [
        ("pass", OTHER, "/y"),
        ("change", OTHER, "/y"),
        ("edit", KEY, "/y"),
    ],
    "the port of an older rule appears later": [
        ("create", KEY, "/y"),
        ("port", KEY, "/y"),
        ("create", OTHER, "/y"),
        ("pass", OTHER, "/y"),
        ("port", KEY, "/y"),
    ],
    "a path is edited away and back before a pass": [
        ("report", KEY, "/x"),
        ("edit", OTHER, "/x"),
        ("report", OTHER, "/x"),
        ("edit", KEY, "/y"),
        ("pass", OTHER, "/x"),
        ("edit", KEY, "/x"),
    ],
    "a path that no status records is edited away and back before a pass": [
        ("pass", KEY, "/x"),
        ("edit", OTHER, "/x"),
        ("report", OTHER, "/x"),
        ("edit", KEY, "/y"),
        ("pass", OTHER, "/x"),
        ("edit", KEY, "/x"),
    ],
    "a binding goes away and back before a pass": [
        ("report", KEY, "/x"),
        ("edit", OTHER, "/x"),
        ("report", OTHER, "/x"),
        ("bind", KEY, "/y"),
        ("pass", OTHER, "/x"),
        ("bind", KEY, "/y"),
    ],
    "an import shows the path with the other pathType": [
        ("create", KEY, "/y"),
        ("create", OTHER, "/y="),
        ("pass", KEY, "/y"),
        ("pass", OTHER, "/y="),
        ("change", OTHER, "/y="),
        ("edit", KEY, "/y="),
    ],
    "a binding goes away and back before a pass and the first report": [
        ("pass", KEY, "/x"),
        ("edit", OTHER, "/x"),
        ("report", OTHER, "/x"),
        ("bind", KEY, "/y"),
        ("pass", OTHER, "/x"),
        ("bind", KEY, "/y"),
    ],
    "a path reaches a further cluster": [
        ("bind", KEY, "/y"),
        ("report", KEY, "/x"),
        ("edit", OTHER, "/x"),
        ("report", OTHER, "/x"),
        ("bind", OTHER, "/x"),
        ("pass", OTHER, "/x"),
        ("bind", KEY, "/x"),
    ],
}


class Gateway:
    """The exports of some gateways as a plugin treats them that may restart anywhere."""

    def __init__(self) -> None:
        self.now = seconds(OLD) or 0.0
        self.exports: dict[ServiceKey, ExportedService] = {}
        self.served: dict[ServiceKey, frozenset[Claim]] = {}
        self.imports: dict[ServiceKey, frozenset[tuple[str, str]]] = {}
        for key, path in ((KEY, "/x"), (OTHER, "/y"), (THIRD, "/z")):
            self.act("create", key, path)

    def act(self, action: str, key: ServiceKey, path: str) -> None:
        self.now += 1.0
        if action == "create":
            made = recorded(exported(key, rfc3339(self.now), offering(path), "a"))
            self.exports[key] = replace(made, untouched=True)
            self.served[key], self.imports[key] = frozenset(), frozenset()
            return
        export = self.exports[key]
        if action == "edit":
            offers = dict.fromkeys(export.offers, offering(path))
            touched = export.untouched and export.offers == offers
            self.exports[key] = replace(export, offers=offers, untouched=touched)
        elif action == "change":
            self.exports[key] = replace(export, untouched=False)
        elif action == "port":
            offer = next(iter(export.offers.values()))
            [number] = [p.port for p in (offer.service or WEB.service).ports]  # type: ignore[union-attr]
            turned = replace(offer, service=service(81 if number == 80 else 80))
            self.exports[key] = replace(export, offers=dict.fromkeys(export.offers, turned))
        elif action == "bind":
            offer = next(iter(export.offers.values()))
            bound = {*export.offers} ^ ({"c"} if path == "/x" else {"a", "b"})
            self.exports[key] = replace(export, offers=dict.fromkeys(sorted(bound) or "a", offer))
        elif action in {"pass", "report"}:
            found, live = self.records(key), self.imports[key]
            showing = self.shown(key)
            changes = bool(live) and live != showing
            may_wait = may_record_later(export, claims_of(export), self.claimants)
            later = may_wait and not changes and is_shown(found, showing)
            if action == "report" or (is_to_record(export, found) and not later):
                self.exports[key] = replace(export, claimed=found, untouched=False, shown=frozenset())
            self.served[key], self.imports[key] = self.held(key), showing
            if not self.exports[key].claimed:
                self.exports[key] = replace(self.exports[key], shown=showing)

    def shown(self, key: ServiceKey) -> frozenset[tuple[str, str]]:
        """Return what the import of an export shows: what it claims without any record, and holds."""
        present = claims_of(recorded(replace(self.exports[key], shown=frozenset())))
        return frozenset((c, path) for c, path, _ in self.held(key) & present if c)

    def claimants(self, claim: Claim) -> list[ServiceKey]:
        return [key for key, export in self.exports.items() if claim in claims_of(export)]

    def records(self, key: ServiceKey) -> tuple[ClaimRecord, ...]:
        held, mine = holders(self.exports), claims_of(self.exports[key])
        losing = {c: self.exports[by] for c, by in lost(key, mine, held)}
        return records(self.exports[key], mine, losing, self.now)

    def held(self, key: ServiceKey) -> frozenset[Claim]:
        held = holders(self.exports)
        return frozenset(claim for claim in claims_of(self.exports[key]) if held[claim] == key)


def offering(path: str) -> Offer:
    rule = ExportRule(port_number=80, path=path.rstrip("="), path_type="Exact" if "=" in path else "Prefix")
    return Offer(Export(rules=(rule,)), service(80))


def play(actions: list[tuple[str, ServiceKey, str]]) -> None:
    """Nothing that is served is lost, whatever others create, edit or gain, over restarts."""
    gateway = Gateway()
    for action in actions:
        gateway.act(*action)
        for key, exported in gateway.exports.items():
            assert gateway.served[key] & claims_of(exported) <= gateway.held(key), action


@pytest.mark.parametrize("actions", EDITS.values(), ids=EDITS)
def test_no_order_of_edits_takes_a_path(actions: list[tuple[str, ServiceKey, str]]) -> None:
    play(actions)


@given(st.lists(ACTIONS, min_size=4, max_size=24))
def test_a_path_that_is_served_is_lost_to_nobody(actions: list[tuple[str, ServiceKey, str]]) -> None:
    play(actions)


def test_a_recorded_claim_is_free_when_its_rival_goes() -> None:
    assert exporters(recorded(exported(KEY, OLD), ("/web", LATER, "ab"))) == {KEY: ("a", "b")}


def test_an_export_that_was_never_reported_is_the_latest() -> None:
    """Whoever keeps an export from being reported gains nothing by its age."""
    younger = recorded(exported(OTHER, NEW), ("/web", NEW, "ab"))

    assert exporters(younger, recorded(exported(KEY, OLD)))[KEY] == ()


@pytest.mark.parametrize(
    "offer",
    [
        pytest.param(Offer(WEB.export, None), id="without the Service"),
        pytest.param(Offer(WEB.export, service(8080)), id="without the port"),
        pytest.param(Offer(WEB.export, service(kind="ExternalName")), id="with an ExternalName"),
    ],
)
def test_a_recorded_claim_outlasts_its_service(offer: Offer) -> None:
    waiting = recorded(exported(OTHER, OLD), ("/web", LATER, "ab"))
    held = recorded(exported(KEY, NEW, offer), ("/web", NEW, "ab"))

    assert exporters(waiting, held)[OTHER] == ()


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(exported(KEY, NEW, Offer(export((80, "/elsewhere")), service(80))), id="by its rule"),
        pytest.param(exported(KEY, NEW, clusters="c"), id="by its binding"),
    ],
)
def test_a_path_that_is_left_is_free_without_its_record(left: ExportedService) -> None:
    held, waiting = recorded(left, ("/web", NEW, "ab")), recorded(exported(OTHER, OLD))

    assert exporters(waiting, held) == {OTHER: (), KEY: left_in(left)}
    assert exporters(waiting, settled(held)) == {OTHER: ("a", "b"), KEY: left_in(left)}
    assert exporters(waiting, replace(held, claimed=records_of(KEY, held)))[OTHER] == ("a", "b")


def left_in(service: ExportedService) -> tuple[str, ...]:
    return tuple(sorted(service.offers))


def records_of(key: ServiceKey, *services: ExportedService) -> tuple[ClaimRecord, ...]:
    by_key = {service.key: service for service in services}
    held, mine = holders(by_key), claims_of(by_key[key])
    return records(by_key[key], mine, {c: by_key[by] for c, by in lost(key, mine, held)}, NOW)


def test_claims_are_recorded_from_now_on_and_keep_their_time() -> None:
    begun = recorded(exported(KEY, OLD), ("/web", LATER, "a"))

    assert records_of(KEY, begun) == (
        ClaimRecord("/web", "Prefix", LATER, ("a",)),
        ClaimRecord("/web", "Prefix", "2027-01-15T08:00:00Z", ("b",)),
    )


def test_an_export_without_a_record_claims_since_creation() -> None:
    """What an older version of Towpath has reported stays as it was."""
    assert records_of(KEY, exported(KEY, OLD)) == (ClaimRecord("/web", "Prefix", OLD, ("a", "b")),)


def test_a_lost_claim_begins_after_its_holders_on_any_clock() -> None:
    ahead = recorded(exported(OTHER, NEW, clusters="a"), ("/web", "2027-01-15T09:00:00Z", "a"))

    assert records_of(KEY, recorded(exported(KEY, OLD, clusters="a")), ahead) == (
        ClaimRecord("/web", "Prefix", "2027-01-15T09:00:01Z", ("a",)),
    )


def test_a_lost_claim_is_recorded_when_its_holders_is() -> None:
    assert records_of(KEY, recorded(exported(KEY, NEW)), recorded(exported(OTHER, OLD))) == ()
