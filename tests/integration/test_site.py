"""The site of the documentation is built by one command, strictly, and needs no network to be read."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.checkout import TOP

SITE = TOP / "build" / "site"
_LOADED = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"')


@pytest.mark.timeout(900)  # the generator is installed once
def test_the_site_is_built_and_loads_nothing_from_elsewhere() -> None:
    done = subprocess.run(["make", "site"], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    pages = {str(page.relative_to(SITE)): page.read_text() for page in SITE.glob("**/*.html")}
    assert {"index.html", "ten-minutes.html", "tasks/install-with-helm.html", "alerts.html"} <= pages.keys()
    for name, html in pages.items():
        assert not _LOADED.findall(html), name
