"""Bindings: what one member reports, whatever it is, hides nothing of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from towpath.karmada import decode

GOOD = {"clusterName": "good", "applied": True, "health": "Healthy", "status": {"digest": "7"}}
REFUSED = {"type": "Valid", "status": "False"}


def binding(status: str, kind: str) -> decode.Binding | None:
    copies = [GOOD, {"clusterName": "evil", "applied": True, "status": "STATUS"}]
    obj = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
        "spec": {
            "resource": {"apiVersion": "v1", "kind": kind, "name": "web"},
            "clusters": [{"name": "good"}, {"name": "evil"}],
        },
        "status": {"aggregatedStatus": copies},
    }
    return decode.binding(json.dumps(obj).replace('"STATUS"', status).encode())


@pytest.mark.parametrize("kind", ["ServiceExport", "Service", "GlobalTrafficPolicy", "ServiceImport"])
@pytest.mark.parametrize(
    "status",
    [
        *map(json.dumps, ([], 5, "odd", {"digest": 7}, {"conditions": "odd"}, {"conditions": [None]})),
        json.dumps({"conditions": [{**REFUSED, "message": 5}]}),
        json.dumps({"unanswered": [{"clusterKey": 5}]}),
        '{"deep": ' + "[" * 9000 + "]" * 9000 + "}",
    ],
    ids=["list", "number", "text", "digest", "conditions", "no condition", "message", "gateway", "deep"],
)
def test_a_member_with_an_odd_status_hides_no_other(kind: str, status: str) -> None:
    found = binding(status, kind)
    assert found is not None
    assert found.clusters == {"good", "evil"}
    assert found.copies.applied == {"good", "evil"}
    assert found.copies.digests == {"good": "7"}


def test_a_field_of_karmada_that_is_odd_is_reported() -> None:
    found: dict[str, Any] = {"aggregatedStatus": [{"clusterName": 5}]}
    with pytest.raises(ValueError, match="clusterName"):
        decode.copies_of("Service", json.dumps(found).encode())


def test_what_data_paths_state_is_read() -> None:
    """Of the conditions of an export two count, and each by itself."""
    unready = {"type": "Serving", "status": "False", "lastTransitionTime": "2027-01-15T08:00:00Z"}
    serving = {**unready, "status": "True"}
    silent = [{"clusterKey": "a/b/c/d", "since": "2027-01-15T09:00:00Z"}]
    for status, refused, pods in (
        ([{**REFUSED, "message": "no"}, unready], {"evil": "no"}, {"evil": "2027-01-15T08:00:00Z"}),
        ([unready], {}, {"evil": "2027-01-15T08:00:00Z"}),
        ([serving], {}, {}),
    ):
        found = binding(json.dumps({"conditions": status}), "ServiceExport")
        assert found is not None
        assert (found.copies.refused, found.copies.unready) == (refused, pods)
    found = binding(json.dumps({"view": "7", "unanswered": silent}), "ServiceImport")
    assert found is not None
    assert found.copies.unanswered == {"evil": {"a/b/c/d": "2027-01-15T09:00:00Z"}}
    assert found.copies.digests == {"good": "7", "evil": "7"}
