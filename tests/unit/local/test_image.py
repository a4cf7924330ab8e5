"""The pins of Towpath's image are the versions that the tests run with."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.support.checkout import TOP
from towpath.local.image import context_digest

ALL = (TOP / "requirements.txt").read_text()
IMAGE = TOP / "deploy" / "image"


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["requirements.txt", "build-requirements.txt"])
def test_the_image_has_the_versions_that_are_tested(name: str) -> None:
    text = (IMAGE / name).read_text()

    assert pins(text).items() <= pins(ALL).items(), "`make lock` pins them anew"
    assert len(re.findall("^ +--hash=sha256:", text, re.MULTILINE)) >= len(pins(text)) > 0


def test_the_image_has_every_dependency() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    wanted = {re.split("[<>=]", requirement)[0].lower() for requirement in project["dependencies"]}

    assert wanted <= pins((IMAGE / "requirements.txt").read_text()).keys()


def test_a_stage_starts_from_the_base_or_from_nothing() -> None:
    stages = re.findall(r"^FROM (\S+)", (IMAGE / "Containerfile").read_text(), re.MULTILINE)

    assert stages == ["${BASE}", "scratch"]


def test_the_same_files_are_built_once(tmp_path: Path) -> None:
    for name in ("Containerfile", "Containerfile.dockerignore"):
        (tmp_path / "deploy" / "image").mkdir(parents=True, exist_ok=True)
        shutil.copy(IMAGE / name, tmp_path / "deploy" / "image" / name)
    module = tmp_path / "plugin" / "towpath" / "model.py"
    module.parent.mkdir(parents=True)
    module.write_text("A = 1")
    first = context_digest(tmp_path)

    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_model.py").write_text("ignored by the build")
    (module.parent / "__pycache__").mkdir()
    (module.parent / "__pycache__" / "model.pyc").write_text("made by running it")
    assert context_digest(tmp_path) == first

    module.write_text("A = 2")
    assert context_digest(tmp_path) != first
