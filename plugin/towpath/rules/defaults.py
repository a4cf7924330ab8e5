"""Defaults: fields that are missing and have only one sensible value in any object.

Towpath's own CRDs set most of them; those of ErieCanal and FSM do not. None has a default for ``pathType``:
Exact never matches requests from the mesh, so Prefix is meant. Existing fields are never changed, so a second
pass finds nothing to add.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from towpath.model.export import PREFIX
from towpath.model.service import CLUSTER_SET_IP
from towpath.model.traffic import Spread


def patch_of_missing(obj: Mapping[str, Any], longest: int = sys.maxsize) -> list[dict[str, object]]:
    """Return the JSON patch that adds the defaults which an object lacks.

    Lists of more than ``longest`` items are left alone.
    """
    return [{"op": "add", "path": path, "value": value} for path, value in _missing(obj, longest)]


def _missing(obj: Mapping[str, Any], longest: int) -> Iterator[tuple[str, object]]:
    """Yield JSON pointer and value of each default."""
    kind, spec = obj.get("kind"), obj.get("spec")
    if kind == "GlobalTrafficPolicy":
        if spec is None:
            yield "/spec", {"lbType": Spread.LOCALITY.value}
        elif isinstance(spec, dict) and spec.get("lbType") is None:
            yield "/spec/lbType", Spread.LOCALITY.value
    elif kind == "ServiceExport" and isinstance(spec, dict):
        for index in _lacking(spec.get("rules"), "pathType", longest):
            yield f"/spec/rules/{index}/pathType", PREFIX
    elif kind == "ServiceImport" and isinstance(spec, dict):
        if spec.get("type") is None:
            yield "/spec/type", CLUSTER_SET_IP
        for index in _lacking(spec.get("ports"), "protocol", longest):
            yield f"/spec/ports/{index}/protocol", "TCP"


def _lacking(entries: object, field: str, longest: int) -> Iterator[int]:
    if not isinstance(entries, list) or len(entries) > longest:
        return
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get(field) is None:
            yield index
