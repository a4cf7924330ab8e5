"""Checks of this host before nodes are created, and the message where they cannot be."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from towpath.errors import MissingTool, UsageError
from towpath.local.nodes import packages
from towpath.local.nodes.host import check_subnet


def test_a_network_in_use_is_named_with_its_interface() -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.0/24 is in use: interface lo .* --subnet"):
        check_subnet("tp0", IPv4Network("127.0.0.0/24"))


def test_the_environments_own_bridge_does_not_stand_in_its_way() -> None:
    check_subnet("lo", IPv4Network("127.0.0.0/24"))


def test_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "SYSTEM_FOLDERS", str(tmp_path))
    progress: list[str] = []

    with pytest.raises(MissingTool, match=r"apt-get install .*containerd .*nftables .*runc"):
        packages.install(progress.append)

    assert not progress
