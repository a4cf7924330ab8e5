"""What Towpath derives is not edited or deleted by hand: the controller would undo it, and in between
members would have something that nobody wanted.

May pass: whoever writes as the plugin does, who removes what has lost its owner or namespace, and every
change of metadata that is not ours, above all Karmada's claims. An uninstallation takes the configurations
out first, and whoever deletes the ServiceExport deletes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath_webhook.admission.fields import Problem, annotation, items, part
from towpath_webhook.admission.match_conditions import CONTROLLERS, MANAGED_BY, OWNERS, TOWPATH, VIEW
from towpath_webhook.admission.review import PASS, Code, Request, Verdict

_FOLLOWS = {"towpath-export-": "ServiceExport", "towpath-traffic-": "GlobalTrafficPolicy"}
"""Propagation that stands in for a policy of the user (following.py), by how its names begin."""


def protect(request: Request) -> Verdict:
    """Refuse to change or delete what is derived."""
    old = request.old or {}
    owner = _owner(old)
    if owner is None or _is_controller(request) or not _is_ours_changed(request, old):
        return PASS
    return Verdict(problems=(Problem("", _said(request, old, owner)),), code=Code.FORBIDDEN)


def _owner(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reference to what an object is derived from, None if it is not derived."""
    metadata = part(obj, "metadata")
    if part(metadata, "labels").get(MANAGED_BY) != TOWPATH:
        return None
    for reference in items(metadata.get("ownerReferences")):
        if isinstance(reference, dict) and reference.get("kind") in OWNERS:
            return reference
    return None


def _is_controller(request: Request) -> bool:
    user = request.user_info
    return user.username in CONTROLLERS or TOWPATH in (user.groups or ())


def _is_ours_changed(request: Request, old: Mapping[str, Any]) -> bool:
    if request.operation != "UPDATE":
        return request.operation == "DELETE"
    return _ours(request.obj or {}) != _ours(old)


def _ours(obj: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what Towpath writes of an object."""
    metadata = part(obj, "metadata")
    label = part(metadata, "labels").get(MANAGED_BY)
    return obj.get("spec"), label, metadata.get("ownerReferences"), annotation(obj, VIEW)


def _said(request: Request, old: Mapping[str, Any], owner: Mapping[str, Any]) -> str:
    kind, name = old.get("kind"), part(old, "metadata").get("name")
    source = f"{owner['kind']} {owner.get('name')}"
    undone = "it would be made again" if request.operation == "DELETE" else "this change would be undone"
    return f"{kind} {name} is derived from {source}, {undone}: {_instead(str(name), source)}"


def _instead(name: str, source: str) -> str:
    for prefix, kind in _FOLLOWS.items():
        if name.startswith(prefix):
            return (
                f"write a PropagationPolicy of your own that selects the {kind}, and Towpath takes this one "
                "away; or delete the " + source
            )
    return (
        f"edit the {source}, whose spec.targetClusters says who imports it; or delete that, and all that is "
        "derived from it goes"
    )
