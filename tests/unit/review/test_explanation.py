"""Explanations of a running plugin: what each importer has, since when it waits, and what Ready knows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.inventories import (
    Object,
    carry,
    clusters,
    export,
    exported,
    key,
    knowing,
    propagation,
    rendered,
    tell,
)
from towpath.cli.service_output import explanation as shown
from towpath.derivation.explanation import Explanation, document
from towpath.derivation.render import Rendered
from towpath.inventory.inventory import Inventory
from towpath.model.keys import Dialect
from towpath.review.explanation import Explainer
from towpath.rpc import convert

NOW = 1_800_000_000.0
FLEET = clusters("a", "b", "c")
USER = propagation("user", {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "name": "web"})
LOST = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}


class Service:
    """One exported service whose importers report something."""

    def __init__(self, *objects: Object) -> None:
        self.inventory: Inventory = knowing(*(objects or FLEET), USER, *exported("web", "a", "b"))

    def rendered(self) -> Rendered:
        return rendered(self.inventory)

    def report(self, **digests: str) -> None:
        """Apply what is derived, and let members report what they hold."""
        carry(self.inventory, digests)

    def explained(self, **options: Any) -> Explanation:
        found = Explainer(self.inventory, **options).explain(key(), NOW)
        assert found is not None
        return found[0]


def states(explained: Explanation) -> dict[str, tuple[str, str]]:
    return {importer.cluster: (importer.state, importer.reason) for importer in explained.importers}


def conditions(explained: Explanation) -> dict[str, str]:
    return {str(c.type): str(c.reason) for c in explained.conditions}


def test_of_two_api_groups_an_answer_names_the_other() -> None:
    service = Service()
    later = "2026-02-01T00:00:00Z"
    twin = export(version=Dialect.MULTICLUSTER.api_version, created=later, uid="uid-of-twin")
    assert [found for found in service.explained().warnings if found.reason == "Namesake"] == []
    tell(service.inventory, twin)

    (older,) = (found for found in service.explained().warnings if found.reason == "Namesake")
    found = Explainer(service.inventory).explain(key()._replace(dialect=Dialect.MULTICLUSTER), NOW)

    assert older.text.startswith("metadata.name (ServiceExport of multicluster.flomesh.io): Another ")
    assert found is not None
    (younger,) = (warning for warning in found[0].warnings if warning.reason == "Namesake")
    assert "(ServiceExport of flomesh.io)" in younger.text


def test_before_any_report_the_states_are_unknown() -> None:
    explained = Service().explained()
    assert set(states(explained).values()) == {("Unknown", "NotReported")}
    assert conditions(explained)["Ready"] == "NotReported"


def test_importers_are_in_place_or_pending_since_a_time() -> None:
    service = Service()
    digests = dict(service.rendered().digests)
    service.report(**{**digests, "c": "other"})

    explained = service.explained(pending_since=lambda _: NOW - 60)

    assert states(explained) == {"a": ("InPlace", ""), "b": ("InPlace", ""), "c": ("Pending", "Pending")}
    (waiting,) = [importer for importer in explained.importers if importer.cluster == "c"]
    assert waiting.since == "2027-01-15T07:59:00Z"
    assert conditions(explained)["Ready"] == "Pending"
    text = "".join(str(part) for part in shown(explained) if isinstance(part, str))
    assert "Ready=False (Pending)" in text


def test_a_service_that_is_everywhere_is_ready() -> None:
    service = Service()
    service.report(**service.rendered().digests)
    explained = service.explained()
    assert {state for state, _ in states(explained).values()} == {"InPlace"}
    assert conditions(explained)["Ready"] == "Exported"
    assert conditions(service.explained(withheld={key(): ""}))["Ready"] == "WithdrawalWithheld"


def test_a_lost_member_is_visible_from_the_first_second() -> None:
    lost = {**FLEET[0], "status": {**FLEET[0]["status"], "conditions": [LOST]}}
    service = Service(lost, *FLEET[1:])
    digests = dict(service.rendered().digests)
    service.report(**{**digests, "a": "other"})

    explained = service.explained()

    assert states(explained)["a"] == ("Lost", "ClusterLost")
    member = convert.clusters(service.inventory.world.fleet.members)[0]
    assert (member.state, member.lost_since) == ("Lost", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("report", [{}, {"a": "x", "b": "y", "c": "z"}])
def test_the_message_carries_everything(report: dict[str, str]) -> None:
    service = Service()
    service.report(**report)
    explained = service.explained()
    again = convert.explanation_of(convert.explanation(explained))
    assert document(again) == document(explained)


def test_an_unknown_service_is_not_explained() -> None:
    assert Explainer(knowing(*FLEET)).explain(key(), NOW) is None
