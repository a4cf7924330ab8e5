"""What a member's copy of a template looks like after the user's own OverridePolicies.

``pkg/util/overridemanager/overridemanager.go``: first every ClusterOverridePolicy, then those of the
template's namespace; among each kind the less precise selector first, then the name; all rules that match
the member, in order. Within one rule labels, then annotations, fields, and the plaintext patches last.

Plaintext is one JSON patch (RFC 6902), applied by evanphx/json-patch v5 with its default options:

* ``remove`` and ``replace`` of what is not there, and an index outside of the list, **fail**
  (AllowMissingPathOnRemove is off), and so does ``add`` under a parent that is not there
  (EnsurePathExistsOnAdd is off);
* ``add`` of a key that is there replaces it, ``-`` is the end of a list, and a negative index counts from it;
* what stands before the first slash of a path is ignored.

A patch that fails stops the whole update of that member, and the binding still reports success ("silent
override failure" in docs/karmada-behaviour.md). Then ``fault`` says so, and the copy is the template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import jsonpatch

from towpath.propagation.placement import matches
from towpath.propagation.policies import (
    MapOverrider,
    OverridePolicy,
    Overriders,
    OverrideRule,
    PlaintextOverrider,
    Target,
)
from towpath.propagation.selection import Match, Template, best_match, template_of, text_map

_Manifest = dict[str, Any]
_NOT_UPDATED = "Karmada does not update the object"
_INDEX = re.compile(r"[+-]?[0-9]{1,18}")
MAX_OPERATIONS = 256
"""Operations that are evaluated for one object and one cluster. A tenant decides how many there are."""
_TOO_MANY = f"More than {MAX_OPERATIONS} operations apply"
_FEWER = "Towpath evaluates none of them. Replace larger parts of the object at once."


class _Inapplicable(Exception):
    """An overrider cannot be applied: the field it stands in, and why."""


class Copy(NamedTuple):
    """A template as a member gets it.

    ``fault`` says why Karmada cannot bring the member up to date, ``unread`` what was not worked out.
    """

    manifest: _Manifest
    fault: str = ""
    unread: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Both, for people."""
        return (*self.unread, self.fault) if self.fault else self.unread


def concerning(
    overrides: Iterable[OverridePolicy], api_version: str, kind: str, namespace: str, name: str
) -> Iterator[OverridePolicy]:
    """Yield the policies that can change an object, whatever its labels are or become."""
    for policy in overrides:
        if policy.namespace in {"", namespace} and (
            not policy.resource_selectors
            or any(
                (s.api_version, s.kind) == (api_version, kind)
                and s.namespace in {"", namespace}
                and s.name in {"", name}
                for s in policy.resource_selectors
            )
        ):
            yield policy


def overridden(template_obj: Mapping[str, Any], cluster: Target, overrides: Sequence[OverridePolicy]) -> Copy:
    """Return a template as a member gets it.

    ``template_obj`` is a Service or a ServiceExport. Overriders of images, commands and arguments do
    nothing to it, but for one: an image that is to be found at a path, and is not, fails like a patch.
    """
    manifest: _Manifest = deepcopy(dict(template_obj))
    notes: list[str] = []
    left = MAX_OPERATIONS
    wide = [policy for policy in overrides if not policy.namespace]
    for policies in (wide, [policy for policy in overrides if policy.namespace]):
        # Selectors of the second kind see what the first has made of the labels.
        for policy in _in_order(policies, template_of(manifest)):
            rules = {p: rule for p, rule in policy.rules.items() if matches(rule.target_cluster, cluster)}
            left -= sum(map(_operations, rules.values()))
            if left < 0:
                fault = f"{policy.title}: {_TOO_MANY} in cluster {cluster.name}. {_FEWER}"
                return Copy(deepcopy(dict(template_obj)), fault, tuple(notes))
            try:
                manifest, unread = _apply(rules, manifest)
            except _Inapplicable as error:
                result = f"{_NOT_UPDATED} in cluster {cluster.name}, and reports it in events only."
                fault = f"{policy.title}: {error}. {result}"
                return Copy(deepcopy(dict(template_obj)), fault, tuple(notes))
            notes += [
                f"{policy.title}: {field} is not evaluated. Its changes are not shown." for field in unread
            ]
    return Copy(manifest, unread=tuple(notes))


def _in_order(policies: Sequence[OverridePolicy], template: Template) -> list[OverridePolicy]:
    """Return the policies for a template, the last word last (overridemanager.go:202-227)."""
    ranked = [(match, p.name, p) for p in policies if (match := _precision(p, template))]
    return [policy for *_, policy in sorted(ranked, key=lambda rank: rank[:2])]


def _precision(policy: OverridePolicy, template: Template) -> Match | None:
    if policy.namespace not in {"", template.namespace}:
        return None
    return best_match(policy.resource_selectors, template) if policy.resource_selectors else Match.ALL


def _operations(rule: OverrideRule) -> int:
    changes = rule.overriders
    maps = (*changes.labels_overrider, *changes.annotations_overrider)
    return len(maps) + len(changes.image_overrider) + len(changes.field_overrider) + len(changes.plaintext)


def _apply(rules: Mapping[str, OverrideRule], manifest: _Manifest) -> tuple[_Manifest, list[str]]:
    """Return the manifest after rules of a policy, and the fields of the policy that were not read."""
    unread: list[str] = []
    for place, rule in rules.items():
        unread += _images_not_read(rule.overriders, manifest, f"{place}.overriders")
        manifest = _with_maps(rule.overriders, manifest)
        unread += _fields_not_read(rule.overriders, manifest, f"{place}.overriders")
        manifest = _patched(rule.overriders.plaintext, manifest, f"{place}.overriders")
    return manifest, unread


def _images_not_read(overriders: Overriders, manifest: _Manifest, place: str) -> Iterator[str]:
    """Name the image overriders with a path of their own (imageoverride.go, buildPatchesWithPredicate)."""
    for index, overrider in enumerate(overriders.image_overrider):
        if overrider.predicate:
            where = f"{place}.imageOverrider[{index}]"
            _need_text(manifest, overrider.predicate.path, f"{where}.predicate.path")
            yield where


def _fields_not_read(overriders: Overriders, manifest: _Manifest, place: str) -> Iterator[str]:
    """Name the field overriders: they patch a document inside of a string (applyFieldOverriders)."""
    for index, overrider in enumerate(overriders.field_overrider):
        where = f"{place}.fieldOverrider[{index}]"
        _need_text(manifest, overrider.field_path, f"{where}.fieldPath")
        yield where


def _need_text(manifest: _Manifest, path: str, where: str) -> None:
    try:
        found = jsonpatch.JsonPointer(path).resolve(manifest)
    except jsonpatch.JsonPointerException:
        found = None
    if not isinstance(found, str):
        raise _Inapplicable(f"{where}: The template has no string at {path!r}")


def _with_maps(overriders: Overriders, manifest: _Manifest) -> _Manifest:
    """Return the manifest with labels and annotations changed (labelannotationoverrider.go). Never fails."""
    metadata = manifest.get("metadata", {})
    if not isinstance(metadata, dict):
        return manifest
    for key, changes in (
        ("labels", overriders.labels_overrider),
        ("annotations", overriders.annotations_overrider),
    ):
        for change in changes:
            changed = _changed(text_map(metadata.get(key)), change)
            metadata = metadata if changed is None else {**metadata, key: changed}
    return {**manifest, "metadata": metadata}


def _changed(held: dict[str, str] | None, change: MapOverrider) -> dict[str, str] | None:
    """Return labels after a change, None if there is nothing to change."""
    if change.operator == "add":
        return {**(held or {}), **change.value} if change.value else None
    if held is None:
        return None
    if change.operator == "remove":
        return {key: value for key, value in held.items() if key not in change.value}
    return {key: change.value.get(key, value) for key, value in held.items()}


def _patched(patch: Sequence[PlaintextOverrider], manifest: _Manifest, place: str) -> _Manifest:
    document: object = manifest
    for index, overrider in enumerate(patch):
        try:
            document = _step(document, overrider)
        except (LookupError, RecursionError):
            where = f"{place}.plaintext[{index}]"
            path = overrider.path
            raise _Inapplicable(f"{where}: Cannot {overrider.operator} {path!r} in the template") from None
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str) or not document["kind"]:
        raise _Inapplicable(f"{place}.plaintext: The result is not an object with a kind")
    return document


def _step(document: object, overrider: PlaintextOverrider) -> object:
    """Apply one operation to the document itself: copies would take seconds. Raises LookupError."""
    operator, value = overrider.operator, deepcopy(overrider.value)
    before, *segments = overrider.path.split("/")
    if not segments:
        if before or operator == "remove":
            raise KeyError(before)
        return value
    *parents, last = (segment.replace("~1", "/").replace("~0", "~") for segment in segments)
    found = document
    for segment in parents:
        found = _child(found, segment)
    if isinstance(found, dict):
        if operator != "add" and last not in found:
            raise KeyError(last)
        if operator == "remove":
            del found[last]
        else:
            found[last] = value
    elif isinstance(found, list):
        if operator == "add":
            found.insert(_index(found, last, len(found)), value)
        elif operator == "replace":
            found[_index(found, last, len(found) - 1)] = value
        else:
            del found[_index(found, last, len(found) - 1)]
    else:
        raise KeyError(last)
    return document


def _child(found: object, segment: str) -> object:
    if isinstance(found, dict):
        return found[segment]
    if isinstance(found, list):
        return found[_index(found, segment, len(found) - 1)]
    raise KeyError(segment)


def _index(found: Sequence[object], segment: str, highest: int) -> int:
    """Return an index as evanphx reads it, by Go's Atoi; a negative one counts from the end."""
    if segment == "-" and highest == len(found):
        return highest
    if not _INDEX.fullmatch(segment):
        raise KeyError(segment)
    index = int(segment) + (highest + 1 if int(segment) < 0 else 0)
    if not 0 <= index <= highest:
        raise IndexError(segment)
    return index
