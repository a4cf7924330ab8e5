"""What is written to a binding that a former template has left: both objects as the apiserver has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.inventories import binding
from tests.support.standin import answered_by
from towpath.controller.metrics import Metrics
from towpath.controller.orphanbinding.act import adopt
from towpath.controller.writer import Writer
from towpath.inventory.snapshot import Template
from towpath.karmada import resources
from towpath.karmada.client import Resource
from towpath.karmada.wire import Name
from towpath.model.keys import Dialect

pytestmark = pytest.mark.timeout(60)
Object = dict[str, Any]
EXPORT, SERVICE = resources.service_exports(Dialect.FLOMESH), resources.SERVICES
NAME = Name("shop", "web")


def bound(resource: Resource, uid: str, *, owned: bool = True) -> Object:
    """Return the binding of a template with this uid."""
    reference = {"apiVersion": resource.api_version, "kind": resource.kind, "name": "web", "uid": uid}
    template = {**reference, "metadata": {"name": "web", "namespace": "shop", "uid": uid}}
    found = binding(template, "a")
    found["metadata"]["resourceVersion"] = "7"
    if owned:
        found["metadata"]["ownerReferences"] = [reference]
    return found


async def written(
    folder: Path, resource: Resource, former: str, found: Object | None, present: Callable[[], str]
) -> list[Object]:
    """Return what is written to the binding; ``present`` is called when the template is read."""
    patches: list[Object] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "PATCH":
            patches.append(json.loads(await request.text()))
            return web.json_response({})
        if "resourcebindings" in request.path:
            return web.json_response(found, status=200 if found else 404)
        uid = present()
        return web.json_response({"metadata": {"uid": uid}}, status=200 if uid else 404)

    async with answered_by(answer, folder) as client:
        writer = Writer(client, {}, Metrics(), lambda: True)
        await adopt(writer, Template(resource, NAME, former), 0.0)
    return patches


async def test_without_a_template_the_owner_never_existed(tmp_path: Path) -> None:
    [patch] = await written(tmp_path, EXPORT, "former", bound(EXPORT, "former"), lambda: "")
    [owner] = patch["metadata"]["ownerReferences"]
    assert patch["metadata"]["resourceVersion"] == "7"
    assert owner["uid"] == patch["spec"]["resource"]["uid"]
    assert owner["uid"] not in ("former", "")


async def test_an_owner_that_was_removed_is_named_again(tmp_path: Path) -> None:
    """As --cascade=orphan does it."""
    orphan = bound(EXPORT, "former", owned=False)
    [patch] = await written(tmp_path, EXPORT, "former", orphan, lambda: "")
    [owner] = patch["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ServiceExport", "web")


@pytest.mark.parametrize("former", ["former", "tried before"])
async def test_the_binding_of_a_template_made_meanwhile_stays(tmp_path: Path, former: str) -> None:
    """Karmada has made it for a template that came after the pass, and that may be gone from the cache."""
    assert not await written(tmp_path, EXPORT, former, bound(EXPORT, "new"), lambda: "")


async def test_the_binding_is_read_before_the_template(tmp_path: Path) -> None:
    """A template that comes in between makes Karmada change the binding: the write is a conflict then."""
    found = bound(EXPORT, "former")

    def present() -> str:
        found["metadata"]["resourceVersion"] = "8"
        return ""

    [patch] = await written(tmp_path, EXPORT, "former", found, present)
    assert patch["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(("owned", "writes"), [(True, 1), (False, 0)])
async def test_a_service_that_was_orphaned_stays(tmp_path: Path, owned: bool, writes: int) -> None:
    """Its user may want to have it in the members."""
    found = bound(SERVICE, "former", owned=owned)
    assert len(await written(tmp_path, SERVICE, "former", found, lambda: "")) == writes


async def test_a_present_service_gets_its_binding(tmp_path: Path) -> None:
    [patch] = await written(tmp_path, SERVICE, "former", bound(SERVICE, "former"), lambda: "new")
    assert [owner["uid"] for owner in patch["metadata"]["ownerReferences"]] == ["new"]
    assert patch["spec"]["resource"]["uid"] == "new"


@pytest.mark.parametrize("going", [True, False])
async def test_a_binding_that_goes_is_left_alone(tmp_path: Path, going: bool) -> None:
    found = bound(EXPORT, "former")
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not await written(tmp_path, EXPORT, "former", found if going else None, lambda: "")
