"""Kubeconfigs, one or several, as kubectl reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from towpath.errors import Unreachable
from towpath.karmada.kubeconfig import paths, read


def write(path: Path, context: str, server: str, **user: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    text = {
        "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority": "ca.crt"}}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }
    path.write_text(yaml.safe_dump(text))
    return path


def test_the_first_value_wins_and_missing_files_are_skipped(tmp_path: Path) -> None:
    first = write(tmp_path / "a" / "one", "one", "https://one")
    second = write(tmp_path / "b" / "two", "two", "https://two")
    third = write(tmp_path / "c" / "again", "one", "https://other")
    listed = os.pathsep.join(map(str, (tmp_path / "absent", first, second, third)))

    merged = read(listed).document

    assert merged["current-context"] == "one"
    servers = {c["name"]: c["cluster"]["server"] for c in merged["clusters"]}
    assert servers == {"one": "https://one", "two": "https://two"}


def test_paths_are_relative_to_their_own_file_and_are_watched(tmp_path: Path) -> None:
    plugin = {"command": "./bin/login", "apiVersion": "v1"}
    config = write(tmp_path / "a" / "one", "one", "https://one", tokenFile="token", exec=plugin)

    found = read(config)

    (user,) = found.document["users"]
    assert user["user"]["tokenFile"] == str(tmp_path / "a" / "token")
    assert user["user"]["exec"]["command"] == str(tmp_path / "a" / "bin" / "login")
    assert {config, tmp_path / "a" / "ca.crt", tmp_path / "a" / "token"} <= set(found.files)


def test_a_file_whose_name_has_a_colon_is_one_file(tmp_path: Path) -> None:
    config = write(tmp_path / "a:b", "one", "https://one")
    assert paths(str(config)) == [config]


@pytest.mark.parametrize("text", ["", "- a", "clusters: [a]", "{", "clusters: {a: b}"])
def test_a_file_that_is_no_kubeconfig_is_refused_by_name(text: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    with pytest.raises(Unreachable, match=r"kubeconfig .*config"):
        read(config)


def test_no_file_at_all_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"kubeconfig .*absent.*: No such file\. Check --kubeconfig"):
        read(f"{tmp_path / 'absent'}{os.pathsep}{tmp_path / 'neither'}")
