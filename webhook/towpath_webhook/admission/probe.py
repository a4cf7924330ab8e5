"""Answering ``towpath install``, which asks through the apiserver whether this webhook can be reached.

The nonce in the label of the object comes back as an annotation. No registration names this path but the
temporary one of ``install``, so nobody else is asked here and nothing else can give that answer.
"""

from __future__ import annotations

from towpath_webhook.admission.fields import part
from towpath_webhook.admission.review import PASS, Request, Verdict

PATH = "/mutate/probe"
LABEL, ANSWER = "towpath.io/probe", "towpath.io/probe-answer"


def answer(request: Request) -> Verdict:
    """Copy the nonce from the label into an annotation."""
    metadata = part(request.obj or {}, "metadata")
    nonce = part(metadata, "labels").get(LABEL)
    if not isinstance(nonce, str):
        return PASS
    annotations = {**part(metadata, "annotations"), ANSWER: nonce}
    return Verdict(({"op": "add", "path": "/metadata/annotations", "value": annotations},))
