"""How texts for people are put."""

from __future__ import annotations

from collections.abc import Iterable


def one_line(text: str) -> str:
    """Return a text for people on one line, in which no character moves the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def several(names: Iterable[str], named: int = 5) -> str:
    """Return names for people, sorted: the first, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - named
    # "and 1 more" would be no shorter.
    return f"{', '.join(ordered[:named])} and {more} more" if more > 1 else ", ".join(ordered)
