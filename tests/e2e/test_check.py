"""``towpath check`` on a real Karmada: before and after an installation, and with a webhook that is down."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import Plane, Plugin
from tests.support.cli import towpath
from towpath.karmada import resources


def checked(plane: Plane) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the results."""
    done = towpath("check", "--kubeconfig", plane.karmada, "-o", "json")
    assert not done.stderr
    return done.returncode, json.loads(done.stdout)["results"]


def of(results: list[dict[str, Any]], level: str) -> set[tuple[str, str]]:
    """Return check and subject of the results of a level."""
    return {(result["check"], result["subject"]) for result in results if result["level"] == level}


def names(plane: Plane) -> list[tuple[str, str, str]]:
    """Return kind, namespace and name of what a check could leave behind."""
    return [
        (kind.kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
        for kind in (resources.CONFIG_MAPS, resources.SECRETS)
        for obj in plane.client().list(kind)
    ]


async def test_an_installation_is_checked_and_nothing_is_written(plane: Plane, plugin: Plugin) -> None:
    towpath("install", "--kubeconfig", plane.karmada)
    before = names(plane)

    code, results = checked(plane)

    assert (code, of(results, "Fail")) == (0, set())
    assert of(results, "OK") >= {
        ("permissions", "towpath-plugin, towpath-webhook"),
        ("objects", "Karmada"),
        ("clocks", "this machine"),
    }
    assert names(plane) == before


async def test_a_permission_that_is_gone_is_named_with_the_fix(plane: Plane) -> None:
    towpath("install", "--kubeconfig", plane.karmada)
    plane.client().remove(resources.CLUSTER_ROLES, "towpath-webhook")
    try:
        code, results = checked(plane)
        assert code == 1
        assert of(results, "Fail") >= {
            ("objects", "ClusterRole towpath-webhook"),
            ("permissions", "towpath-webhook"),
        }
        missing = [r["text"] for r in results if (r["check"], r["level"]) == ("permissions", "Fail")]
        assert any("mutatingwebhookconfigurations" in text for text in missing)
        assert all("towpath install" in text for text in missing)
    finally:
        towpath("install", "--kubeconfig", plane.karmada)
    assert checked(plane)[0] == 0
