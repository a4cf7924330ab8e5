"""When the webhook is asked: rules and CEL of the registry, put to requests as an apiserver would put them.

The real apiserver has its say in tests/integration; here are the many requests that must never cost a call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cel
import pytest

from tests.support.reviews import EXPORT, document
from towpath.model.ownership import LAST_APPLIED, MANAGED_BY, VIEW_ANNOTATION
from towpath_webhook.admission import hooks as registry
from towpath_webhook.admission.hooks import FailurePolicy, Hook
from towpath_webhook.admission.rules import RULES

HOOKS = [*registry.MUTATING, *registry.VALIDATING]
ALICE = {"username": "alice", "groups": ["system:authenticated"]}
ADMIN = {"username": "system:admin", "groups": ["system:masters", "system:authenticated"]}
PLUGIN = {"username": "towpath-plugin", "groups": ["towpath", "system:authenticated"]}
ACCOUNT = {"username": "system:serviceaccount:karmada-system:towpath-plugin"}
GARBAGE = {"username": "system:serviceaccount:kube-system:generic-garbage-collector"}
NAMESPACES = {"username": "system:serviceaccount:kube-system:namespace-controller"}
OWNER = [{"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "name": "web", "uid": "u"}]
OURS: dict[str, Any] = {"labels": MANAGED_BY, "ownerReferences": OWNER, "annotations": {VIEW_ANNOTATION: "1"}}


class Sent(NamedTuple):
    """A request to the apiserver."""

    resource: str
    obj: dict[str, Any] | None
    old: dict[str, Any] | None = None
    user: dict[str, Any] = ALICE

    @property
    def shown(self) -> dict[str, Any]:
        return self.obj or self.old or {}

    @property
    def operation(self) -> str:
        return "DELETE" if self.obj is None else "CREATE" if self.old is None else "UPDATE"

    def context(self) -> dict[str, Any]:
        request = {"operation": self.operation, "userInfo": self.user, "kind": {"kind": self.shown["kind"]}}
        namespace = self.shown["metadata"].get("namespace")
        if namespace:  # the apiserver leaves out what is empty
            request["namespace"] = namespace
        return {"request": request, "object": self.obj, "oldObject": self.old}


def called(sent: Sent) -> list[str]:
    """Return the paths that are called for a request."""
    return [hook.path for hook in HOOKS if is_asked(hook, sent)]


def is_asked(hook: Hook, sent: Sent) -> bool:
    group = sent.shown["apiVersion"].rpartition("/")[0]
    scope = "Namespaced" if "namespace" in sent.shown["metadata"] else "Cluster"
    if not any(
        group in rule.groups
        and sent.resource in rule.resources
        and sent.operation in rule.operations
        and rule.scope == scope
        for rule in hook.resources
    ):
        return False
    return all(cel.evaluate(condition.expression, sent.context()) for condition in hook.conditions)


def changed(obj: dict[str, Any], spec: object = None, **metadata: object) -> dict[str, Any]:
    new = {**obj, "metadata": {**obj["metadata"], **metadata}}
    return new if spec is None else {**new, "spec": spec}


def policy(
    name: str, kind: str = "PropagationPolicy", selects: str = "ServiceExport", **metadata: Any
) -> dict[str, Any]:
    spec = {"resourceSelectors": [{"apiVersion": "flomesh.io/v1alpha1", "kind": selects}]}
    made = document(kind, spec, name=name, **metadata)
    return {**made, "apiVersion": "policy.karmada.io/v1alpha1"}


CLAIM = {"propagationpolicy.karmada.io/permanent-id": "1234"}
CLAIMED: dict[str, Any] = {
    "labels": CLAIM,
    "annotations": {
        "propagationpolicy.karmada.io/name": "web",
        "propagationpolicy.karmada.io/namespace": "shop",
    },
}
IMPORT = document("ServiceImport", {"ports": [], "type": "ClusterSetIP"})
DERIVED = changed(IMPORT, **OURS)
TRAFFIC = document("GlobalTrafficPolicy", {"lbType": "ActiveActive"})
POLICY, DERIVED_POLICY = policy("web"), policy("towpath-import-web", selects="ServiceImport", **OURS)
DERIVED_OVERRIDE = policy("towpath-import-web", "OverridePolicy", "ServiceImport", **OURS)
BARE = document("ServiceExport", {"rules": [{"portNumber": 80, "path": "/web"}]})


def elsewhere(obj: dict[str, Any], namespace: str) -> dict[str, Any]:
    return changed(obj, namespace=namespace)


def core(kind: str, namespace: str = "shop") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": namespace}}


LEASE = {**core("Lease", "karmada-system"), "apiVersion": "coordination.k8s.io/v1"}
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {"name": ""}}
ACCESS = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {"name": ""}}
CONFIGURATION = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "towpath"},
}

NEVER = [
    # Kubernetes itself, and everything that is not ours
    Sent("leases", LEASE),
    Sent("leases", LEASE, LEASE, PLUGIN),
    Sent("tokenreviews", TOKEN),
    Sent("subjectaccessreviews", ACCESS),
    Sent("services", core("Service")),
    Sent("pods", None, core("Pod")),
    Sent("secrets", core("Secret", "karmada-system")),
    # whoever wants to be rid of us
    Sent("validatingwebhookconfigurations", None, CONFIGURATION),
    Sent("mutatingwebhookconfigurations", CONFIGURATION, CONFIGURATION),
    # reserved namespaces
    *(
        Sent(resource, elsewhere(new, place) if new else None, elsewhere(old, place) if old else None)
        for place in ("kube-system", "kube-public", "karmada-system", "karmada-cluster")
        for resource, new, old in [
            ("serviceexports", BARE, None),
            ("serviceexports", BARE, EXPORT),
            ("globaltrafficpolicies", TRAFFIC, None),
            ("serviceimports", None, DERIVED),
            ("propagationpolicies", None, POLICY),
            ("overridepolicies", None, DERIVED_OVERRIDE),
        ]
    ),
    # Karmada's claims, permanent ids, finalizers: metadata of others, by whoever Karmada is
    *(
        Sent(resource, changed(obj, **more), obj, user)
        for user in (ALICE, ADMIN)
        for more in (
            {"labels": {**obj_labels, **CLAIM}, "annotations": {**obj_annotations, "x": "y"}}
            for obj_labels, obj_annotations in (({}, {}), ({"app": "web"}, {"note": "z"}))
        )
        for resource, obj in [
            ("serviceexports", EXPORT),
            ("serviceexports", BARE),
            ("globaltrafficpolicies", TRAFFIC),
            ("serviceimports", IMPORT),
            ("propagationpolicies", POLICY),
        ]
    ),
    Sent("serviceexports", changed(EXPORT, **CLAIMED), EXPORT, ADMIN),
    Sent("serviceimports", changed(DERIVED, labels={**MANAGED_BY, **CLAIM}), DERIVED, ADMIN),
    Sent("propagationpolicies", changed(DERIVED_POLICY, finalizers=["a"]), DERIVED_POLICY, ADMIN),
    Sent("overridepolicies", changed(DERIVED_OVERRIDE, finalizers=["a"]), DERIVED_OVERRIDE, ADMIN),
    # the plugin, the garbage collector, the namespace controller
    Sent("serviceimports", DERIVED, None, PLUGIN),
    Sent("serviceimports", changed(DERIVED, {"ports": []}), DERIVED, PLUGIN),
    Sent("serviceimports", changed(DERIVED, {"ports": []}), DERIVED, ACCOUNT),
    *(
        Sent(resource, None, old, user)
        for user in (PLUGIN, ACCOUNT, GARBAGE, NAMESPACES)
        for resource, old in [
            ("serviceimports", DERIVED),
            ("propagationpolicies", DERIVED_POLICY),
            ("propagationpolicies", POLICY),
            ("overridepolicies", DERIVED_OVERRIDE),
        ]
    ),
    # users, for which there is no warning
    Sent("serviceexports", None, EXPORT),
    Sent("globaltrafficpolicies", None, TRAFFIC),
    Sent("serviceimports", None, IMPORT),
    Sent("clusters", None, document("Cluster", {"kubeconfig": "x"})),
    Sent("propagationpolicies", POLICY),
    Sent("propagationpolicies", None, policy("web", selects="Deployment")),
    Sent("overridepolicies", None, policy("mine", "OverridePolicy")),
]


@pytest.mark.parametrize("sent", NEVER)
def test_only_towpaths_kinds_are_sent(sent: Sent) -> None:
    assert called(sent) == []


WEB = [registry.VALIDATE_EXPORTS]
ASKED: list[tuple[Sent, list[str]]] = [
    (Sent("serviceexports", EXPORT), WEB),
    (Sent("serviceexports", BARE), [registry.MUTATE_DEFAULTS, *WEB]),
    (Sent("serviceexports", document("ServiceExport")), WEB),
    (Sent("serviceexports", changed(EXPORT, {"rules": []}), EXPORT), WEB),
    (Sent("serviceexports", changed(EXPORT, annotations={"towpath.io/drain": "true"}), EXPORT, ADMIN), WEB),
    (
        Sent("serviceexports", changed(EXPORT, annotations={"towpath.io/when-unreachable": "Keep"}), EXPORT),
        WEB,
    ),
    (Sent("globaltrafficpolicies", TRAFFIC), [registry.VALIDATE_TRAFFIC]),
    (
        Sent("globaltrafficpolicies", document("GlobalTrafficPolicy")),
        [registry.MUTATE_DEFAULTS, registry.VALIDATE_TRAFFIC],
    ),
    (Sent("serviceimports", IMPORT), [registry.VALIDATE_IMPORTS]),
    (
        Sent("serviceimports", changed(IMPORT, {"ports": [{"port": 1}]})),
        [registry.MUTATE_DEFAULTS, registry.VALIDATE_IMPORTS],
    ),
    (
        Sent("serviceimports", changed(IMPORT, {"ports": [], "type": "Headless"}), IMPORT),
        [registry.VALIDATE_IMPORTS],
    ),
    (Sent("clusters", document("Cluster", {"gatewayHost": "10.0.2.4"})), [registry.VALIDATE_CLUSTERS]),
    (
        Sent("clusters", document("Cluster", {"kubeconfig": "x"})),
        [registry.MUTATE_CLUSTERS, registry.VALIDATE_CLUSTERS],
    ),
    (
        Sent(
            "clusters",
            *[document("Cluster", {}, annotations={LAST_APPLIED: '{"kubeconfig":1}'})] * 2,
        ),
        [registry.MUTATE_CLUSTERS],
    ),
    (Sent("propagationpolicies", None, POLICY), [registry.VALIDATE_POLICIES]),
    (Sent("propagationpolicies", changed(POLICY, {"placement": {}}), POLICY), [registry.VALIDATE_POLICIES]),
    (Sent("propagationpolicies", None, policy("web", selects="Service")), [registry.VALIDATE_POLICIES]),
    *(
        (Sent(resource, new, old, user), [registry.VALIDATE_DERIVED])
        for resource, old in [
            ("serviceimports", DERIVED),
            ("propagationpolicies", DERIVED_POLICY),
            ("overridepolicies", DERIVED_OVERRIDE),
        ]
        for user in (ALICE, ADMIN)
        for new in (
            None,
            changed(old, labels={}),
            changed(old, ownerReferences=[]),
            changed(old, annotations={VIEW_ANNOTATION: "2"}),
        )
    ),
    (
        Sent("overridepolicies", changed(DERIVED_OVERRIDE, {"overrideRules": []}), DERIVED_OVERRIDE),
        [registry.VALIDATE_DERIVED],
    ),
]


@pytest.mark.parametrize("group", registry.DIALECTS)
@pytest.mark.parametrize(("sent", "paths"), ASKED)
def test_an_object_that_a_rule_concerns_is_sent(group: str, sent: Sent, paths: list[str]) -> None:
    def dialect(obj: dict[str, Any] | None) -> dict[str, Any] | None:
        ours = obj is not None and obj["apiVersion"].startswith("flomesh.io/")
        return {**obj, "apiVersion": f"{group}/v1alpha1"} if obj and ours else obj

    assert called(sent._replace(obj=dialect(sent.obj), old=dialect(sent.old))) == paths


ODD: list[Any] = [None, "odd", 7, [], ["odd"], {}, {"rules": "odd"}, {"ports": {}}, {"kubeconfig": []}]


@pytest.mark.parametrize("spec", ODD)
def test_no_expression_fails_where_that_would_refuse(spec: Any) -> None:
    """With failurePolicy Fail an error in an expression is a refusal without a readable cause."""
    for resource, kind in [
        ("serviceexports", "ServiceExport"),
        ("serviceimports", "ServiceImport"),
        ("globaltrafficpolicies", "GlobalTrafficPolicy"),
        ("clusters", "Cluster"),
    ]:
        new, old = document(kind, spec), document(kind, {"a": 1})
        for sent in (Sent(resource, new), Sent(resource, new, old), Sent(resource, old, new)):
            for hook in HOOKS:
                if hook.failure_policy is FailurePolicy.FAIL:
                    is_asked(hook, sent)


def test_every_path_that_is_registered_is_answered_and_no_other() -> None:
    assert sorted(hook.path for hook in HOOKS) == sorted(RULES)


def test_names_are_what_configurations_take() -> None:
    for hooks in (registry.MUTATING, registry.VALIDATING):
        names = [hook.name for hook in hooks]
        assert len(set(names)) == len(names)
        assert all(name.count(".") >= 2 for name in names)
        assert all(1 <= hook.timeout_seconds <= 3 for hook in hooks)


def test_only_our_own_kinds_wait_for_us() -> None:
    for hook in HOOKS:
        if hook.failure_policy is FailurePolicy.FAIL:
            assert {group for rule in hook.resources for group in rule.groups} == set(registry.DIALECTS)
            assert "DELETE" not in {operation for rule in hook.resources for operation in rule.operations}


def test_no_interpreter_operation_can_block_karmada() -> None:
    operations = {operation for rule in registry.INTERPRETER_RULES for operation in rule.operations}
    assert operations == {"AggregateStatus", "InterpretHealth"}
