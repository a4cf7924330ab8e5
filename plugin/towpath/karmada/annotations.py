"""Setting annotations of one object, so that a change of them in between is not lost.

A JSON patch tests the annotations that it changes, and nothing else of the object: the status of an export is
written all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from towpath.errors import ApiError
from towpath.karmada.client import Client, Resource

Change = Callable[[Mapping[str, str]], Mapping[str, str | None]]
"""From the annotations that are there to those that change; None removes one. Raises to change nothing."""
_ATTEMPTS = 5
_JSON_PATCH = "application/json-patch+json"
_ALL = "/metadata/annotations"
_REFUSED_TESTS = {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}
"""What an apiserver answers to a patch whose test fails."""


async def annotate(
    client: Client, resource: Resource, name: str, namespace: str, change: Change, *, dry: bool = False
) -> None:
    """Change annotations of an object. Raises NotFound, ApiError."""
    for attempt in range(1, _ATTEMPTS + 1):
        present = (await client.get(resource, name, namespace))["metadata"].get("annotations")
        changed = change(present or {})
        if not changed:
            return
        query = [("dryRun", "All")] if dry else []
        path, body = resource.path(namespace, name), list(_patch(present, changed))
        try:
            await client.request("PATCH", path, query=query, body=body, content_type=_JSON_PATCH)
        except ApiError as error:
            if attempt == _ATTEMPTS or error.status not in _REFUSED_TESTS:
                raise
        else:
            return


def _patch(
    present: Mapping[str, str] | None, changed: Mapping[str, str | None]
) -> Iterator[Mapping[str, Any]]:
    """Yield the operations: null is what a test finds where nothing is."""
    if not present:
        yield {"op": "test", "path": _ALL, "value": None}
        yield {"op": "add", "path": _ALL, "value": {}}
    for name, value in changed.items():
        path, before = f"{_ALL}/{name.replace('~', '~0').replace('/', '~1')}", (present or {}).get(name)
        if present:
            yield {"op": "test", "path": path, "value": before}
        if value is not None:
            yield {"op": "add", "path": path, "value": value}
        elif before is not None:
            yield {"op": "remove", "path": path}
