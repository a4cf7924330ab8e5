"""Clusters with and without a credential, the questions an apiserver asks about them, and their answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonpatch

from towpath_webhook.conditions import APPLIED

SECRET = "apiVersion: v1\nkind: Config # é ~1 /"
PLAIN: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"gatewayHost": "10.0.2.4"}}


def cluster(**spec: object) -> dict[str, Any]:
    return {**PLAIN, "spec": {**PLAIN["spec"], **spec}}


def applied(manifest: object, obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object as kubectl apply sends it: with a copy of the manifest."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest) + "\n"
    return {**obj, "metadata": {**obj["metadata"], "annotations": {APPLIED: text, "other": "kept"}}}


def review(obj: object, old: object = None, **more: object) -> bytes:
    return json.dumps(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "u-1", "object": obj, "oldObject": old, "dryRun": False, **more},
        }
    ).encode()


def patched(obj: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    if "patch" not in response:
        assert "patchType" not in response
        return obj
    assert response["patchType"] == "JSONPatch"
    result: dict[str, Any] = jsonpatch.apply_patch(obj, json.loads(base64.b64decode(response["patch"])))
    return result


HOLDING = cluster(kubeconfig=SECRET)
