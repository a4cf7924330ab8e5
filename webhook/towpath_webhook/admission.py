"""Which rule answers on which path, and the pure function from a question's bytes to its answer's.

A further rule is one function ``Request -> Verdict`` and one entry here; ``registration`` makes an
apiserver ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from towpath_webhook import registry
from towpath_webhook.clusters import drop_kubeconfig
from towpath_webhook.review import Request, Verdict, decode, encode

Rule = Callable[[Request], Verdict]

RULES: Mapping[str, Rule] = {registry.MUTATE_CLUSTERS: drop_kubeconfig}


def answer(rule: Rule, body: bytes) -> bytes:
    """Answer an AdmissionReview by a rule. Raises InvalidObject if it is none."""
    request = decode(body)
    return encode(request, rule(request))
