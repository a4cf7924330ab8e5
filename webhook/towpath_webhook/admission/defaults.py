"""Defaults: fields that are missing and have only one sensible value are added by a JSON patch.

Towpath's CRDs set most of them before the webhook is called; those of ErieCanal and FSM do not. No CRD has a
default for ``pathType``: Exact never matches requests from the mesh, so Prefix is meant. Existing fields are
never changed, so a second pass finds nothing to add."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from towpath.model.service import CLUSTER_SET_IP
from towpath.model.traffic import Spread
from towpath_webhook.admission.fields import MAX_PORTS, MAX_RULES, items, part
from towpath_webhook.admission.review import ALLOW, Request, Verdict


def add_defaults(request: Request) -> Verdict:
    """Add the missing defaults."""
    obj = request.obj
    if obj is None or request.is_deleting:
        return ALLOW
    patch = tuple({"op": "add", "path": path, "value": value} for path, value in _missing(obj))
    return Verdict(patch) if patch else ALLOW


def _missing(obj: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    kind, spec = obj.get("kind"), obj.get("spec")
    if kind == "GlobalTrafficPolicy":
        if spec is None:
            yield "/spec", {"lbType": Spread.LOCALITY.value}
        elif isinstance(spec, dict) and spec.get("lbType") is None:
            yield "/spec/lbType", Spread.LOCALITY.value
    elif kind == "ServiceExport":
        for index in _lacking(part(obj, "spec").get("rules"), "pathType", MAX_RULES):
            yield f"/spec/rules/{index}/pathType", "Prefix"
    elif kind == "ServiceImport" and isinstance(spec, dict):
        if spec.get("type") is None:
            yield "/spec/type", CLUSTER_SET_IP
        for index in _lacking(spec.get("ports"), "protocol", MAX_PORTS):
            yield f"/spec/ports/{index}/protocol", "TCP"


def _lacking(value: object, field: str, limit: int) -> Iterator[int]:
    """Yield the indices of the items without a field. A list beyond the limit is refused later."""
    entries = items(value)
    if len(entries) > limit:
        return
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get(field) is None:
            yield index
