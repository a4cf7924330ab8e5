"""The base of all parsed types: frozen, tolerant of unknown fields, exact about known ones."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from towpath.errors import InvalidObject


class Model(BaseModel):
    """A part of a Kubernetes object: snake_case here, camelCase there."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @classmethod
    def parse(cls, obj: object, title: str, root: str = "spec") -> Self:
        """Read a decoded JSON value. ``title`` names the object in errors, ``root`` the field it came from.

        Raises InvalidObject naming the first field that is wrong.
        """
        try:
            return cls.model_validate(obj)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InvalidObject(f"{title}: {_place(root, first['loc'])}: {first['msg']}.") from None

    def dump(self) -> dict[str, Any]:
        """Return the JSON form, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _place(root: str, location: tuple[int | str, ...]) -> str:
    """Return ``spec.rules[0].path`` for ``("rules", 0, "path")``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return (root + "".join(parts)).lstrip(".")
