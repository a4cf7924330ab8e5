"""The answer to ``towpath install``, which tests through the apiserver whether this webhook can be reached.

The nonce in the label of the object is returned as an annotation. Only the temporary configuration of
``install`` names this path, so no other webhook is called, and nothing else can give that answer.
"""

from __future__ import annotations

from towpath_webhook.admission.fields import part
from towpath_webhook.admission.review import ALLOW, Request, Verdict

PATH = "/mutate/probe"
LABEL, ANSWER = "towpath.io/probe", "towpath.io/probe-answer"
_MAX_NONCE_LENGTH = 63


def answer_probe(request: Request) -> Verdict:
    """Copy the nonce from the label into an annotation."""
    metadata = part(request.obj or {}, "metadata")
    nonce = part(metadata, "labels").get(LABEL)
    if not isinstance(nonce, str) or len(nonce) > _MAX_NONCE_LENGTH:
        return ALLOW
    if part(metadata, "annotations"):
        path = f"/metadata/annotations/{ANSWER.replace('/', '~1')}"
        return Verdict(({"op": "add", "path": path, "value": nonce},))
    return Verdict(({"op": "add", "path": "/metadata/annotations", "value": {ANSWER: nonce}},))
