"""Rules for ServiceExports: errors and warnings that need the object alone.

The errors are those of Towpath's CRD, in its words: where ErieCanal or FSM brought a CRD, nothing else
reports them, and the gateway of a member fails without an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from towpath.model.export import PATH_TYPES, PREFIX, WHEN_UNREACHABLE
from towpath.model.keys import is_cluster_key, why_not_cluster_key
from towpath.rules.export_warnings import shape_alone
from towpath.rules.reachability import misspelled
from towpath.rules.reasons import Caution, InvalidReason
from towpath_webhook.admission.fields import (
    HIGHEST_PORT,
    MAX_KEY_LENGTH,
    MAX_KEYS,
    MAX_NAME_LENGTH,
    MAX_PATH_LENGTH,
    MAX_RULES,
    Problem,
    annotation,
    choice,
    integer,
    items,
    part,
    text,
    too_many,
)

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
# Matches nearly all valid paths with one look.
_PLAIN_PATH = re.compile(r"/|(/[^/?#%.\s]+)+/?")
_UNROUTABLE = re.compile(r"//|/(\.|%2[eE]){1,2}(/|$)|%2[fF]")
_UNREQUESTABLE = re.compile(r"[?#\s]", re.ASCII)
_ACCOUNT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*|\*|")
_BALANCERS = ("RoundRobinLoadBalancer", "HashingLoadBalancer", "LeastWorkLoadBalancer")

_INVALID_NAME = (
    "The name must be that of the Service to export: lower case letters, digits and '-', starting with a "
    "letter, at most 63 characters. Rename the ServiceExport."
)
_NO_RULES = "Nothing is exported. Add a rule with portNumber, path and pathType."
_UNROUTABLE_PATH = (
    "The path contains '//', '%2f', or a '.' or '..' segment, which gateways do not route. Remove it."
)
_UNREQUESTABLE_PATH = (
    "The path contains '?', '#' or white space, which no request has in its path. Remove it, or write a "
    "space as %20."
)
_SHARED_PATH = (
    "Rules give one path and pathType to different ports, but a gateway routes them to one port. Give each "
    "portNumber its own path."
)
_INVALID_ACCOUNT = (
    "The value is not the name of a ServiceAccount. Use a name without a namespace, or "
    '"*" for any ServiceAccount.'
)
NOT_A_KEY = (
    f"The value is not a string of at most {MAX_KEY_LENGTH} characters. Use region/zone/group/cluster, for "
    "example default/default/default/cluster-1."
)
_HALF_REWRITE = (
    "The gateway ignores pathRewrite unless both 'from' and 'to' are set. Set both or remove pathRewrite; "
    "to strip a prefix, set 'to' to \"/\"."
)


class _Rule(NamedTuple):
    """A rule without problems: the pydantic model would take as long as all other checks together."""

    port_number: int
    path: str
    path_type: str


def problems(export: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a ServiceExport, in the order of fields."""
    name = part(export, "metadata").get("name")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield Problem("metadata.name", _INVALID_NAME)
    spec = export.get("spec")
    if not isinstance(spec, dict):
        yield Problem("spec", f"Required value: {_NO_RULES}")
        return
    rules = spec.get("rules")
    if not isinstance(rules, list):
        yield Problem("spec.rules", f"Required value: {_NO_RULES}")
    elif not rules:
        yield Problem("spec.rules", "The list should have at least 1 items. Add a rule.")
    elif len(rules) > MAX_RULES:
        yield from too_many("spec.rules", rules, MAX_RULES)
    else:
        yield from _of_rules(rules)
    rewrite = part(spec, "pathRewrite")
    if bool(rewrite.get("from")) != bool(rewrite.get("to")):
        yield Problem("spec.pathRewrite", _HALF_REWRITE)
    yield from choice("spec.loadBalancer", spec.get("loadBalancer"), *_BALANCERS)
    yield from text(
        "spec.serviceAccountName",
        spec.get("serviceAccountName"),
        MAX_NAME_LENGTH,
        (lambda account: _ACCOUNT.fullmatch(account) is not None, _INVALID_ACCOUNT),
    )
    yield from _of_scope(items(spec.get("targetClusters")))


def warnings(export: Mapping[str, Any]) -> Iterator[Caution]:
    """Yield the warnings about a ServiceExport without problems."""
    yield from misspelled(annotation(export, WHEN_UNREACHABLE))
    rules = part(export, "spec").get("rules") or ()
    yield from shape_alone([_Rule(rule["portNumber"], rule["path"], rule["pathType"]) for rule in rules])


def _of_rules(rules: list[Any]) -> Iterator[Problem]:
    routes: dict[tuple[str, str], int] = {}
    is_shared = False
    for index, rule in enumerate(rules):
        field = f"spec.rules[{index}]"
        if not isinstance(rule, dict):
            yield Problem(
                field, "The value is not an object. Use an object with portNumber, path and pathType."
            )
            continue
        number, path, kind = rule.get("portNumber"), rule.get("path"), rule.get("pathType")
        if type(number) is not int or not 1 <= number <= HIGHEST_PORT:
            yield from integer(f"{field}.portNumber", number, 1, HIGHEST_PORT)
        if not isinstance(path, str) or len(path) > MAX_PATH_LENGTH or not _PLAIN_PATH.fullmatch(path):
            yield from _of_path(f"{field}.path", path)
        if kind is None:
            yield Problem(
                f"{field}.pathType", 'Required value: The field is missing. Use "Prefix" or "Exact".'
            )
        elif kind not in PATH_TYPES:
            yield from choice(f"{field}.pathType", kind, *PATH_TYPES)
        if isinstance(path, str) and isinstance(kind, str) and isinstance(number, int):
            slashed = f"{path}/" if kind == PREFIX and path[-1:] != "/" else path
            is_shared = routes.setdefault((kind, slashed), number) != number or is_shared
    if is_shared:
        yield Problem("spec.rules", _SHARED_PATH)


def _of_path(field: str, path: object) -> Iterator[Problem]:
    if path is None:
        yield Problem(
            field,
            "Required value: The field is missing. Set the path that the gateway routes to the Service.",
        )
    elif isinstance(path, str) and len(path) <= MAX_PATH_LENGTH and not path.startswith("/"):
        yield Problem(field, f"The path does not start with '/'. Use '/{path or 'orders'}'.")
    else:
        yield from text(
            field,
            path,
            MAX_PATH_LENGTH,
            (lambda path: not _UNROUTABLE.search(path), _UNROUTABLE_PATH),
            (lambda path: not _UNREQUESTABLE.search(path), _UNREQUESTABLE_PATH),
        )


def _of_scope(keys: list[Any]) -> Iterator[Problem]:
    if len(keys) > MAX_KEYS:
        yield from too_many("spec.targetClusters", keys, MAX_KEYS)
        return
    seen = set()
    for index, key in enumerate(keys):
        if not isinstance(key, str) or len(key) > MAX_KEY_LENGTH:
            yield Problem(f"spec.targetClusters[{index}]", NOT_A_KEY)
        elif not is_cluster_key(key):
            yield Problem(f"spec.targetClusters[{index}]", malformed_key(key))
        elif key in seen:
            yield Problem(
                f"spec.targetClusters[{index}]", f"Duplicate value: {key} occurs twice. Remove one."
            )
        else:
            seen.add(key)


def malformed_key(key: str) -> str:
    """Return the problem of a malformed cluster key."""
    detail = f"{key!r}: {why_not_cluster_key(key)}"
    return Caution(InvalidReason.MALFORMED_KEY, "", detail).problem
