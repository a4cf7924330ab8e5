"""Objects, the questions that apiservers and Karmada ask the webhook about them, and their answers."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import jsonpatch

from towpath.model.ownership import LAST_APPLIED
from towpath_webhook.http.dispatch import Reviewer, endpoints

SECRET = "apiVersion: v1\nkind: Config # é ~1 /"
PLAIN: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"gatewayHost": "10.0.2.4"}}


def cluster(**spec: object) -> dict[str, Any]:
    return {**PLAIN, "spec": {**PLAIN["spec"], **spec}}


def applied(manifest: object, obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object as kubectl apply sends it: with a copy of the manifest."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest) + "\n"
    return {**obj, "metadata": {**obj["metadata"], "annotations": {LAST_APPLIED: text, "other": "kept"}}}


def review(obj: object, old: object = None, **more: object) -> bytes:
    return json.dumps(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "u-1", "object": obj, "oldObject": old, "dryRun": False, **more},
        }
    ).encode()


def question(obj: dict[str, Any] | None, old: dict[str, Any] | None = None, **more: object) -> bytes:
    """Return the review of a write, as an apiserver fills it in."""
    shown = obj or old or {}
    group, _, version = shown.get("apiVersion", "").rpartition("/")
    operation = "DELETE" if obj is None else "CREATE" if old is None else "UPDATE"
    metadata = shown.get("metadata", {})
    filled = {
        "operation": operation,
        "kind": {"group": group, "version": version, "kind": shown.get("kind", "")},
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
    }
    return review(obj, old, **{**filled, **more})


def answered(path: str, body: bytes, reviewer: Reviewer | None = None) -> dict[str, Any]:
    """Return the response to a question, checked for its form."""
    return response(asyncio.run(answer(path, body, reviewer)), body)


async def answer(path: str, body: bytes, reviewer: Reviewer | None = None) -> bytes:
    """Return the answer to a question, as the application gives it."""
    content, _ = await endpoints(reviewer)[path](body).answer()
    return content


def response(content: bytes, body: bytes) -> dict[str, Any]:
    """Return the response in an AdmissionReview, checked for its form."""
    read = json.loads(content)
    assert (read["apiVersion"], read["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    inner: dict[str, Any] = read["response"]
    assert inner["uid"] == json.loads(body)["request"]["uid"]
    assert ("status" in inner) != inner["allowed"]
    assert ("patch" in inner) == ("patchType" in inner)
    return inner


def document(
    kind: str, spec: object = None, *, group: str = "flomesh.io", name: str = "web", **metadata: object
) -> dict[str, Any]:
    """Return an object; None leaves the spec out."""
    place = {} if kind == "Cluster" else {"namespace": "shop"}
    head = {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": {"name": name, **place, **metadata}}
    return head if spec is None else {**head, "spec": spec}


def patched(obj: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    if "patch" not in response:
        assert "patchType" not in response
        return obj
    assert response["patchType"] == "JSONPatch"
    result: dict[str, Any] = jsonpatch.apply_patch(obj, json.loads(base64.b64decode(response["patch"])))
    return result


HOLDING = cluster(kubeconfig=SECRET)
RULE: dict[str, Any] = {"portNumber": 80, "path": "/web", "pathType": "Prefix"}
EXPORT = document("ServiceExport", {"rules": [RULE]})
