"""Defaults that can mean one thing only, for objects of which nothing is certain.

Towpath's own CRDs fill in most of it; those of ErieCanal and FSM leave it out. None has a default for
``pathType``: Exact never matches what comes from the mesh, so Prefix is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import jsonpatch

from towpath.model.service import CLUSTER_SET_IP
from towpath.model.traffic import Spread


def missing(obj: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield the JSON pointer and the value of each default that an object lacks."""
    kind, spec = obj.get("kind"), obj.get("spec")
    if kind == "GlobalTrafficPolicy":
        if spec is None:
            yield "/spec", {"lbType": Spread.LOCALITY.value}
        elif isinstance(spec, dict) and spec.get("lbType") is None:
            yield "/spec/lbType", Spread.LOCALITY.value
    elif kind == "ServiceExport" and isinstance(spec, dict):
        for index in _lacking(spec.get("rules"), "pathType"):
            yield f"/spec/rules/{index}/pathType", "Prefix"
    elif kind == "ServiceImport" and isinstance(spec, dict):
        if spec.get("type") is None:
            yield "/spec/type", CLUSTER_SET_IP
        for index in _lacking(spec.get("ports"), "protocol"):
            yield f"/spec/ports/{index}/protocol", "TCP"


def with_missing(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its defaults."""
    patch = [{"op": "add", "path": path, "value": value} for path, value in missing(obj)]
    whole: dict[str, Any] = deepcopy(dict(obj))
    return jsonpatch.apply_patch(whole, patch, in_place=True) if patch else whole


def _lacking(entries: object, field: str) -> Iterator[int]:
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and entry.get(field) is None:
            yield index
