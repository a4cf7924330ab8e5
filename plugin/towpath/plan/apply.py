"""What ``kubectl apply`` makes of a manifest where the object is there already, as far as it matters here.

Labels and annotations of others stay: Karmada's claim of a template is among them. What the last apply set
and this one does not is removed. Status and identity are never what a manifest says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from towpath.model.ownership import LAST_APPLIED
from towpath.plan.objects import Manifest, part

_IDENTITY = ("uid", "creationTimestamp")


def over(obj: Manifest, before: Manifest | None, last: Manifest | None) -> Manifest:
    """Return what there is once ``obj`` is applied.

    ``before`` is what was there, None if nothing was, and ``last`` what has been applied to it before if
    ``before`` does not say so itself.
    """
    if before is None:
        return obj
    there, given = before["metadata"], obj["metadata"]
    applied = (last or _last_applied(there)).get("metadata")
    meta = {**{name: there[name] for name in _IDENTITY if name in there}, **given}
    for name in ("labels", "annotations"):
        ours = part(applied, name) if isinstance(applied, Mapping) else {}
        others = {key: value for key, value in part(there, name).items() if key not in ours}
        meta[name] = {**others, **part(given, name)}
    status = {"status": before["status"]} if "status" in before else {}
    return {**obj, "metadata": meta, **({} if "status" in obj else status)}


def _last_applied(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(part(meta, "annotations").get(LAST_APPLIED, "{}"))
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, Mapping) else {}
