"""A flomesh Cluster's kubeconfig never reaches the store (DESIGN, rule 1).

ErieCanal needed a member's admin kubeconfig there, in plain text, for anyone who may read Clusters (facts
B25). Towpath never talks to a member, so the field is dropped on the way in: from the spec, and from the
copy of the manifest that ``kubectl apply`` keeps in an annotation. Only credentials are dropped, an empty
field stays as it is: where a CRD defaults it, dropping it would go on for ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from towpath_webhook.conditions import APPLIED
from towpath_webhook.review import Request, Verdict

_FIELD = "kubeconfig"

DROPPED = "spec.kubeconfig was dropped: Towpath never talks to members, leave the field out of the manifest"
IF_APPLIED = (
    "if this Cluster was ever applied before without Towpath, consider that credential leaked: revoke it, "
    "and delete it from manifests and backups"
)
WAS_STORED = (
    "this Cluster held a credential in plain text until now, consider it leaked: revoke it, and delete it "
    "from manifests and backups"
)


def drop_kubeconfig(request: Request) -> Verdict:
    """Take the kubeconfig out of a Cluster that is created or updated, and tell what that means."""
    patch = _without_kubeconfig(request.obj or {})
    if not patch:
        return Verdict()
    stored = bool(_without_kubeconfig(request.old or {}))
    return Verdict(patch, (DROPPED, WAS_STORED if stored else IF_APPLIED))


def _without_kubeconfig(cluster: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """Return the patch that takes the credential out of a Cluster, empty if it holds none."""
    patch = []
    if _holds(cluster):
        patch.append({"op": "remove", "path": f"/spec/{_FIELD}"})
    annotations = _part(cluster.get("metadata"), "annotations")
    scrubbed = _scrubbed(annotations.get(APPLIED))
    if scrubbed is not None:
        path = f"/metadata/annotations/{APPLIED.replace('/', '~1')}"
        patch.append({"op": "replace", "path": path, "value": scrubbed})
    return tuple(patch)


def _scrubbed(applied: object) -> str | None:
    """Return kubectl's copy of the manifest without the credential, None if there is nothing to take out."""
    if not isinstance(applied, str):
        return None
    try:
        manifest = json.loads(applied)
        if not _holds(manifest):
            return None
        del manifest["spec"][_FIELD]
        return json.dumps(manifest, separators=(",", ":"), allow_nan=False) + "\n"
    except (ValueError, RecursionError):
        return None  # not kubectl's: somebody else's text is left alone


def _holds(cluster: object) -> bool:
    return bool(_part(cluster, "spec").get(_FIELD))


def _part(value: object, key: str) -> dict[str, Any]:
    """Return an object's member that should be an object; what is not is for the CRD to refuse."""
    part = value.get(key) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}
