"""How imports change hands between Towpath and another control plane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.worlds import KEY, UID, WEB, derived, fleet, offered
from towpath.derivation.derive import why_not_importing
from towpath.derivation.render import Rendered, render
from towpath.derivation.warnings import advise
from towpath.model.cluster import Fleet
from towpath.model.export import CONFLICT_RESOLUTION, PRESERVE_IMPORTS, RELEASED
from towpath.model.ownership import VIEW_ANNOTATION
from towpath.rules.handover import NO_HANDOVER, Handover, handover, overwriting_in, released
from towpath.rules.reasons import Advice, NotImportedReason

FLEET = fleet("a", "b", "c")
OFFERS = {"a": WEB, "b": WEB}

ANNOTATED: list[tuple[dict[str, str], Handover]] = [
    ({}, NO_HANDOVER),
    ({CONFLICT_RESOLUTION: "Abort"}, NO_HANDOVER),
    ({CONFLICT_RESOLUTION: "Overwrite"}, Handover(overwrites=True)),
    ({CONFLICT_RESOLUTION: "Overwrite=b, a,"}, Handover(overwrites_in=frozenset({"a", "b"}))),
    ({CONFLICT_RESOLUTION: "Overwrite="}, NO_HANDOVER),
    ({CONFLICT_RESOLUTION: "overwrite=a"}, NO_HANDOVER),
    ({PRESERVE_IMPORTS: "true"}, Handover(preserves=True)),
    ({PRESERVE_IMPORTS: "false"}, NO_HANDOVER),
]


def rendered(**annotations: str) -> Rendered:
    known = {name.replace("_", "-"): value for name, value in annotations.items()}
    annotations = {f"towpath.io/{name}": value for name, value in known.items()}
    return render(KEY, UID, derived(OFFERS, FLEET, annotations=annotations), handover=handover(annotations))


def rules(made: Rendered) -> dict[str, list[dict[str, Any]]]:
    """Return what each cluster gets in place of the template."""
    return {
        cluster: rule["overriders"]["plaintext"]
        for policy in made.overrides
        for rule in policy["spec"]["overrideRules"]
        for cluster in rule["targetCluster"]["clusterNames"]
    }


@pytest.mark.parametrize(("annotations", "result"), ANNOTATED)
def test_what_the_annotations_say(annotations: dict[str, str], result: Handover) -> None:
    assert handover(annotations) == result
    if result.overwrites_in:
        value = overwriting_in(result.overwrites_in)
        assert handover({CONFLICT_RESOLUTION: str(value)}) == result


def test_no_cluster_to_take_over_means_no_annotation() -> None:
    assert overwriting_in(frozenset()) is None


def test_single_clusters_are_taken_over_with_all_of_their_ports() -> None:
    """Template and override are read at different times, so the override alone must be complete."""
    plain, made = rendered(), rendered(conflict_resolution="Overwrite=a,c")
    overwriting = {name for name, changes in rules(made).items() if "work.karmada.io" in changes[-1]["path"]}

    assert overwriting == {"a", "c"}
    assert set(rules(plain)) == {"a", "b"}
    assert rules(made)["b"] == rules(plain)["b"]
    assert rules(made)["a"][:-1] == rules(plain)["a"]
    assert [change["path"] for change in rules(made)["c"]][:2] == [
        "/spec/ports",
        f"/metadata/annotations/{VIEW_ANNOTATION.replace('/', '~1')}",
    ]
    assert made.service_import == plain.service_import
    assert made.propagation == plain.propagation
    assert made.digests == plain.digests


def test_everywhere_the_policy_says_it() -> None:
    made = rendered(conflict_resolution="Overwrite")

    assert made.propagation is not None
    assert made.propagation["spec"]["conflictResolution"] == "Overwrite"
    assert rules(made) == rules(rendered())


def test_members_keep_their_imports_where_that_is_said() -> None:
    kept, plain = rendered(preserve_imports="true").propagation, rendered().propagation

    assert kept is not None
    assert plain is not None
    assert kept["spec"]["preserveResourcesOnDeletion"] is True
    assert "preserveResourcesOnDeletion" not in plain["spec"]


def test_released_members_have_no_import_and_still_export() -> None:
    annotations = {RELEASED: "a,c"}
    made, service = derived(OFFERS, FLEET, annotations=annotations), offered(OFFERS, annotations=annotations)
    whole = derived(OFFERS, FLEET)

    assert made.exporters == whole.exporters
    assert made.views == {"b": whole.views["b"]}
    assert [why_not_importing(service, made, FLEET[name], FLEET) for name in "abc"] == [
        NotImportedReason.RELEASED,
        None,
        NotImportedReason.RELEASED,
    ]


def test_when_all_members_are_released_nothing_is_rendered() -> None:
    annotations = {RELEASED: "a,b,c"}
    made = derived(OFFERS, FLEET, annotations=annotations)

    assert render(KEY, UID, made) == Rendered()
    assert made.conditions == derived(OFFERS, FLEET).conditions
    assert released(annotations) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("annotations", "fields"),
    [
        ({CONFLICT_RESOLUTION: "Overwrite=a"}, []),
        ({CONFLICT_RESOLUTION: "Overwrite=a,z"}, [CONFLICT_RESOLUTION]),
        ({CONFLICT_RESOLUTION: "Overwrite="}, [CONFLICT_RESOLUTION]),
        ({CONFLICT_RESOLUTION: "overwrite"}, [CONFLICT_RESOLUTION]),
        ({RELEASED: "a"}, []),
        ({RELEASED: "z"}, [RELEASED]),
    ],
)
def test_values_without_meaning_are_reported(annotations: dict[str, str], fields: list[str]) -> None:
    service = replace(offered(OFFERS), annotations=annotations)
    cautions = advise(service, derived(OFFERS, FLEET, annotations=annotations), Fleet(FLEET))
    cautioned = [caution.field for caution in cautions if caution.reason is Advice.BAD_ANNOTATION]

    assert cautioned == [f"metadata.annotations[{field}]" for field in fields]
