"""Two services that want the same: a path on a gateway, or one name in both dialects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given

from tests.support.strategies import FEW, worlds
from tests.support.worlds import KEY, WEB, condition, export, fleet, member, offered, reasons, service, world
from towpath.derivation.derive import Derived, derive
from towpath.model.condition import CONFLICT, VALID
from towpath.model.export import Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService, Offer, World
from towpath.rules.contention import EVERYWHERE, Claim, claims_of, holders, lost
from towpath.rules.reasons import Exclusion, ExclusionReason

OLD, NEW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
OTHER = ServiceKey(Dialect.FLOMESH, "bank", "api")
TWIN = KEY._replace(dialect=Dialect.MULTICLUSTER)
FLEET = fleet("a", "b", "c")


def one(key: ServiceKey, created: str, offer: Offer = WEB, clusters: Iterable[str] = "ab") -> ExportedService:
    return offered(dict.fromkeys(clusters, offer), key=key, created=created)


def second(first: ExportedService, key: ServiceKey = OTHER, offer: Offer = WEB) -> Derived:
    """Derive a younger service that ``a`` and ``b`` offer, beside the first."""
    return derive(world(FLEET, first, one(key, NEW, offer))).services[key]


OTHERS = [
    OTHER,
    KEY._replace(name="api"),
    KEY._replace(namespace="bank"),
    OTHER._replace(dialect=Dialect.MULTICLUSTER),
]


@pytest.mark.parametrize("key", OTHERS, ids=str)
def test_a_path_stays_with_the_older_export(key: ServiceKey) -> None:
    older = one(KEY, OLD, clusters="a")
    seen = second(older, key)

    assert seen.excluded == {"a": Exclusion(ExclusionReason.PATH_CLAIMED, "/web of ServiceExport shop/web")}
    assert seen.exporters == ("b",)
    assert condition(seen, VALID).status == "True"
    assert condition(seen, CONFLICT).reason == "PathConflict"
    assert derive(world(FLEET, older, one(key, NEW))).services[KEY].exporters == ("a",)


@pytest.mark.parametrize(
    ("mine", "other", "contended"),
    [
        pytest.param(("/web", "Prefix"), ("/web", "Prefix"), True, id="the same"),
        pytest.param(("/web", "Prefix"), ("web/", "Prefix"), True, id="the same as FSM sees it"),
        pytest.param(("", "Prefix"), ("/", "Prefix"), True, id="the root"),
        pytest.param(("/web", "Prefix"), ("/web", "Exact"), False, id="another pathType"),
        pytest.param(("/web", "Prefix"), ("/web/x", "Prefix"), False, id="below it"),
        pytest.param(("/web", "Prefix"), ("/Web", "Prefix"), False, id="another case"),
    ],
)
def test_paths_are_the_same_as_a_gateway_sees_them(
    mine: tuple[str, str], other: tuple[str, str], contended: bool
) -> None:
    def offer(path: str, kind: str) -> Offer:
        return replace(WEB, export=Export(rules=(ExportRule(port_number=80, path=path, path_type=kind),)))

    seen = second(one(KEY, OLD, offer(*mine)), offer=offer(*other))

    assert set(reasons(seen).values()) == ({ExclusionReason.PATH_CLAIMED} if contended else set())


def test_one_contested_path_excludes_the_whole_export() -> None:
    """The member's controller refuses an export as a whole."""
    seen = second(one(KEY, OLD, clusters="a"), offer=Offer(export((80, "/x"), (81, "/web")), service(80, 81)))

    assert seen.exporters == ("b",)


def test_all_claimed_paths_are_told_and_the_first_is_the_reason() -> None:
    older = one(KEY, OLD, Offer(export((80, "/y"), (81, "/x")), service(80, 81)), clusters="a")
    seen = second(older, offer=Offer(export((80, "/x"), (81, "/y")), service(80, 81)))

    assert seen.excluded == {"a": Exclusion(ExclusionReason.PATH_CLAIMED, "/x of ServiceExport shop/web")}
    assert condition(seen, CONFLICT).reason == "PathConflict"
    assert condition(seen, CONFLICT).message == (
        'Conflicting path. "/x" on the gateway of "a" belongs to older service export "shop/web".'
        ' Conflicting path. "/y" on the gateway of "a" belongs to older service export "shop/web".'
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
        pytest.param(lambda old: replace(old, created="2026-12-01T00:00:00Z"), id="made anew"),
    ],
)
def test_a_path_that_is_given_up_is_free(change: object) -> None:
    older = one(KEY, OLD, clusters="a")

    assert reasons(second(older)) == {"a": ExclusionReason.PATH_CLAIMED}
    assert reasons(second(change(older))) == {}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("held", "members"),
    [
        pytest.param(replace(WEB, refused="no"), FLEET, id="refused"),
        pytest.param(replace(WEB, going=True), FLEET, id="its Service goes"),
        pytest.param(replace(WEB, service=service(8080)), FLEET, id="no matching port"),
        pytest.param(WEB, FLEET | {"a": member("a", drained=True)}, id="drained"),
        pytest.param(WEB, FLEET | {"a": member("a", unreachable_since=-1e9)}, id="lost"),
    ],
)
def test_a_path_is_held_whether_or_not_its_holder_exports(held: Offer, members: dict[str, object]) -> None:
    """Otherwise who holds what would depend on what depends on it."""
    older = one(KEY, OLD, held, clusters="a")
    made = derive(world(members, older, one(OTHER, NEW))).services  # type: ignore[arg-type]

    assert claims_of(older) == {Claim("a", "/web", "Prefix"), Claim(EVERYWHERE, "shop/web", "name")}
    assert "a" not in made[OTHER].exporters
    assert condition(made[OTHER], CONFLICT).reason == "PathConflict"


def test_of_three_the_oldest_holds_the_path_and_then_the_next() -> None:
    three = [one(KEY, NEW), one(OTHER, OLD), one(KEY._replace(name="db"), "2026-03-01T00:00:00Z")]
    for order in permutations(three):
        assert set(holders({each.key: each for each in order}).values()) >= {OTHER}
        assert derive(world(FLEET, *order)).services[OTHER].exporters == ("a", "b")
    left = derive(world(FLEET, three[0], three[2])).services
    assert left[three[2].key].exporters == ("a", "b")


def test_of_equally_old_exports_the_first_by_key_counts() -> None:
    made = derive(world(FLEET, one(KEY, OLD), one(OTHER, OLD))).services

    assert OTHER < KEY
    assert made[OTHER].exporters == ("a", "b")
    assert made[KEY].exporters == ()


@pytest.mark.parametrize("first", [KEY, TWIN], ids=str)
def test_of_one_name_in_two_dialects_the_older_counts_everywhere(first: ServiceKey) -> None:
    later = TWIN if first is KEY else KEY
    elsewhere = Offer(export((80, "/elsewhere")), service(80))
    made = derive(world(FLEET, one(first, OLD, clusters="a"), one(later, NEW, elsewhere, "bc"))).services

    assert made[first].exporters == ("a",)
    assert made[later].exporters == ()
    taken = Exclusion(ExclusionReason.NAME_TAKEN, f"ServiceExport of {first.dialect.value}")
    assert made[later].excluded == {"b": taken, "c": taken}
    assert condition(made[later], VALID)[1:3] == ("False", "NameTaken")
    assert condition(made[later], CONFLICT).reason == "NoConflicts"


@pytest.mark.parametrize("dialect", Dialect)
def test_the_group_that_has_the_name_is_told_as_it_is_written(dialect: Dialect) -> None:
    first, later = KEY._replace(dialect=dialect), KEY if dialect is TWIN.dialect else TWIN
    seen = second(one(first, OLD), later)

    assert re.search(rf"(?<![\w.]){re.escape(dialect.value)}(?![\w.])", condition(seen, VALID).message)


def test_a_taken_name_is_reported_even_for_an_unbound_export() -> None:
    seen = second(one(KEY, OLD), TWIN)
    nowhere = derive(world(FLEET, one(KEY, OLD), offered({}, key=TWIN, created=NEW))).services[TWIN]

    assert condition(nowhere, VALID) == condition(seen, VALID)
    assert reasons(nowhere) == {}


def test_a_name_is_free_when_the_older_export_has_gone() -> None:
    assert derive(world(FLEET, one(TWIN, NEW))).services[TWIN].exporters == ("a", "b")


def test_a_name_in_another_namespace_is_another_name() -> None:
    other = TWIN._replace(namespace="bank")
    seen = second(one(KEY, OLD), other, Offer(export((80, "/bank")), service(80)))

    assert seen.exporters == ("a", "b")


@given(worlds)
@FEW
def test_a_claim_is_held_by_the_oldest_claimant_alone(some: World) -> None:
    held = holders(some.services)
    for key, each in some.services.items():
        mine = {claim for claim in claims_of(each) if held[claim] == key}
        gone = {claim for claim, _ in lost(key, claims_of(each), held)}
        name_is_gone = any(claim.cluster == EVERYWHERE for claim in gone)
        assert len(gone) == 1 if name_is_gone else mine | gone == claims_of(each)
        for claim in mine:
            rivals = [other for other in some.services.values() if claim in claims_of(other)]
            assert all(each.age <= other.age for other in rivals)


@given(worlds)
@FEW
def test_on_no_gateway_two_exporters_have_the_same_path(some: World) -> None:
    seen = set()
    for key, each in derive(some).services.items():
        for name in each.exporters:
            for claim in claims_of(some.services[key]):
                if claim.cluster == name:
                    assert claim not in seen
                    seen.add(claim)
