"""A flomesh Cluster's kubeconfig never reaches the store (DESIGN, rule 1).

ErieCanal needed a member's admin kubeconfig there, in plain text, for anyone who may read Clusters (facts
B25). Towpath never talks to a member, so the field is dropped on the way in: from the spec, and from the
copy of the manifest that ``kubectl apply`` keeps in an annotation. Only credentials are dropped, an empty
field stays as it is: where a CRD defaults it, dropping it would go on for ever.

Dropping fails open, since it changes objects. The check of what would be stored then does not: a credential
that is still there is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, ip_address
from typing import Any

from towpath_webhook.admission.fields import HIGHEST_PORT, Problem, integer, part, text
from towpath_webhook.admission.match_conditions import APPLIED
from towpath_webhook.admission.review import PASS, Request, Verdict

_FIELD = "kubeconfig"
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*\.?")
_LAST_IS_A_NUMBER = re.compile(r"(^|\.)[0-9]+\.?$")
_LOCAL = re.compile(r"(^|\.)localhost\.?$", re.IGNORECASE)
_PLACE = re.compile(r"[^/\s]([^/]*[^/\s])?", re.ASCII)
_NOT_A_HOST = (
    "gatewayHost must be an IPv4 address or a DNS name alone: write 10.0.2.4 or gateway.example.com, and the "
    "port in gatewayPort"
)
_NOT_REACHABLE = (
    "gatewayHost must be reachable from other clusters, a loopback, unspecified, multicast or broadcast "
    "address is not: write the address under which the others see the gateway"
)
_NOT_A_PLACE = (
    "is part of the cluster's key region/zone/group/cluster: it must not be empty, hold a '/' or begin or "
    'end with white space; leave it out for "default"'
)
_STILL_HELD = (
    "must not be stored, anyone who may read Clusters could read it: Towpath never talks to members, leave "
    "the field out of the manifest"
)

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
        return PASS
    stored = bool(_without_kubeconfig(request.old or {}))
    return Verdict(patch, (DROPPED, WAS_STORED if stored else IF_APPLIED))


def problems(cluster: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield all that is wrong with a Cluster that has passed ``drop_kubeconfig``, or should have."""
    spec = part(cluster, "spec")
    yield from text(
        "spec.gatewayHost",
        spec.get("gatewayHost"),
        (_is_host, _NOT_A_HOST),
        (_is_reachable, _NOT_REACHABLE),
    )
    if spec.get("gatewayPort") is not None:
        yield from integer("spec.gatewayPort", spec["gatewayPort"], 1, HIGHEST_PORT)
    for name in ("region", "zone", "group"):
        yield from text(
            f"spec.{name}",
            spec.get(name),
            (lambda value: _PLACE.fullmatch(value) is not None, f"{name} {_NOT_A_PLACE}"),
        )
    if spec.get(_FIELD):
        yield Problem(f"spec.{_FIELD}", _STILL_HELD)


def _is_host(value: str) -> bool:
    if not value:
        return True
    try:
        return ip_address(value).version == 4  # noqa: PLR2004 - IPv4
    except ValueError:
        return bool(_NAME.fullmatch(value)) and not _LAST_IS_A_NUMBER.search(value)


def _is_reachable(value: str) -> bool:
    try:
        ip = IPv4Address(value)
    except AddressValueError:
        return not _LOCAL.search(value)
    broadcast = ip == IPv4Address(2**32 - 1)
    return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or broadcast)


def _without_kubeconfig(cluster: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """Return the patch that takes the credential out of a Cluster, empty if it holds none."""
    patch = []
    if _holds(cluster):
        patch.append({"op": "remove", "path": f"/spec/{_FIELD}"})
    annotations = part(cluster.get("metadata"), "annotations")
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
    return bool(part(cluster, "spec").get(_FIELD))
