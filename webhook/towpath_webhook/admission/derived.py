"""Protection of derived objects: users do not edit or delete them, because the controller would revert the
change, and members would have a wrong state in between.

Allowed are writes of the plugin, of controllers that remove objects without an owner or namespace, and
changes of other metadata, above all Karmada's claims. Uninstalling removes the webhook configurations first,
and deleting the ServiceExport deletes everything derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath.model.ownership import (
    EXPORT_PREFIX,
    IMPORT_ANNOTATIONS,
    MANAGED_BY_LABEL,
    TRAFFIC_PREFIX,
    is_marked,
)
from towpath_webhook.admission.fields import MAX_NAME_LENGTH, Problem, annotation, items, part
from towpath_webhook.admission.match_conditions import CONTROLLERS, OWNERS, PLUGIN_GROUP
from towpath_webhook.admission.review import ALLOW, Code, Request, Verdict

_FOLLOW_POLICIES = {EXPORT_PREFIX: "ServiceExport", TRAFFIC_PREFIX: "GlobalTrafficPolicy"}
"""The kind that a derived PropagationPolicy propagates, by the prefix of its name."""


def protect_derived(request: Request) -> Verdict:
    """Refuse a user's change or deletion of a derived object."""
    old = request.old or {}
    owner = _owner(old)
    if owner is None or _is_controller(request) or not _is_derived_part_changed(request, old):
        return ALLOW
    return Verdict(problems=(Problem("", _message(request, old, owner)),), code=Code.FORBIDDEN)


def _owner(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference of a derived object, None if it is not derived."""
    kind, metadata = obj.get("kind"), part(obj, "metadata")
    if not isinstance(kind, str) or not isinstance(metadata.get("name"), str) or not is_marked(obj):
        return None
    for reference in items(metadata.get("ownerReferences")):
        if isinstance(reference, dict) and reference.get("kind") in OWNERS:
            return reference
    return None


def _is_controller(request: Request) -> bool:
    user = request.user_info
    return user.username in CONTROLLERS or PLUGIN_GROUP in (user.groups or ())


def _is_derived_part_changed(request: Request, old: Mapping[str, Any]) -> bool:
    if request.operation != "UPDATE":
        return request.operation == "DELETE"
    return _derived_part(request.obj or {}) != _derived_part(old)


def _derived_part(obj: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the fields that Towpath writes."""
    metadata = part(obj, "metadata")
    label = part(metadata, "labels").get(MANAGED_BY_LABEL)
    annotations = (annotation(obj, name) for name in IMPORT_ANNOTATIONS)
    return obj.get("spec"), label, metadata.get("ownerReferences"), *annotations


def _message(request: Request, old: Mapping[str, Any], owner: Mapping[str, Any]) -> str:
    kind, name = _short(old.get("kind")), _short(part(old, "metadata").get("name"))
    source = f"{owner['kind']} {_short(owner.get('name'))}"
    effect = "created again" if request.operation == "DELETE" else "reverted"
    reason = "it would be" if request.operation == "DELETE" else "the change would be"
    return f"{kind} {name}: The object is derived from {source}, and {reason} {effect}. {_fix(name, source)}"


def _fix(name: str, source: str) -> str:
    for prefix, kind in _FOLLOW_POLICIES.items():
        if name.startswith(prefix):
            return (
                f"Create a PropagationPolicy that selects the {kind}, and Towpath deletes this one; or "
                f"delete the "
                f"{source}."
            )
    return f"Edit or delete the {source}; its spec.targetClusters selects the importing clusters."


def _short(value: object) -> str:
    return str(value)[:MAX_NAME_LENGTH]
