"""What is left out of an object and can mean one thing only is filled in, by a JSON patch.

A CRD of ours fills in most of it before anybody is asked; one of ErieCanal or FSM leaves it out (ErieCanal's
own webhook did the rest), and none has a default for ``pathType``: Exact never matches what comes from the
mesh, so Prefix is meant. Nothing that is there is touched, so a second pass finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from towpath.model.service import CLUSTER_SET_IP
from towpath.model.traffic import Spread
from towpath_webhook.admission.fields import items, part
from towpath_webhook.admission.review import PASS, Request, Verdict


def fill_in(request: Request) -> Verdict:
    """Add the defaults that are missing."""
    obj = request.obj
    if obj is None or request.goes:
        return PASS
    patch = tuple({"op": "add", "path": path, "value": value} for path, value in _missing(obj))
    return Verdict(patch) if patch else PASS


def _missing(obj: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    kind, spec = obj.get("kind"), obj.get("spec")
    if kind == "GlobalTrafficPolicy":
        if spec is None:
            yield "/spec", {"lbType": Spread.LOCALITY.value}
        elif isinstance(spec, dict) and spec.get("lbType") is None:
            yield "/spec/lbType", Spread.LOCALITY.value
    elif kind == "ServiceExport":
        for index in _lacking(part(obj, "spec").get("rules"), "pathType"):
            yield f"/spec/rules/{index}/pathType", "Prefix"
    elif kind == "ServiceImport" and isinstance(spec, dict):
        if spec.get("type") is None:
            yield "/spec/type", CLUSTER_SET_IP
        for index in _lacking(spec.get("ports"), "protocol"):
            yield f"/spec/ports/{index}/protocol", "TCP"


def _lacking(entries: object, field: str) -> Iterator[int]:
    for index, entry in enumerate(items(entries)):
        if isinstance(entry, dict) and entry.get(field) is None:
            yield index
