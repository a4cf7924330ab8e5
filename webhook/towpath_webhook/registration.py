"""What tells an apiserver to ask the webhook: a pure function to its configuration.

Losing a warning must not block anybody, hence ``failurePolicy: Ignore`` and a short time-out. Only Clusters
with a credential are sent at all, so that a Cluster without one costs no call. Apply it when the webhook
answers, and delete it before the webhook is ended.
"""

from __future__ import annotations

import base64
from typing import Any

from towpath.model.keys import Dialect
from towpath_webhook.conditions import HOLDS_KUBECONFIG
from towpath_webhook.registry import MUTATE_CLUSTERS

NAME = "towpath"


def configuration(url: str, ca_bundle: bytes) -> dict[str, Any]:
    """Return the MutatingWebhookConfiguration for a webhook at ``url``; the CA is PEM."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "towpath"}},
        "webhooks": [
            {
                "name": "clusters.towpath.io",
                "clientConfig": {
                    "url": url + MUTATE_CLUSTERS,
                    "caBundle": base64.b64encode(ca_bundle).decode(),
                },
                "rules": [
                    {
                        "apiGroups": [dialect.value for dialect in Dialect],
                        "apiVersions": ["*"],
                        "resources": ["clusters"],
                        "operations": ["CREATE", "UPDATE"],
                        "scope": "Cluster",
                    }
                ],
                "matchConditions": [HOLDS_KUBECONFIG._asdict()],
                "matchPolicy": "Equivalent",
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "timeoutSeconds": 3,
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
