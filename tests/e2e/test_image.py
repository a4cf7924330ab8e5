"""What is in Towpath's image, and that it is the same each time."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.image import SBOM, Archive, opened
from towpath import __version__
from towpath.local.image import build_image

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800)]
MAX_BYTES = 200e6
TOOLS = {"apt-get", "dpkg", "gcc", "pip", "pip3", "sh", "uv"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the image's archive: a build replaces the archive."""
    return Path(shutil.copy(build_image(print), tmp_path_factory.mktemp("image") / "first.tar"))


@pytest.fixture
def image(archive: Path) -> Iterator[Archive]:
    with opened(archive) as found:
        yield found


def test_it_is_small_and_has_nothing_that_builds_or_installs(image: Archive) -> None:
    entries = image.entries()

    assert sum(entry.size for entry in entries.values()) <= MAX_BYTES
    assert not TOOLS & {Path(name).name for name, entry in entries.items() if entry.kind != b"5"}
    labels = image.config["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["io.towpath.sbom"] == f"/{SBOM}"


def test_the_sbom_names_every_package(image: Archive) -> None:
    found = {(part["name"], part["version"]) for part in json.loads(image.read(SBOM))["components"]}
    names = {_normalized(name) for name, _ in found}
    folders = (Path(name).name for name in image.entries() if name.endswith(".dist-info"))
    installed = {_normalized(folder.partition("-")[0]) for folder in folders}
    debian = set(re.findall(r"^Package: (\S+)", image.read("var/lib/dpkg/status").decode(), re.MULTILINE))

    assert ("towpath", __version__) in found
    assert len(installed) > 40
    assert {"libc6", "libssl3"} <= debian
    assert not (installed | {_normalized(package) for package in debian}) - names


def test_two_builds_have_the_same_content(archive: Path, image: Archive) -> None:
    first = image.entries()
    with opened(build_image(print, anew=True)) as again:
        second = again.entries()

    assert first.keys() == second.keys()
    assert [name for name, entry in first.items() if entry != second[name]] == []


def _normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
