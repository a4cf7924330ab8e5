"""What ``uninstall`` takes for Towpath's own: a label that a user has set makes no object derived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.standin import answered_by
from towpath.karmada import resources
from towpath.model.keys import Dialect
from towpath.model.ownership import MANAGED_BY
from towpath.setup.install import Installed
from towpath.setup.uninstall import uninstall

GROUP = Dialect.FLOMESH.api_version
Object = dict[str, Any]


def owned(kind: str, name: str, owner: str = "web", **spec: Any) -> Object:
    """Return an object with Towpath's label and an export as its owner."""
    owners = [{"apiVersion": GROUP, "kind": "ServiceExport", "name": owner, "uid": "u"}]
    metadata = {"name": name, "namespace": "shop", "labels": dict(MANAGED_BY), "ownerReferences": owners}
    return {"kind": kind, "metadata": metadata, "spec": spec}


def selecting(kind: str, name: str, of: str) -> Object:
    return owned(kind, name, resourceSelectors=[{"apiVersion": GROUP, "kind": of, "name": "web"}])


STORED = {
    resources.service_imports(Dialect.FLOMESH): [
        owned("ServiceImport", "web"),
        owned("ServiceImport", "users", owner="web"),
    ],
    resources.PROPAGATION_POLICIES: [
        selecting("PropagationPolicy", "towpath-import-web", "ServiceImport"),
        selecting("PropagationPolicy", "towpath-import-web.1", "Deployment"),
        selecting("PropagationPolicy", "users", "ServiceImport"),
    ],
    resources.OVERRIDE_POLICIES: [
        selecting("OverridePolicy", "towpath-import-web", "ServiceImport"),
        selecting("OverridePolicy", "towpath-import-web.1", "Deployment"),
        selecting("OverridePolicy", "users", "ServiceImport"),
    ],
}
LISTED_WHOLE = {resources.NAMESPACES.path(), resources.CLUSTERS.path()}


async def _answer(request: web.Request) -> web.StreamResponse:
    for resource, objects in STORED.items():
        if request.path == resource.path() and "labelSelector" in request.query:
            return web.json_response({"items": objects})
    if request.path in LISTED_WHOLE or "labelSelector" in request.query:
        return web.json_response({"items": []})
    return web.json_response({"kind": "Status", "code": 404}, status=404)


async def test_a_label_alone_makes_no_object_derived(tmp_path: Path) -> None:
    found: list[Installed] = []
    async with answered_by(_answer, tmp_path) as client:
        await uninstall(client, found.append, dry=True)

    assert [(item.resource.kind, item.name) for item in found] == [
        ("ServiceImport", "web"),
        ("OverridePolicy", "towpath-import-web"),
        ("PropagationPolicy", "towpath-import-web"),
    ]
