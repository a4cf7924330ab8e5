"""Which rules answer on which path, and the pure function from a question to its answer.

A rule is a function ``Request -> Verdict``. Those that judge what would be stored are made of a kind's
``problems`` and ``warnings``, which know the object alone. What takes more than the object (who exports,
what a cluster key means, whom a policy leaves behind) is the plugin's to say: where a path's ``asks`` is
set, its word is added to the rule's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from towpath.errors import InvalidObject
from towpath.rules.reasons import Caution
from towpath_webhook.admission import clusters, exports, hooks, imports, traffic
from towpath_webhook.admission.defaults import fill_in
from towpath_webhook.admission.derived import protect
from towpath_webhook.admission.fields import Problem
from towpath_webhook.admission.review import PASS, Request, Verdict

Rule = Callable[[Request], Verdict]
Object = Mapping[str, Any]
STANDING = "stays as it was stored, but is refused when it is changed"


class Admission(NamedTuple):
    """What answers on one path. ``asks``: the plugin has something to say as well."""

    rule: Rule
    asks: bool = False


def judged(
    problems: Callable[[Object], Iterable[Problem]],
    warnings: Callable[[Object], Iterable[Caution]] = lambda _: (),
) -> Rule:
    """Return the rule that refuses an object with problems.

    What is wrong with the stored object already is no reason to refuse a change of something else: it is
    a warning then, or nobody could ever repair such an object step by step.
    """

    def rule(request: Request) -> Verdict:
        obj = request.obj
        if obj is None or request.goes:
            return PASS
        found = tuple(problems(obj))
        if not found:
            try:
                return Verdict(warnings=tuple(caution.text for caution in warnings(obj)))
            except InvalidObject as error:  # of a type that no CRD lets in
                return Verdict(problems=(Problem("spec", str(error)),))
        old = request.old
        before = set(problems(old)) if old else set()
        return Verdict(
            warnings=tuple(f"{one} ({STANDING})" for one in found if one in before),
            problems=tuple(one for one in found if one not in before),
        )

    return rule


def silent(_: Request) -> Verdict:
    """Have nothing to say without the plugin."""
    return PASS


RULES: Mapping[str, Admission] = {
    hooks.MUTATE_CLUSTERS: Admission(clusters.drop_kubeconfig),
    hooks.MUTATE_DEFAULTS: Admission(fill_in),
    hooks.VALIDATE_CLUSTERS: Admission(judged(clusters.problems)),
    hooks.VALIDATE_EXPORTS: Admission(judged(exports.problems, exports.warnings), asks=True),
    hooks.VALIDATE_IMPORTS: Admission(judged(imports.problems)),
    hooks.VALIDATE_TRAFFIC: Admission(judged(traffic.problems, traffic.warnings), asks=True),
    hooks.VALIDATE_POLICIES: Admission(silent, asks=True),
    hooks.VALIDATE_DERIVED: Admission(protect),
}


def together(own: Verdict, theirs: Verdict) -> Verdict:
    """Return what two say of one object, each thing once."""
    return Verdict(
        own.patch,
        tuple(dict.fromkeys((*own.warnings, *theirs.warnings))),
        tuple(dict.fromkeys((*own.problems, *theirs.problems))),
        own.code,
    )
