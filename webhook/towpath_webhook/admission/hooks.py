"""All that apiservers and Karmada ask the webhook, as one table: paths, kinds, operations, conditions.

``admission`` and ``interpreter`` answer what is listed here, ``registration`` makes configurations of it,
and nothing else names a path. What is asked is exactly what a rule has something to say about.

``Fail`` stands only where a credential or an impossible object would be stored, and only for our kinds.
What warns, fills in, or protects what the controller would repair anyhow is ``Ignore``: policies of users can
be edited and everything be uninstalled while we are down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from towpath.model.keys import Dialect
from towpath_webhook.admission import match_conditions as when


class Failure(StrEnum):
    """What an apiserver does with a request when the webhook does not answer: ``failurePolicy``."""

    FAIL = "Fail"
    IGNORE = "Ignore"


@dataclass(frozen=True)
class Asked:
    """Resources of one scope, and the operations on them that are asked about."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    operations: tuple[str, ...]
    scope: str = "Namespaced"


@dataclass(frozen=True)
class Hook:
    """One webhook of a configuration. Of its conditions all must hold."""

    name: str
    path: str
    asked: tuple[Asked, ...]
    conditions: tuple[when.Condition, ...]
    failure: Failure
    timeout: int = 3


@dataclass(frozen=True)
class Interpreted:
    """Operations of Karmada's resource interpreter on some kinds of ours."""

    operations: tuple[str, ...]
    kinds: tuple[str, ...]


DIALECTS = tuple(dialect.value for dialect in Dialect)
VERSIONS = ("v1alpha1",)
"""Of our kinds and of Karmada's policies."""
_POLICIES = ("policy.karmada.io",)
_WRITES, _CHANGES = ("CREATE", "UPDATE"), ("UPDATE", "DELETE")
_BY_USERS = (when.ELSEWHERE, when.BY_OTHERS)

MUTATE_CLUSTERS, MUTATE_DEFAULTS = "/mutate/clusters", "/mutate/defaults"
VALIDATE_CLUSTERS, VALIDATE_EXPORTS = "/validate/clusters", "/validate/serviceexports"
VALIDATE_IMPORTS, VALIDATE_TRAFFIC = "/validate/serviceimports", "/validate/globaltrafficpolicies"
VALIDATE_POLICIES, VALIDATE_DERIVED = "/validate/policies", "/validate/derived"
INTERPRET = "/interpret"

MUTATING = (
    Hook(
        "clusters.towpath.io",
        MUTATE_CLUSTERS,
        (Asked(DIALECTS, ("clusters",), _WRITES, "Cluster"),),
        (when.HOLDS_KUBECONFIG,),
        Failure.IGNORE,
    ),
    Hook(
        "defaults.towpath.io",
        MUTATE_DEFAULTS,
        (Asked(DIALECTS, ("serviceexports", "serviceimports", "globaltrafficpolicies"), _WRITES),),
        (*_BY_USERS, when.SPEC, when.LACKS_DEFAULT),
        Failure.IGNORE,
    ),
)
"""The webhooks of the MutatingWebhookConfiguration."""

VALIDATING = (
    Hook(
        "clusters.towpath.io",
        VALIDATE_CLUSTERS,
        (Asked(DIALECTS, ("clusters",), _WRITES, "Cluster"),),
        (when.SPEC,),
        Failure.FAIL,
    ),
    Hook(
        "serviceexports.towpath.io",
        VALIDATE_EXPORTS,
        (Asked(DIALECTS, ("serviceexports",), _WRITES),),
        (*_BY_USERS, when.MEANING),
        Failure.FAIL,
    ),
    Hook(
        "serviceimports.towpath.io",
        VALIDATE_IMPORTS,
        (Asked(DIALECTS, ("serviceimports",), _WRITES),),
        (*_BY_USERS, when.NOT_DERIVED, when.SPEC),
        Failure.FAIL,
    ),
    Hook(
        "globaltrafficpolicies.towpath.io",
        VALIDATE_TRAFFIC,
        (Asked(DIALECTS, ("globaltrafficpolicies",), _WRITES),),
        (*_BY_USERS, when.SPEC),
        Failure.FAIL,
    ),
    Hook(
        "policies.towpath.io",
        VALIDATE_POLICIES,
        (
            Asked(_POLICIES, ("propagationpolicies",), _CHANGES),
            Asked(_POLICIES, ("clusterpropagationpolicies",), _CHANGES, "Cluster"),
        ),
        (*_BY_USERS, when.NOT_DERIVED, when.CARRIES, when.SPEC),
        Failure.IGNORE,
    ),
    Hook(
        "derived.towpath.io",
        VALIDATE_DERIVED,
        (
            Asked(DIALECTS, ("serviceimports",), _CHANGES),
            Asked(_POLICIES, ("propagationpolicies", "overridepolicies"), _CHANGES),
        ),
        (*_BY_USERS, when.DERIVED, when.OURS),
        Failure.IGNORE,
    ),
)
"""The webhooks of the ValidatingWebhookConfiguration."""

INTERPRETER = "interpreter.towpath.io"
"""The one webhook of the ResourceInterpreterWebhookConfiguration, for ``DIALECTS``, at ``INTERPRET``."""
INTERPRETING = (
    Interpreted(("AggregateStatus", "InterpretHealth"), ("ServiceExport",)),
    Interpreted(("InterpretHealth",), ("ServiceImport", "GlobalTrafficPolicy")),
)
"""Its rules. Never ``*``: an unreachable Retain would stop every update of members (facts T10)."""
INTERPRET_TIMEOUT = 3
"""Seconds: Karmada has no default and waits 30 (facts 3)."""

HOOKS = (*MUTATING, *VALIDATING)
"""All of admission."""
