"""Every reason, condition and warning has the shape and the words of docs/style.md."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given

from tests.support.checkout import TOP
from tests.support.strategies import FEW, worlds
from tests.unit.reference.test_reasons import registries
from towpath.derivation.derive import derive
from towpath.derivation.warnings import advise
from towpath.model.arrival import Arrival
from towpath.model.cluster import Fleet, Member
from towpath.model.condition import Condition
from towpath.model.world import World
from towpath.rules import conditions
from towpath.rules.reasons import Advice, Caution, Exclusion, ExclusionReason, InvalidReason, Reason

STYLE = (TOP / "docs" / "style.md").read_text()
BANNED = re.findall(r"`([a-z ]+)`", STYLE.partition("## Not these")[2])
SENTENCES = re.compile(r"[A-Z`\"'0-9][^\n]*[^\s:;,.]\.")


def problems(text: str) -> list[str]:
    """Return what is wrong with a message."""
    parts = text.split(": ")  # a field or an object may hold a colon itself
    sentences = (": ".join(parts[index:]) for index in range(len(parts)))
    shape = [] if any(SENTENCES.fullmatch(sentence) for sentence in sentences) else ["shape"]
    words = [word for word in BANNED if re.search(rf"\b{word}\b", text, re.IGNORECASE)]
    return [*shape, *words, *(["blanks"] if "  " in text or text != text.strip() else [])]


def test_the_page_bans_words() -> None:
    assert "who" in BANNED
    assert len(BANNED) > 10


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("The Service is being deleted.", []),
        ("spec.rules[0].portNumber (port 90): The Service has no such port. Set another.", []),
        ("metadata.name (ServiceExport of flomesh.io): Karmada cannot tell them apart.", []),
        ("spec.lbType: the Service is being deleted", ["shape"]),
        ("The Service is being deleted", ["shape"]),
        ("the Service is being deleted.", ["shape"]),
        ("The cluster who exports it.", ["who"]),
        ("The Service  is being deleted.", ["blanks"]),
    ],
)
def test_a_message_has_a_shape(text: str, wrong: list[str]) -> None:
    assert problems(text) == wrong


@pytest.mark.parametrize("registry", registries())
def test_the_text_of_every_reason_has_the_shape(registry: type[Reason]) -> None:
    assert {reason.value: wrong for reason in registry if (wrong := problems(reason.text))} == {}


@pytest.mark.parametrize("reason", [*Advice, *InvalidReason])
def test_a_warning_has_the_shape_with_and_without_particulars(reason: Advice | InvalidReason) -> None:
    cautions = [Caution(reason, field, detail) for field in ("spec.rules[0]", "") for detail in ("'x'", "")]
    assert [caution.text for caution in cautions if problems(caution.text)] == []


@pytest.mark.parametrize("reason", ExclusionReason)
def test_an_exclusion_has_the_shape(reason: ExclusionReason) -> None:
    for exclusion in (Exclusion(reason), Exclusion(reason, "/web of ServiceExport shop/web")):
        assert problems(exclusion.text) == []


def refused(*found: Condition) -> list[str]:
    return [condition.message for condition in found if problems(condition.message)]


UNKNOWN = Caution(Advice.UNKNOWN_KEY, "spec.targets[0].clusterKey", "a/b/c/d")
ZERO = Caution(Advice.WEIGHT_ZERO, "spec.targets[0].weight", "a/b/c/d")
NO_TARGET = Caution(InvalidReason.FAIL_OVER_TARGETS, "spec.targets")


@pytest.mark.parametrize("cautions", [[], [UNKNOWN], [ZERO], [UNKNOWN, ZERO, NO_TARGET]])
def test_the_conditions_of_a_traffic_policy_have_the_shape(cautions: list[Caution]) -> None:
    assert refused(conditions.accepted(cautions), conditions.resolved(cautions)) == []


@pytest.mark.parametrize("member", [None, Member(name="a"), Member(name="a", unreachable_since=1.0)])
def test_the_condition_of_a_cluster_has_the_shape(member: Member | None) -> None:
    assert refused(conditions.managed(member)) == []


@pytest.mark.parametrize(
    "arrival",
    [
        Arrival(),
        Arrival(["b"]),
        Arrival(["b"], lost=["b"]),
        Arrival(["b"], reported=False),
        Arrival(["b"], taken_by="multicluster.x-k8s.io/v1alpha1"),
        Arrival(["b"], claimed_by="PropagationPolicy shop/all"),
        Arrival(["b"], failed={"b": 'serviceimports "web" already exists in the cluster'}),
        Arrival(["b"], failed={"b": "dial tcp: refused"}),
        Arrival(overridden={"a": "OverridePolicy shop/x", "b": "ClusterOverridePolicy y"}),
        Arrival(["a", "b"], failed={"a": "Denied.", "b": "Denied."}),
    ],
)
def test_ready_has_the_shape(arrival: Arrival) -> None:
    found: Iterable[Condition] = (conditions.ready(importers, arrival) for importers in ([], ["a", "b"]))
    assert refused(*found, conditions.withheld(), conditions.too_large("It has 2 KiB.")) == []


@given(worlds)
@FEW
def test_whatever_is_derived_is_reported_in_this_shape(world: World) -> None:
    fleet = Fleet(world.members)
    for key, derived in derive(world).services.items():
        assert refused(*derived.conditions) == []
        texts = [
            *(exclusion.text for exclusion in derived.excluded.values()),
            *(caution.text for caution in advise(world.services[key], derived, fleet)),
        ]
        assert [text for text in texts if problems(text)] == []
