"""Kubernetes manifests: YAML documents in, plain objects out, with the place of every error, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from towpath.errors import InvalidObject

# The C parser is 10 times faster; a PyYAML built without libyaml has only the other.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Unlike PyYAML's own, it writes what stands twice in a document twice, not as an alias.
_Dumper = type("_Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
_SUFFIXES = {".yaml", ".yml", ".json"}


def parse(text: str, source: str) -> list[dict[str, Any]]:
    """Return the objects in ``text``, those inside of a List included.

    Raises InvalidObject naming ``source`` and the line or the number of the document.
    """
    try:
        documents = list(yaml.load_all(text, _Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InvalidObject(f"{where}: not YAML: {what}") from error
    return [obj for number, document in enumerate(documents, 1) for obj in _objects(document, source, number)]


def _objects(document: object, source: str, number: int) -> Iterator[dict[str, Any]]:
    match document:
        case None:
            return
        case {"kind": str(kind), "items": list(items)} if kind.endswith("List"):
            for item in items:
                yield from _objects(item, source, number)
        case {"apiVersion": str(), "kind": str(), "metadata": {"name": str()}}:
            yield cast("dict[str, Any]", document)
        case _:
            raise InvalidObject(
                f"{source}: document {number} is no object: it needs apiVersion, kind and metadata.name"
            )


def load(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file, or of a folder's manifests in the order of their names.

    Raises InvalidObject; OSError if it cannot be read.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
        return [obj for file in files for obj in load(file)]
    try:
        return parse(path.read_text(), str(path))
    except UnicodeDecodeError as error:
        raise InvalidObject(f"{path}: not text in UTF-8 ({error.reason} at byte {error.start})") from error


def dump(obj: object) -> str:
    """Return an object as YAML, its fields in their order."""
    text: str = yaml.dump(obj, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return text
