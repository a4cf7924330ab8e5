"""The user's policies by namespace: who selects a template, who may change one."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.inventory.policies import UserPolicies
from towpath.karmada.wire import Name
from towpath.propagation.policies import Policy, read_policy
from towpath.propagation.selection import Template

WEB = Template("flomesh.io/v1alpha1", "ServiceExport", "shop", "web", {"tier": "front"})


def policy(called: str, namespace: str = "shop", /, *, deleting: bool = False, **selector: Any) -> Policy:
    metadata: dict[str, Any] = {"name": called, "namespace": namespace}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    selected = {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", **selector}
    return read_policy(
        {
            "kind": "PropagationPolicy" if namespace else "ClusterPropagationPolicy",
            "metadata": metadata,
            "spec": {"resourceSelectors": [selected]},
        }
    )


@pytest.mark.parametrize(
    ("policy", "selected"),
    [
        (policy("kind"), True),
        (policy("name", name="web"), True),
        (policy("labels", labelSelector={"matchLabels": {"tier": "front"}}), True),
        (policy("wide", ""), True),
        (policy("another", name="db"), False),
        (policy("labels", labelSelector={"matchLabels": {"tier": "back"}}), False),
        (policy("group", apiVersion="multicluster.flomesh.io/v1alpha1"), False),
        (policy("elsewhere", "den"), False),
        (policy("going", deleting=True), False),
    ],
)
def test_a_policy_selects_what_karmada_would_give_it(policy: Policy, selected: bool) -> None:
    policies = UserPolicies()
    policies.propagation.put(Name(policy.namespace, policy.name), policy)

    assert policies.select(WEB) == selected


def test_a_policy_is_replaced_and_forgotten() -> None:
    users = UserPolicies()
    policies = users.propagation
    policies.put(Name("shop", "p"), policy("p"))
    policies.put(Name("shop", "p"), policy("p", name="db"))
    assert not users.select(WEB)
    assert policies

    policies.put(Name("shop", "p"), None)
    policies.put(Name("shop", "p"), None)
    assert not policies
    assert list(policies.of("shop")) == []
