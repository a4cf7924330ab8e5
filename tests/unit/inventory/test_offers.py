"""What each cluster offers live: templates where they are bound, after the user's overrides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support import inventories as stored
from towpath.inventory.offers import offers_of
from towpath.karmada import decode
from towpath.karmada.decode import Binding
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import Offer
from towpath.propagation.policies import OverridePolicy, Target, read_override

KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")
TARGETS = {name: Target(name, {"tier": "edge"} if name == "b" else {}) for name in "abc"}


def override(path: str, value: object, *, kind: str = "Service", **target: Any) -> OverridePolicy:
    version = "v1" if kind == "Service" else Dialect.FLOMESH.api_version
    change = {"operator": "replace", "path": path, "value": value}
    return read_override(
        {
            "kind": "OverridePolicy",
            "metadata": {"name": "o", "namespace": "shop"},
            "spec": {
                "resourceSelectors": [{"apiVersion": version, "kind": kind, "name": "web"}],
                "overrideRules": [{"targetCluster": target, "overriders": {"plaintext": [change]}}],
            },
        }
    )


def offers(*overrides: OverridePolicy, refused: dict[str, str] | None = None) -> tuple[dict[str, Offer], Any]:
    export = decode.service_export(msgspec.json.encode(stored.export()))
    service = decode.service(msgspec.json.encode(stored.service()))
    assert export is not None
    bound = Binding(KEY.dialect.api_version, "ServiceExport", export.uid, frozenset("abc"), refused or {})
    return offers_of(KEY, export, bound, service, {"a", "b"}, overrides, TARGETS)


def paths(offered: dict[str, Offer]) -> dict[str, str]:
    return {name: offer.export.rules[0].path for name, offer in sorted(offered.items())}


def ports(offered: dict[str, Offer]) -> dict[str, int | None]:
    return {n: o.service.ports[0].port if o.service else None for n, o in sorted(offered.items())}


def test_without_overrides_all_that_have_both_share_one_offer() -> None:
    found, faults = offers()

    assert ports(found) == {"a": 80, "b": 80, "c": None}
    assert found["a"] is found["b"]
    assert faults == ()


@pytest.mark.parametrize(
    "target", [{"clusterNames": ["b"]}, {"labelSelector": {"matchLabels": {"tier": "edge"}}}]
)
def test_an_override_changes_what_its_clusters_offer(target: dict[str, Any]) -> None:
    of_export = override("/spec/rules/0/path", "/edge", kind="ServiceExport", **target)
    of_service = override("/spec/ports/0/port", 8080, **target)
    found, faults = offers(of_export, of_service)

    assert paths(found) == {"a": "/web", "b": "/edge", "c": "/web"}
    assert ports(found) == {"a": 80, "b": 8080, "c": None}
    assert faults == ()


def test_silent_override_failure_keeps_the_copy_and_is_reported() -> None:
    found, (fault,) = offers(override("/spec/none", "x", clusterNames=["b"]))

    assert ports(found) == {"a": 80, "b": 80, "c": None}
    assert fault.startswith(
        "OverridePolicy shop/o: spec.overrideRules[0].overriders.plaintext[0]: Cannot replace"
    )
    assert fault.endswith("reports it in events only.")


@pytest.mark.parametrize("value", ["many", [{"port": "x"}], [1]])
def test_an_override_that_makes_no_service_of_it_is_reported(value: object) -> None:
    found, (fault,) = offers(override("/spec/ports", value, clusterNames=["b"]))

    assert ports(found)["b"] == 80
    assert fault.startswith("Service shop/web: spec.ports")


def test_a_refusal_by_a_cluster_survives_overrides() -> None:
    found, _ = offers(
        override("/spec/ports/0/port", 8080, clusterNames=["b"]), refused={"b": "no", "z": "no"}
    )

    assert found["b"].refused == "no"
    assert ports(found)["b"] == 8080
    assert "z" not in found
