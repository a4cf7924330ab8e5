"""Reading kubeconfigs as kubectl does: one file or a list of files, merged, with paths made absolute.

Of several files the first that sets a value wins, and files that do not exist are passed over as long as one
exists. Paths in a file are relative to that file. ``files`` are all the files that the result depends on, so
that a change of any of them can be noticed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from towpath.errors import BadKubeconfig

_LISTS = ("clusters", "users", "contexts")
_PATHS = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile")}


@dataclass(frozen=True)
class Kubeconfig:
    """A merged kubeconfig, and the files it was read from or refers to."""

    document: dict[str, Any]
    files: tuple[Path, ...]


class Chosen(NamedTuple):
    """The cluster and the user of a context."""

    cluster: Mapping[str, Any]
    user: Mapping[str, Any]


def paths(text: str | Path) -> list[Path]:
    """Return the files of a ``--kubeconfig`` or ``KUBECONFIG``: one path, or several joined by colons."""
    whole = Path(text)
    if whole.exists() or os.pathsep not in str(text):
        return [whole]
    return [Path(part) for part in str(text).split(os.pathsep) if part]


def read(text: str | Path) -> Kubeconfig:
    """Read and merge the files. Raises BadKubeconfig if none exists or one cannot be read."""
    found = [path.expanduser().absolute() for path in paths(text) if path.expanduser().is_file()]
    if not found:
        raise BadKubeconfig(f"kubeconfig {text}: No such file. Check --kubeconfig and KUBECONFIG.")
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", **{name: [] for name in _LISTS}}
    referred: list[Path] = []
    for path in found:
        document = _document(path)
        if not merged.get("current-context") and document.get("current-context"):
            merged["current-context"] = document["current-context"]
        for kind in _LISTS:
            known = {entry.get("name") for entry in merged[kind]}
            for entry in _entries(document, kind, path):
                if entry.get("name") not in known:
                    merged[kind].append(_absolute(kind, entry, path.parent))
    for kind, fields in _PATHS.items():
        for entry in merged[kind]:
            body = entry.get(kind[:-1]) or {}
            referred += [Path(body[field]) for field in fields if field in body]
    return Kubeconfig(merged, (*found, *referred))


def chosen(document: Mapping[str, Any], context: str | None) -> Chosen:
    """Return the cluster and the user of a context, by default of the current one. Raises ValueError."""
    name = context or document.get("current-context")
    if not name:
        raise ValueError("current-context: Required value. Set it, or name a context.")
    used = _named(document, "contexts", name)
    if used is None:
        raise ValueError(f"There is no context {name!r}.")
    cluster = _named(document, "clusters", used.get("cluster"))
    if cluster is None or not cluster.get("server"):
        raise ValueError(
            f"contexts[{name}].cluster: There is no cluster {used.get('cluster')!r} with a server."
        )
    return Chosen(cluster, _named(document, "users", used.get("user")) or {})


def _named(document: Mapping[str, Any], kind: str, name: object) -> Mapping[str, Any] | None:
    """Return the entry of a name: of several, the first."""
    found = (entry.get(kind[:-1]) for entry in document[kind] if entry.get("name") == name)
    return next(found, None)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise BadKubeconfig(f"kubeconfig {path}: {reason}") from None
    if not isinstance(document, dict):
        raise BadKubeconfig(f"kubeconfig {path}: The file is not a kubeconfig.")
    return document


def _entries(document: dict[str, Any], kind: str, path: Path) -> Iterator[dict[str, Any]]:
    entries: Sequence[Any] = document.get(kind) or ()
    for entry in entries:
        if not isinstance(entry, dict):
            raise BadKubeconfig(f"kubeconfig {path}: {kind}: The file is not a kubeconfig.")
        yield entry


def _absolute(kind: str, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return an entry with its paths made absolute, and the command of an exec plugin if it is a path."""
    body = dict(entry.get(kind[:-1]) or {})
    for field in _PATHS.get(kind, ()):
        if body.get(field):
            body[field] = str(folder / str(body[field]))
    plugin = body.get("exec")
    if isinstance(plugin, dict) and os.sep in str(plugin.get("command", "")):
        body["exec"] = {**plugin, "command": str(folder / str(plugin["command"]))}
    return {**entry, kind[:-1]: body}
