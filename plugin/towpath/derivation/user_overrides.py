"""What the user's override policies make of derived ServiceImports ("user override rule" in docs/rules.md).

A policy without resource selectors reaches every template of its namespace, the derived ServiceImport among
them. For each importing cluster the copy is worked out by Karmada's rules, with the user's policies and
without them: where the two differ the member gets something else than what was derived, and where an override
cannot be applied it is not updated at all ("silent override failure" in docs/karmada-behaviour.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from towpath.derivation.render import Rendered
from towpath.model.ownership import VIEW_ANNOTATION
from towpath.propagation.overriding import concerning, overridden
from towpath.propagation.policies import OverridePolicy, Target, read_override
from towpath.rules.reasons import Advice, Caution
from towpath.text import several

Object = Mapping[str, Any]


class ImportOverride(NamedTuple):
    """What the user's policies do to the import of one cluster.

    ``policies`` are their names with kind and namespace. ``fault`` says why Karmada does not update the
    member, empty if it gets a changed import.
    """

    cluster: str
    policies: tuple[str, ...]
    fault: str = ""


def import_overrides(
    rendered: Rendered, overrides: Iterable[OverridePolicy], targets: Mapping[str, Target]
) -> tuple[ImportOverride, ...]:
    """Return the importing clusters, by name, whose import the user's policies change or block.

    ``overrides`` are all policies of the user, ``targets`` the members as policies select them.
    """
    template = rendered.service_import
    if template is None:
        return ()
    meta = template["metadata"]
    found = tuple(
        concerning(overrides, template["apiVersion"], template["kind"], meta["namespace"], meta["name"])
    )
    if not found:
        return ()
    derived = tuple(map(read_override, rendered.overrides))
    return tuple(
        effect
        for cluster in sorted(rendered.digests)
        if (effect := _effect(template, targets.get(cluster) or Target(cluster), found, derived))
    )


def cautions_of(effects: Iterable[ImportOverride]) -> tuple[Caution, ...]:
    """Return the effects as warnings; clusters with the same policies share one."""
    alike: dict[tuple[Advice, tuple[str, ...]], list[str]] = {}
    for effect in effects:
        reason = Advice.IMPORT_OVERRIDE_FAILS if effect.fault else Advice.IMPORT_OVERRIDDEN
        alike.setdefault((reason, effect.policies), []).append(effect.cluster)
    return tuple(
        Caution(reason, "", f"{several(policies)} in {several(clusters)}")
        for (reason, policies), clusters in alike.items()
    )


def _effect(
    template: Object, target: Target, users: Sequence[OverridePolicy], derived: Sequence[OverridePolicy]
) -> ImportOverride | None:
    wanted = _content(overridden(template, target, derived).manifest)
    copy = overridden(template, target, [*users, *derived])
    if not copy.fault and _content(copy.manifest) == wanted:
        return None
    alone = tuple(_changing(template, target, users, derived, wanted))
    return ImportOverride(target.name, alone or tuple(policy.title for policy in users), copy.fault)


def _changing(
    template: Object,
    target: Target,
    users: Sequence[OverridePolicy],
    derived: Sequence[OverridePolicy],
    wanted: object,
) -> Iterator[str]:
    """Yield the policies that change the import, or block it, without the others."""
    for policy in users:
        copy = overridden(template, target, [policy, *derived])
        if copy.fault or _content(copy.manifest) != wanted:
            yield policy.title


def _content(manifest: Object) -> object:
    """Return what a member acts on, and whether it reports that (deploy/karmada/interpreter.yaml)."""
    annotations = manifest["metadata"].get("annotations") or {}
    return manifest.get("kind"), manifest.get("spec"), VIEW_ANNOTATION in annotations
