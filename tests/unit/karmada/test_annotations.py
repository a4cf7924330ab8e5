"""Annotations are changed on top of what others have written in between."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.errors import ApiError
from towpath.karmada import resources
from towpath.karmada.annotations import annotate


class Apiserver:
    """Holds one object, of which another changes an annotation before each of the first writes."""

    def __init__(
        self, rivals: int = 0, field: str = "other", annotations: dict[str, str] | None = None
    ) -> None:
        self.annotations = {"other": "0"} if annotations is None else annotations
        self.version, self.rivals, self.field = 1, rivals, field
        self.asked: list[Any] = []

    async def get(self, *_: str) -> dict[str, Any]:
        annotations = {"annotations": dict(self.annotations)} if self.annotations else {}
        meta = {**annotations, "resourceVersion": str(self.version)}
        if self.rivals:
            self.rivals -= 1
            self.version += 1
            self.annotations[self.field] = str(self.version)
        return {"metadata": meta}

    async def request(self, _method: str, _path: str, *, query: Any, body: Any, content_type: str) -> bytes:
        self.asked.append(query)
        assert content_type == "application/json-patch+json"
        present = dict(self.annotations)
        for operation in body:
            name = operation["path"].removeprefix("/metadata/annotations").removeprefix("/")
            name = name.replace("~1", "/").replace("~0", "~")
            found: Any = present.get(name) if name else (present or None)
            match operation:
                case {"op": "test", "value": value} if value != found:
                    raise ApiError("the test failed", 422)
                case {"op": "add", "value": str(value)}:
                    present[name] = value
                case {"op": "remove"}:
                    del present[name]
        self.annotations = present
        return b"{}"


async def put(apiserver: Any, dry: bool = False) -> None:
    def change(there: Any) -> dict[str, str | None]:
        return {"towpath.io/mine": there.get("towpath.io/mine", "") + "x"}

    await annotate(apiserver, resources.CLUSTERS, "a", "", change, dry=dry)


async def test_a_change_in_between_is_not_lost() -> None:
    apiserver = Apiserver(rivals=2, field="towpath.io/mine")
    await put(apiserver)
    assert apiserver.annotations == {"other": "0", "towpath.io/mine": "3x"}


async def test_a_change_of_another_annotation_is_no_obstacle() -> None:
    apiserver = Apiserver(rivals=100)
    await put(apiserver)
    assert apiserver.annotations == {"other": "2", "towpath.io/mine": "x"}


async def test_the_first_annotation_and_none_any_more() -> None:
    apiserver: Any = Apiserver(annotations={})
    await put(apiserver)
    assert apiserver.annotations == {"towpath.io/mine": "x"}
    await annotate(apiserver, resources.CLUSTERS, "a", "", lambda _: {"towpath.io/mine": None, "none": None})
    assert apiserver.annotations == {}


async def test_endless_conflicts_end_with_one() -> None:
    with pytest.raises(ApiError):
        await put(Apiserver(rivals=100, field="towpath.io/mine"))


async def test_a_dry_run_asks_for_one() -> None:
    apiserver = Apiserver()
    await put(apiserver, dry=True)
    assert apiserver.asked == [[("dryRun", "All")]]


async def test_nothing_to_change_writes_nothing() -> None:
    apiserver: Any = Apiserver()
    await annotate(apiserver, resources.CLUSTERS, "a", "", lambda _: {})
    assert apiserver.asked == []
