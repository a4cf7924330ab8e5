"""What mkdocs calls while it builds the site: links that lead out of docs/ become the names of the files.

The pages are read in the repository as well, where such a link opens the file. The site has no such files.
"""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page with the path of each file outside docs/ in the place of a link to it."""
    return _OUTSIDE.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    text, path = link.groups()
    if (
        path.endswith(".md") and "/" not in path and path.islower()
    ):  # a page of docs/ seen from a folder of it
        return link[0]
    return text if text.strip("`") == path else f"{text} (`{path}`)"
