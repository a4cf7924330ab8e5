"""The pins of Towpath's image are those that the tests run with."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.support.checkout import TOP

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
    wanted = {re.split("[<>=]", one)[0].lower() for one in project["dependencies"]}

    assert wanted <= pins((IMAGE / "requirements.txt").read_text()).keys()


def test_a_stage_starts_from_the_base_or_from_nothing() -> None:
    stages = re.findall(r"^FROM (\S+)", (IMAGE / "Containerfile").read_text(), re.MULTILINE)

    assert stages == ["${BASE}", "scratch"]
