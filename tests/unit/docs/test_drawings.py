"""A drawing is that of its text: `make drawings` writes it."""

from __future__ import annotations

import hashlib
import re

from tests.support.checkout import TOP

DRAWINGS = TOP / "docs" / "drawings"


def test_every_drawing_is_that_of_its_source() -> None:
    sources = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in DRAWINGS.glob("*.dot")}
    drawn = {
        path.stem: re.findall("sha256 of the source: ([0-9a-f]+)", path.read_text())
        for path in DRAWINGS.glob("*.svg")
    }

    assert drawn == {name: [digest] for name, digest in sources.items()}
    assert sources
