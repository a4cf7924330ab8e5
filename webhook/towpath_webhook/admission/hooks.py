"""The table of webhooks: paths, kinds, operations and conditions.

``rules`` and ``interpreter`` answer the paths in this table, ``registration`` builds the configurations from
it, and no other module names a path. Each entry matches only requests that a rule may act on.

The failure policy is ``Fail`` only where a credential or an invalid object of Towpath's own kinds would be
stored. It is ``Ignore`` for warnings, defaults and the protection of objects that the controller repairs
anyway: users can edit their policies, and uninstall Towpath, while the webhook is down."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from towpath.model.keys import Dialect
from towpath_webhook.admission import match_conditions as when


class FailurePolicy(StrEnum):
    """What the apiserver does with a request when the webhook does not answer."""

    FAIL = "Fail"
    IGNORE = "Ignore"


@dataclass(frozen=True)
class ResourceRule:
    """Resources of one scope, and the operations that are sent to the webhook."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    operations: tuple[str, ...]
    scope: str = "Namespaced"


@dataclass(frozen=True)
class Hook:
    """One webhook of a configuration. A request is sent if all conditions hold."""

    name: str
    path: str
    resources: tuple[ResourceRule, ...]
    conditions: tuple[when.Condition, ...]
    failure_policy: FailurePolicy
    timeout_seconds: int = 3


@dataclass(frozen=True)
class InterpreterRule:
    """Operations of Karmada's resource interpreter on some kinds."""

    operations: tuple[str, ...]
    kinds: tuple[str, ...]


DIALECTS = tuple(dialect.value for dialect in Dialect)
VERSIONS = ("v1alpha1",)
"""API versions of Towpath's kinds and of Karmada's policies."""
_POLICIES = ("policy.karmada.io",)
_WRITES, _CHANGES = ("CREATE", "UPDATE"), ("UPDATE", "DELETE")
_BY_USERS = (when.NOT_RESERVED_NAMESPACE, when.NOT_CONTROLLER)

MUTATE_CLUSTERS, MUTATE_DEFAULTS = "/mutate/clusters", "/mutate/defaults"
VALIDATE_CLUSTERS, VALIDATE_EXPORTS = "/validate/clusters", "/validate/serviceexports"
VALIDATE_IMPORTS, VALIDATE_TRAFFIC = "/validate/serviceimports", "/validate/globaltrafficpolicies"
VALIDATE_POLICIES, VALIDATE_DERIVED = "/validate/policies", "/validate/derived"
INTERPRET = "/interpret"

MUTATING = (
    Hook(
        "clusters.towpath.io",
        MUTATE_CLUSTERS,
        (ResourceRule(DIALECTS, ("clusters",), _WRITES, "Cluster"),),
        (when.HAS_KUBECONFIG,),
        FailurePolicy.IGNORE,
    ),
    Hook(
        "defaults.towpath.io",
        MUTATE_DEFAULTS,
        (ResourceRule(DIALECTS, ("serviceexports", "serviceimports", "globaltrafficpolicies"), _WRITES),),
        (*_BY_USERS, when.SPEC_CHANGES, when.LACKS_DEFAULT),
        FailurePolicy.IGNORE,
    ),
)
"""The webhooks of the MutatingWebhookConfiguration."""

VALIDATING = (
    Hook(
        "clusters.towpath.io",
        VALIDATE_CLUSTERS,
        (ResourceRule(DIALECTS, ("clusters",), _WRITES, "Cluster"),),
        (when.SPEC_CHANGES,),
        FailurePolicy.FAIL,
    ),
    Hook(
        "serviceexports.towpath.io",
        VALIDATE_EXPORTS,
        (ResourceRule(DIALECTS, ("serviceexports",), _WRITES),),
        (*_BY_USERS, when.MEANING_CHANGES),
        FailurePolicy.FAIL,
    ),
    Hook(
        "serviceimports.towpath.io",
        VALIDATE_IMPORTS,
        (ResourceRule(DIALECTS, ("serviceimports",), _WRITES),),
        (*_BY_USERS, when.NOT_DERIVED, when.SPEC_CHANGES),
        FailurePolicy.FAIL,
    ),
    Hook(
        "globaltrafficpolicies.towpath.io",
        VALIDATE_TRAFFIC,
        (ResourceRule(DIALECTS, ("globaltrafficpolicies",), _WRITES),),
        (*_BY_USERS, when.SPEC_CHANGES),
        FailurePolicy.FAIL,
    ),
    Hook(
        "policies.towpath.io",
        VALIDATE_POLICIES,
        (
            ResourceRule(_POLICIES, ("propagationpolicies",), _CHANGES),
            ResourceRule(_POLICIES, ("clusterpropagationpolicies",), _CHANGES, "Cluster"),
        ),
        (*_BY_USERS, when.NOT_DERIVED, when.SELECTS_EXPORTED, when.SPEC_CHANGES),
        FailurePolicy.IGNORE,
    ),
    Hook(
        "derived.towpath.io",
        VALIDATE_DERIVED,
        (
            ResourceRule(DIALECTS, ("serviceimports",), _CHANGES),
            ResourceRule(_POLICIES, ("propagationpolicies", "overridepolicies"), _CHANGES),
        ),
        (*_BY_USERS, when.DERIVED, when.DERIVED_PART_CHANGES),
        FailurePolicy.IGNORE,
    ),
)
"""The webhooks of the ValidatingWebhookConfiguration."""

INTERPRETER = "interpreter.towpath.io"
"""The webhook of the ResourceInterpreterWebhookConfiguration, for ``DIALECTS``, at ``INTERPRET``."""
INTERPRETER_RULES = (
    InterpreterRule(("AggregateStatus", "InterpretHealth"), ("ServiceExport",)),
    InterpreterRule(("InterpretHealth",), ("ServiceImport", "GlobalTrafficPolicy")),
)
"""Its rules. Never ``*``: an unreachable Retain webhook stops every update of members."""
INTERPRET_TIMEOUT_SECONDS = 3
"""Without it Karmada waits 30 seconds."""

HOOKS = (*MUTATING, *VALIDATING)
"""All admission webhooks."""
