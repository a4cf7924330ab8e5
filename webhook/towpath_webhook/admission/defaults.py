"""Missing defaults are added by a JSON patch: rules.defaults has them."""

from __future__ import annotations

from towpath.rules.defaults import patch_of_missing
from towpath_webhook.admission.fields import MAX_RULES
from towpath_webhook.admission.review import ALLOW, Request, Verdict


def add_defaults(request: Request) -> Verdict:
    """Add the missing defaults. A list beyond the limit, which is that of ports too, is refused later."""
    if request.obj is None or request.is_deleting:
        return ALLOW
    patch = patch_of_missing(request.obj, MAX_RULES)
    return Verdict(tuple(patch)) if patch else ALLOW
