"""Kubeconfigs of Clusters: a table, and a property over every Cluster there can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.reviews import HOLDING, PLAIN, answered, applied, cluster, patched, review
from towpath.errors import InvalidObject
from towpath.model.cluster import FlomeshCluster, Member, changed
from towpath.model.ownership import LAST_APPLIED
from towpath.rules.gateway import why_no_gateway, why_not_host, with_flomesh_cluster
from towpath_webhook.admission.clusters import DROPPED, IF_APPLIED, WAS_STORED, problems
from towpath_webhook.admission.hooks import MUTATE_CLUSTERS


def ask(obj: object, old: object = None) -> dict[str, Any]:
    response = answered(MUTATE_CLUSTERS, review(obj, old))
    assert response["allowed"] is True
    return response


@pytest.mark.parametrize(
    ("obj", "want", "warnings"),
    [
        pytest.param(PLAIN, PLAIN, [], id="without one"),
        pytest.param(HOLDING, PLAIN, [DROPPED, IF_APPLIED], id="in the spec"),
        pytest.param(
            applied(HOLDING, HOLDING), applied(PLAIN, PLAIN), [DROPPED, IF_APPLIED], id="kubectl apply"
        ),
        pytest.param(
            applied(HOLDING, PLAIN), applied(PLAIN, PLAIN), [DROPPED, IF_APPLIED], id="in the copy only"
        ),
        pytest.param(applied(PLAIN, PLAIN), applied(PLAIN, PLAIN), [], id="kubectl apply without one"),
        pytest.param(
            applied("{kubeconfig", HOLDING),
            applied("{kubeconfig", PLAIN),
            [DROPPED, IF_APPLIED],
            id="no JSON",
        ),
        pytest.param(cluster(kubeconfig=""), cluster(kubeconfig=""), [], id="empty, as a CRD may default it"),
        pytest.param(cluster(kubeconfig=None), cluster(kubeconfig=None), [], id="null"),
        pytest.param(cluster(kubeconfig={"a": 1}), PLAIN, [DROPPED, IF_APPLIED], id="of a wrong type"),
        pytest.param({"spec": "kubeconfig"}, {"spec": "kubeconfig"}, [], id="spec of a wrong type"),
        pytest.param({}, {}, [], id="nothing in it"),
    ],
)
def test_kubeconfigs_are_dropped(obj: dict[str, Any], want: dict[str, Any], warnings: list[str]) -> None:
    response = ask(obj)
    once = patched(obj, response)
    assert normal(once) == normal(want)
    assert response.get("warnings", []) == warnings
    assert "patch" not in ask(once), "a second pass finds nothing"


def normal(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object with kubectl's copy decoded, if it can be."""
    text = obj.get("metadata", {}).get("annotations", {}).get(LAST_APPLIED)
    if not text or not text.endswith("}\n"):
        return obj
    return applied("", obj) | {"copy": json.loads(text)}


@pytest.mark.parametrize("old", [HOLDING, applied(HOLDING, PLAIN)], ids=["spec", "copy"])
def test_a_credential_that_was_stored_is_reported(old: dict[str, Any]) -> None:
    assert ask(HOLDING, old)["warnings"] == [DROPPED, WAS_STORED]


def test_deletion_passes() -> None:
    assert ask(None, HOLDING) == {"uid": "u-1", "allowed": True}


def test_warnings_are_short_enough_to_arrive_whole() -> None:
    assert all(len(text.encode()) <= 256 for text in (DROPPED, IF_APPLIED, WAS_STORED))


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ANY_SPEC = (
    st.fixed_dictionaries({}, optional={"kubeconfig": JSON_VALUE, "gatewayHost": JSON_VALUE}) | JSON_VALUE
)
ANY_COPY = st.fixed_dictionaries({"spec": ANY_SPEC}).map(json.dumps) | st.text() | JSON_VALUE
ANY_CLUSTER = st.fixed_dictionaries(
    {},
    optional={
        "spec": ANY_SPEC,
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "annotations": st.dictionaries(st.just(LAST_APPLIED) | st.text(), ANY_COPY) | JSON_VALUE
            },
        )
        | JSON_VALUE,
    },
)


@given(obj=ANY_CLUSTER)
def test_any_cluster_is_clean_after_one_pass(obj: dict[str, Any]) -> None:
    obj = json.loads(json.dumps(obj))
    try:
        response = ask(obj)
    except InvalidObject:
        return  # lone surrogates are no JSON
    once = patched(obj, response)
    assert bool(response.get("warnings")) == ("patch" in response)
    assert not isinstance(once.get("spec"), dict) or not once["spec"].get("kubeconfig")
    assert "patch" not in ask(once)


HOSTS = [
    "10.0.2.4",
    "gateway.example.com",
    "GW.Example.Test.",
    "10.0.2.4.",
    "10.0.2.4:80",
    "10.0.2",
    "::1",
    "0.1.2.3",
    "127.8.8.8",
    "169.254.169.254",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "gw.localhost.",
]


@pytest.mark.parametrize("host", HOSTS)
def test_the_webhook_has_the_plugins_rule_for_gateways(host: str) -> None:
    good = why_not_host(host) is None
    assert [problem.field for problem in problems({"spec": {"gatewayHost": host}})] == (
        [] if good else ["spec.gatewayHost"]
    )
    member = with_flomesh_cluster(Member(name="a"), FlomeshCluster(gateway_host=host))
    assert good == (why_no_gateway(changed(member, resolved="10.0.2.4")) is None)
