"""The rule of each path: a pure function from an admission request to its verdict.

The rules that check what would be stored consist of the ``problems`` and ``warnings`` of a kind, which need
the object alone. Anything that needs more (which clusters export, what a cluster key means, what a policy
leaves behind) is the plugin's: where ``asks_plugin`` is set, its verdict is added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from towpath.errors import InvalidObject
from towpath.rules.reasons import Caution
from towpath_webhook.admission import clusters, exports, hooks, imports, traffic
from towpath_webhook.admission.defaults import add_defaults
from towpath_webhook.admission.derived import protect_derived
from towpath_webhook.admission.fields import Problem
from towpath_webhook.admission.review import ALLOW, Request, Verdict

Rule = Callable[[Request], Verdict]
Object = Mapping[str, Any]
STORED_SUFFIX = "(The stored object has this problem already. It is refused once the field changes.)"
MAX_EXAMINED = 500
"""Problems after which the rest of an object is not examined."""


class PathRule(NamedTuple):
    """The rule of a path. With ``asks_plugin`` the verdict of the plugin is added."""

    rule: Rule
    asks_plugin: bool = False


def validation(
    problems: Callable[[Object], Iterable[Problem]],
    warnings: Callable[[Object], Iterable[Caution]] = lambda _: (),
) -> Rule:
    """Return the rule that refuses an object with problems.

    A problem that the stored object has already is a warning: otherwise such an object could not be repaired
    step by step."""

    def rule(request: Request) -> Verdict:
        obj = request.obj
        if obj is None or request.is_deleting:
            return ALLOW
        found = tuple(islice(problems(obj), MAX_EXAMINED))
        if not found:
            try:
                return Verdict(warnings=tuple(caution.text for caution in warnings(obj)))
            except InvalidObject as error:  # of a type that no CRD allows
                return Verdict(problems=(Problem("spec", str(error)),))
        old = request.old
        stored = set(islice(problems(old), MAX_EXAMINED)) if old else set()
        return Verdict(
            warnings=tuple(f"{problem} {STORED_SUFFIX}" for problem in found if problem in stored),
            problems=tuple(problem for problem in found if problem not in stored),
        )

    return rule


def plugin_only(_: Request) -> Verdict:
    """Allow: only the plugin has a verdict."""
    return ALLOW


RULES: Mapping[str, PathRule] = {
    hooks.MUTATE_CLUSTERS: PathRule(clusters.drop_kubeconfig),
    hooks.MUTATE_DEFAULTS: PathRule(add_defaults),
    hooks.VALIDATE_CLUSTERS: PathRule(validation(clusters.problems)),
    hooks.VALIDATE_EXPORTS: PathRule(validation(exports.problems, exports.warnings), asks_plugin=True),
    hooks.VALIDATE_IMPORTS: PathRule(validation(imports.problems)),
    hooks.VALIDATE_TRAFFIC: PathRule(validation(traffic.problems, traffic.warnings), asks_plugin=True),
    hooks.VALIDATE_POLICIES: PathRule(plugin_only, asks_plugin=True),
    hooks.VALIDATE_DERIVED: PathRule(protect_derived),
}


def merge_verdicts(own: Verdict, other: Verdict) -> Verdict:
    """Return the verdict of two on one object, without repetitions."""
    return Verdict(
        own.patch,
        tuple(dict.fromkeys((*own.warnings, *other.warnings))),
        tuple(dict.fromkeys((*own.problems, *other.problems))),
        own.code,
    )
