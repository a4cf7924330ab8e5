"""The files of the page, read once: HTML, style sheet, modules and icon, each with its type and its tag."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import NamedTuple

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class File(NamedTuple):
    """What is sent of a file."""

    content: bytes
    type: str
    tag: str


def files() -> dict[str, File]:
    """Return the files by name."""
    found = {}
    for entry in (resources.files("towpath.page") / "static").iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in _TYPES:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[entry.name] = File(content, _TYPES[suffix], tag)
    return found
