"""ServiceExports: what can only be a mistake, and what surprises, as far as the object alone tells.

The problems are those of our own CRD, in its words: where ErieCanal or FSM brought theirs, nobody else says
them, and a member's gateway would take such a route apart without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.keys import is_cluster_key
from towpath.rules.export_warnings import shape_alone
from towpath.rules.reachability import grace
from towpath.rules.reasons import Advice, Caution
from towpath_webhook.admission.fields import (
    HIGHEST_PORT,
    Problem,
    annotation,
    integer,
    items,
    one_of,
    part,
    text,
)

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
# What nearly all paths are, so that one look is enough for them.
_PLAIN_PATH = re.compile(r"/|(/[^/?#%.\s]+)+/?")
_UNROUTED = re.compile(r"//|/\.\.?(/|$)|%2[fF]")
_NEVER_ASKED = re.compile(r"[?#\s]", re.ASCII)
_ACCOUNT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*|\*|")
_PREFIX = "Prefix"
_PATH_TYPES = (_PREFIX, "Exact")

_BAD_NAME = (
    "must be the name of the Service to export: lower case letters, digits and '-', beginning with a letter, "
    "at most 63 characters"
)
_NO_RULES = "Required value: nothing is exported: add a rule with portNumber, path and pathType"
_UNROUTED_PATH = (
    "path must not hold '//', '%2f' or the segments '.' and '..', which no gateway routes: remove them"
)
_UNASKED_PATH = (
    "path must not hold '?', '#' or white space, no request would ever match: leave the query out, write %20 "
    "for a space"
)
_SHARED_PATH = (
    "rules give one path and pathType to different ports, and a gateway can route it to one only: give each "
    "portNumber a path of its own"
)
_BAD_ACCOUNT = 'must be the name of a ServiceAccount, without its namespace, or "*" for any'
_HALF_REWRITE = (
    "pathRewrite needs both 'from' and 'to', one alone is ignored by the gateway: set both or remove "
    'pathRewrite; to strip a prefix use to "/"'
)
_BALANCERS = ("RoundRobinLoadBalancer", "HashingLoadBalancer", "LeastWorkLoadBalancer")
NOT_A_KEY = "write region/zone/group/cluster, for example default/default/default/"
_ONE_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class _Rule(NamedTuple):
    """A rule in which nothing is wrong: the model would take as long over it as all the rest here."""

    port_number: int
    path: str
    path_type: str


def problems(export: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield all that is wrong with a ServiceExport, in the order of fields."""
    name = part(export, "metadata").get("name")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield Problem("metadata.name", f"metadata.name {_BAD_NAME}")
    spec = export.get("spec")
    if not isinstance(spec, dict):
        yield Problem("spec", _NO_RULES)
        return
    rules = spec.get("rules")
    if not isinstance(rules, list) or not rules:
        yield Problem(
            "spec.rules", _NO_RULES if rules is None else "should have at least 1 items: add a rule"
        )
    else:
        yield from _of_rules(rules)
    rewrite = part(spec, "pathRewrite")
    if bool(rewrite.get("from")) != bool(rewrite.get("to")):
        yield Problem("spec.pathRewrite", _HALF_REWRITE)
    yield from one_of("spec.loadBalancer", spec.get("loadBalancer"), *_BALANCERS)
    yield from text(
        "spec.serviceAccountName",
        spec.get("serviceAccountName"),
        (lambda name: _ACCOUNT.fullmatch(name) is not None, f"serviceAccountName {_BAD_ACCOUNT}"),
    )
    yield from _of_scope(items(spec.get("targetClusters")))


def warnings(export: Mapping[str, Any]) -> Iterator[Caution]:
    """Yield what is legal and surprises about a ServiceExport that has no problems."""
    value = annotation(export, WHEN_UNREACHABLE)
    if grace(value) is None:
        detail = f"{value!r}: must be Keep, Withdraw or WithdrawAfter=<duration>"
        yield Caution(Advice.BAD_ANNOTATION, f"metadata.annotations[{WHEN_UNREACHABLE}]", detail)
    rules = part(export, "spec").get("rules") or ()
    yield from shape_alone([_Rule(rule["portNumber"], rule["path"], rule["pathType"]) for rule in rules])


def _of_rules(rules: list[Any]) -> Iterator[Problem]:
    routes: dict[tuple[str, str], int] = {}
    shared = False
    for index, rule in enumerate(rules):
        field = f"spec.rules[{index}]"
        if not isinstance(rule, dict):
            yield Problem(field, "must be an object with portNumber, path and pathType")
            continue
        number, path, kind = rule.get("portNumber"), rule.get("path"), rule.get("pathType")
        if type(number) is not int or not 1 <= number <= HIGHEST_PORT:
            yield from integer(f"{field}.portNumber", number, 1, HIGHEST_PORT)
        if not isinstance(path, str) or not _PLAIN_PATH.fullmatch(path):
            yield from _of_path(f"{field}.path", path)
        if kind is None:
            yield Problem(f"{field}.pathType", 'Required value: write "Prefix" or "Exact"')
        elif kind not in _PATH_TYPES:
            yield from one_of(f"{field}.pathType", kind, *_PATH_TYPES)
        if isinstance(path, str) and isinstance(kind, str) and isinstance(number, int):
            slashed = f"{path}/" if kind == _PREFIX and path[-1:] != "/" else path
            shared = routes.setdefault((kind, slashed), number) != number or shared
    if shared:
        yield Problem("spec.rules", _SHARED_PATH)


def _of_path(field: str, path: object) -> Iterator[Problem]:
    if path is None:
        yield Problem(field, "Required value: give the path that the gateway routes to the Service")
    elif isinstance(path, str) and not path.startswith("/"):
        yield Problem(field, f"path must begin with '/', for example '/{path or 'orders'}'")
    else:
        yield from text(
            field,
            path,
            (lambda path: not _UNROUTED.search(path), _UNROUTED_PATH),
            (lambda path: not _NEVER_ASKED.search(path), _UNASKED_PATH),
        )


def _of_scope(keys: list[Any]) -> Iterator[Problem]:
    seen = set()
    for index, key in enumerate(keys):
        if not isinstance(key, str) or not is_cluster_key(key):
            wrong = f"targetClusters must hold cluster keys: {NOT_A_KEY}{example(key)}"
            yield Problem(f"spec.targetClusters[{index}]", wrong)
        elif key in seen:
            yield Problem(
                f"spec.targetClusters[{index}]", f"Duplicate value: {key} stands there twice: remove one"
            )
        else:
            seen.add(key)


def example(key: object) -> str:
    """Return the last part of the cluster key that was probably meant."""
    return key if isinstance(key, str) and _ONE_LABEL.fullmatch(key) else "cluster-1"
