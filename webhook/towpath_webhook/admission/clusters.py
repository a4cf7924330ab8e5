"""Rules for flomesh Clusters: the kubeconfig is never stored, and the gateway must be usable by other
clusters.

ErieCanal requires the admin kubeconfig of a member in plain text, readable for anyone who may read Clusters.
Towpath never connects to members, so the mutating webhook drops the field from the spec and from the copy of
the manifest that ``kubectl apply`` keeps in an annotation. An empty field stays: a CRD that defaults it would
add it again for ever.

The mutating webhook fails open, because it changes objects. The validating webhook fails closed, and refuses
a credential that is still there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from towpath.model.ownership import LAST_APPLIED
from towpath.rules.gateway import why_not_host
from towpath.rules.reasons import ExclusionReason
from towpath_webhook.admission.fields import (
    HIGHEST_PORT,
    MAX_NAME_LENGTH,
    MAX_PLACE_LENGTH,
    Problem,
    integer,
    part,
    text,
)
from towpath_webhook.admission.review import ALLOW, Request, Verdict

_FIELD = "kubeconfig"
_MAX_ANNOTATION_BYTES = 256 << 10
"""What an apiserver stores at most: a larger annotation is refused by it."""
_PLACE = re.compile(r"[^/\s]([^/]*[^/\s])?", re.ASCII)
_NOT_A_HOST = (
    "The value is not an IPv4 address or a DNS name. Use, for example, 10.0.2.4 or gateway.example.com, and "
    "set the port in gatewayPort."
)
_NOT_REACHABLE = (
    "Other clusters cannot reach a loopback, link-local, multicast, broadcast or reserved address. Use the "
    "address under which they reach the gateway."
)
_NOT_A_PLACE = (
    "A part of the cluster key region/zone/group/cluster must not be empty, contain '/', or start or end "
    'with white space. Correct it, or remove the field for "default".'
)
_STILL_HELD = (
    "Anyone who may read Clusters could read this credential, and Towpath never connects to members. Remove "
    "the field from the manifest."
)

DROPPED = (
    "spec.kubeconfig: The field was dropped, because Towpath never connects to members. Remove it from the "
    "manifest."
)
IF_APPLIED = (
    "spec.kubeconfig: If this manifest was ever applied without Towpath, the credential was readable. "
    "Revoke it, and remove it from manifests and backups."
)
WAS_STORED = (
    "spec.kubeconfig: The stored Cluster held a credential in plain text. Revoke it, and remove it from "
    "manifests and backups."
)


def drop_kubeconfig(request: Request) -> Verdict:
    """Remove the kubeconfig from a Cluster that is created or updated, with a warning."""
    patch = _removal(request.obj or {})
    if not patch:
        return ALLOW
    is_stored = bool(_removal(request.old or {}))
    return Verdict(patch, (DROPPED, WAS_STORED if is_stored else IF_APPLIED))


def problems(cluster: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a Cluster that ``drop_kubeconfig`` has processed, or should have."""
    spec = part(cluster, "spec")
    yield from text(
        "spec.gatewayHost",
        spec.get("gatewayHost"),
        MAX_NAME_LENGTH + 1,  # with a final dot
        (_is_host, _NOT_A_HOST),
        (_is_reachable, _NOT_REACHABLE),
    )
    if spec.get("gatewayPort") is not None:
        yield from integer("spec.gatewayPort", spec["gatewayPort"], 1, HIGHEST_PORT)
    for name in ("region", "zone", "group"):
        yield from text(
            f"spec.{name}",
            spec.get(name),
            MAX_PLACE_LENGTH,
            (lambda place: _PLACE.fullmatch(place) is not None, _NOT_A_PLACE),
        )
    if spec.get(_FIELD):
        yield Problem(f"spec.{_FIELD}", _STILL_HELD)


def _is_host(value: str) -> bool:
    return not value or why_not_host(value) in {None, ExclusionReason.GATEWAY_NOT_ROUTABLE}


def _is_reachable(value: str) -> bool:
    return why_not_host(value) is not ExclusionReason.GATEWAY_NOT_ROUTABLE


def _removal(cluster: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """Return the patch that removes the credential from a Cluster, empty if it has none."""
    patch = []
    if _has_credential(cluster):
        patch.append({"op": "remove", "path": f"/spec/{_FIELD}"})
    annotations = part(cluster.get("metadata"), "annotations")
    without = _without_credential(annotations.get(LAST_APPLIED))
    if without is not None:
        path = f"/metadata/annotations/{LAST_APPLIED.replace('/', '~1')}"
        patch.append({"op": "replace", "path": path, "value": without})
    return tuple(patch)


def _without_credential(last_applied: object) -> str | None:
    """Return kubectl's copy of the manifest without the credential, None if it has none."""
    if not isinstance(last_applied, str) or len(last_applied) > _MAX_ANNOTATION_BYTES:
        return None
    try:
        manifest = json.loads(last_applied)
        if not _has_credential(manifest):
            return None
        del manifest["spec"][_FIELD]
        return json.dumps(manifest, separators=(",", ":"), allow_nan=False) + "\n"
    except (ValueError, RecursionError):
        return None  # not written by kubectl: it is left alone


def _has_credential(cluster: object) -> bool:
    return bool(part(cluster, "spec").get(_FIELD))
