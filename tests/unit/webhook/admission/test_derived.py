"""Derived objects: users that may change them, and the refusal for all others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.reviews import answered, document, question
from towpath.model.ownership import EXPORT_PREFIX, MANAGED_BY, TRAFFIC_PREFIX, VIEW_ANNOTATION
from towpath_webhook.admission.hooks import VALIDATE_DERIVED

ALICE = {"username": "alice", "groups": ["system:authenticated"]}
ADMIN = {"username": "system:admin", "groups": ["system:masters"]}


def derived(kind: str = "ServiceImport", name: str = "web", owner: str = "ServiceExport") -> dict[str, Any]:
    reference = {"apiVersion": "flomesh.io/v1alpha1", "kind": owner, "name": "web", "uid": "u"}
    return document(
        kind,
        {"ports": []},
        name=name,
        labels=dict(MANAGED_BY),
        ownerReferences=[reference],
        annotations={VIEW_ANNOTATION: "1"},
    )


def refusal(old: dict[str, Any], new: dict[str, Any] | None, user: Any = ALICE) -> str:
    """Return the refusal, empty if the change passes."""
    response = answered(VALIDATE_DERIVED, question(new, old, userInfo=user))
    if response["allowed"]:
        return ""
    assert (response["status"]["code"], response["status"]["reason"]) == (403, "Forbidden")
    return str(response["status"]["message"])


def changed(obj: dict[str, Any], spec: object = None, **metadata: object) -> dict[str, Any]:
    return {**obj, "spec": spec or obj["spec"], "metadata": {**obj["metadata"], **metadata}}


EDIT_THE_EXPORT = (
    "Edit or delete the ServiceExport web; its spec.targetClusters selects the importing clusters."
)
OWN_POLICY = (
    "Create a PropagationPolicy that selects the {0}, and Towpath deletes this one; or delete the {0} web."
)


@pytest.mark.parametrize("user", [ALICE, ADMIN, {}, {"username": "x", "groups": None}])
@pytest.mark.parametrize(
    ("old", "instead"),
    [
        (derived(), EDIT_THE_EXPORT),
        (derived("PropagationPolicy", "towpath-import-web"), EDIT_THE_EXPORT),
        (derived("OverridePolicy", "towpath-import-web.1"), EDIT_THE_EXPORT),
        (derived("PropagationPolicy", f"{EXPORT_PREFIX}web"), OWN_POLICY.format("ServiceExport")),
        (
            derived("PropagationPolicy", f"{TRAFFIC_PREFIX}web", "GlobalTrafficPolicy"),
            OWN_POLICY.format("GlobalTrafficPolicy"),
        ),
    ],
)
def test_protected_from_accidental_edits_and_deletes(
    old: dict[str, Any], instead: str, user: dict[str, Any]
) -> None:
    source = old["metadata"]["ownerReferences"][0]["kind"]
    named = f"{old['kind']} {old['metadata']['name']}: The object is derived from {source} web"
    assert refusal(old, None, user) == f"{named}, and it would be created again. {instead}"
    for new in (
        changed(old, {"ports": [{"port": 1}]}),
        changed(old, labels={}),
        changed(old, ownerReferences=[]),
        changed(old, annotations={}),
    ):
        assert refusal(old, new, user) == f"{named}, and the change would be reverted. {instead}"


@pytest.mark.parametrize(
    "user",
    [
        {"username": "towpath-plugin", "groups": ["towpath"]},
        {"username": "system:serviceaccount:karmada-system:towpath-plugin"},
        {"username": "system:serviceaccount:kube-system:generic-garbage-collector", "groups": []},
        {"username": "system:serviceaccount:kube-system:namespace-controller"},
        {"username": "system:kube-controller-manager"},
    ],
)
def test_controllers_may(user: dict[str, Any]) -> None:
    assert refusal(derived(), None, user) == ""
    assert refusal(derived(), changed(derived(), {"ports": [1]}), user) == ""


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {**MANAGED_BY, "propagationpolicy.karmada.io/permanent-id": "1"}},
        {"annotations": {VIEW_ANNOTATION: "1", "propagationpolicy.karmada.io/name": "x"}},
        {"finalizers": ["karmada.io/x"]},
        {"resourceVersion": "2", "managedFields": []},
    ],
)
def test_metadata_of_others_may_be_changed(metadata: dict[str, Any]) -> None:
    assert refusal(derived(), changed(derived(), **metadata)) == ""


@pytest.mark.parametrize(
    "old",
    [
        document("ServiceImport", {"ports": []}),
        document("ServiceImport", {"ports": []}, labels=dict(MANAGED_BY)),
        document("ServiceImport", {}, ownerReferences=[{"kind": "ServiceExport", "name": "web"}]),
        document("ServiceImport", {}, labels=dict(MANAGED_BY), ownerReferences=[{"kind": "Deployment"}]),
        derived("PropagationPolicy", name="mine"),
        derived("ServiceImport", name="another"),
    ],
)
def test_an_object_that_is_not_derived_belongs_to_its_owner(old: dict[str, Any]) -> None:
    assert refusal(old, None) == ""
    assert refusal(old, changed(old, {"ports": [1]})) == ""
