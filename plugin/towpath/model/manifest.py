"""Kubernetes manifests: YAML or JSON in, plain objects out, with the place of every error, and back.

Read as ``kubectl`` reads them: a time without quotes is a string. Documents that would exhaust the memory or
the stack are refused: endless nesting, and anchors that multiply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import msgspec
import yaml
from yaml.constructor import ConstructorError

from towpath.errors import InvalidObject

Manifest = dict[str, Any]
SUFFIXES = {".yaml", ".yml", ".json"}
_MAX_DEPTH = 200
_MAX_VALUES = 5_000_000
"""Values in one document; the content of an alias counts wherever it is used."""
_MAX_MERGED_FIELDS = 100_000
"""Fields that ``<<`` may give one mapping."""
_MAX_PLAIN_CHARACTERS = 5_000
"""Brackets, or characters in one line, below which libyaml cannot run out of stack."""
_CHECKED = "towpath_checked"
_TAG = "tag:yaml.org,2002:"
_STRINGS = {f"{_TAG}timestamp", f"{_TAG}value"}

# The C parser is 10 times faster; a PyYAML built without libyaml has only the other.
_Base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: type[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# Unlike PyYAML's own, it writes what stands twice in a document twice, not as an alias.
_Dumper = type("_Dumper", (_BaseDumper,), {"ignore_aliases": lambda *_: True})


class Source(NamedTuple):
    """What one file holds, and how errors call it."""

    name: str
    objects: list[Manifest]


class _Loader(_Base):  # type: ignore[misc]
    """PyYAML's, without times and the ``=`` of YAML 1.1, which are strings to kubectl."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _STRINGS]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse keys that stand twice in a mapping, as kubectl does, and carry out ``<<``."""
        if not hasattr(node, _CHECKED):  # what ``<<`` adds may stand there as well
            setattr(node, _CHECKED, True)
            _refuse_repeated(node)
        super().flatten_mapping(node)
        if len(node.value) > _MAX_MERGED_FIELDS:
            raise ConstructorError(
                None, None, f"'<<' adds more than {_MAX_MERGED_FIELDS} fields", node.start_mark
            )


def _refuse_repeated(node: yaml.MappingNode) -> None:
    keys: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge":
            continue
        if (key.tag, key.value) in keys:
            raise ConstructorError(None, None, f'key "{key.value}" already set in map', key.start_mark)
        keys.add((key.tag, key.value))


def _guarded(tag: str) -> Callable[[_Loader, yaml.ScalarNode], object]:
    """Return the constructor of a scalar; PyYAML's own raises whatever comes up, without the place."""
    construct = _Base.yaml_constructors[_TAG + tag]

    def constructed(loader: _Loader, node: yaml.ScalarNode) -> object:
        try:
            return construct(loader, node)
        except Exception:
            raise ConstructorError(
                None, None, f"{node.value[:40]!r} is not a valid {tag}", node.start_mark
            ) from None

    return constructed


for _tag in ("bool", "int", "float", "timestamp", "binary"):
    _Loader.add_constructor(_TAG + _tag, _guarded(_tag))


def parse(text: str, source: str) -> list[Manifest]:
    """Return the objects in ``text``, those inside of a List included.

    Raises InvalidObject naming ``source`` and the line or the number of the document.
    """
    found: list[Manifest] = []
    for number, document in enumerate(_documents(text, source), 1):
        where = f"{source}: document {number}"
        try:
            size = _size(document, {})
        except ValueError as error:
            raise InvalidObject(f"{where}: {error}.") from None
        if size > _MAX_VALUES:
            raise InvalidObject(
                f"{where}: Aliases expand the document to {size} values, and the limit is {_MAX_VALUES}."
            )
        found += _objects(document, where)
    return found


def _documents(text: str, source: str) -> list[object]:
    if text.lstrip()[:1] == "{":
        try:
            return [msgspec.json.decode(text)]
        except (ValueError, RecursionError):
            pass  # It is YAML, or YAML says better what is wrong.
    try:
        if _is_suspicious(text):
            _refuse_deep(text)
        return list(yaml.load_all(text, _Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidObject(_not_yaml(error, text, source)) from error


def _not_yaml(error: Exception, text: str, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line if mark else None
    problem = (getattr(error, "problem", None) or str(error).splitlines()[0]).rstrip(".")
    if isinstance(error, yaml.reader.ReaderError) and error.character >= 0:
        # Its position counts bytes or characters, as the parser likes.
        line = text.count("\n", 0, max(text.find(chr(error.character)), 0))
    return f"{source}{'' if line is None else f':{line + 1}'}: Invalid YAML: {problem}."


def _is_suspicious(text: str) -> bool:
    """Tell whether a text can be nested so deeply that libyaml runs out of stack, which ends the process."""
    brackets = text.count("[") + text.count("{")
    return brackets > _MAX_PLAIN_CHARACTERS or max(map(len, text.split("\n"))) > _MAX_PLAIN_CHARACTERS


def _refuse_deep(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise ConstructorError(
                None, None, f"nested deeper than {_MAX_DEPTH} levels", cast("yaml.Mark", event.start_mark)
            )


def _size(value: object, known: dict[int, int], depth: int = 0) -> int:
    """Return how many values there are. Raises ValueError for what is too deep, and what JSON does not know.

    ``known`` are the sizes of lists and mappings that were seen: aliases bring them again.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"Invalid value {value}: JSON has no such number")
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if depth > _MAX_DEPTH:
        raise ValueError(f"Nested deeper than {_MAX_DEPTH} levels, or an anchor contains itself")
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(item, known, depth + 1) for item in inner)
    return known[id(value)]


def _objects(document: object, where: str) -> Iterator[Manifest]:
    match document:
        case None:
            return
        case {"kind": str(kind), "items": list(items)} if kind.endswith("List"):
            for index, item in enumerate(items):
                yield from _objects(item, f"{where}: items[{index}]")
        case {"apiVersion": str(), "kind": str(), "metadata": {"name": str()}}:
            yield cast("Manifest", document)
        case {"kind": "Kustomization"}:
            raise InvalidObject(
                f"{where}: Kustomizations are not built here. Run `kubectl kustomize` and use its output."
            )
        case _:
            raise InvalidObject(f"{where}: Not a Kubernetes object. Set apiVersion, kind and metadata.name.")


def load(path: Path) -> list[Manifest]:
    """Return the objects of a file, or of a folder's manifests in the order of their names.

    Raises InvalidObject; OSError if it cannot be read.
    """
    return [obj for source in sources(path) for obj in source.objects]


def sources(path: Path) -> list[Source]:
    """Return what ``load`` returns, file by file. Hidden files and folders are left out."""
    if not path.is_dir():
        return [Source(str(path), parse(decoded(path.read_bytes(), str(path)), str(path)))]
    files = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and _is_shown(p.relative_to(path)))
    return [source for file in files if not file.is_dir() for source in sources(file)]


def decoded(content: bytes, source: str) -> str:
    """Return the text of a file. Raises InvalidObject naming ``source``."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidObject(f"{source}: Not UTF-8 text ({error.reason} at byte {error.start}).") from None


def _is_shown(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts)


def dump(obj: object, *, in_order: bool = True) -> str:
    """Return an object as YAML, its fields in their order or else sorted."""
    text: str = yaml.dump(obj, Dumper=_Dumper, sort_keys=not in_order, width=110, allow_unicode=True)
    return text
