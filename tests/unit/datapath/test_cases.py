"""Worked cases: the objects of a member, and what its proxies and EndpointSlices have to be.

``TOWPATH_WRITE_CASES=1`` writes ``expect.yaml`` anew, to be read before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.members import world_of
from towpath.datapath import envoy
from towpath.datapath.allocation import Allocation
from towpath.datapath.derive import Derived, derive
from towpath.datapath.slices import manifest
from towpath.datapath.world import Settings
from towpath.model.manifest import dump, load

CASES = sorted(path.parent for path in Path(__file__).parent.glob("cases/*/member.yaml"))


_KNOWN: tuple[tuple[str, object], ...] = (
    ("retries of what may be repeated", envoy.retries(safe=True, gateways=True)),
    ("retries of what reached no application", envoy.retries(safe=False, gateways=True)),
    ("retries of what may be repeated at pods", envoy.retries(safe=True, gateways=False)),
    ("retries of what reached no pod", envoy.retries(safe=False, gateways=False)),
    ("the configuration source", envoy.ads()),
)


def short(value: Any) -> Any:
    """Return a value in which parts that are always the same are named."""
    named = next((name for name, known in _KNOWN if value == known), None)
    if named is not None:
        return f"<{named}>"
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items()}
    return [short(item) for item in value] if isinstance(value, list | tuple) else value


def summary(derived: Derived) -> dict[str, Any]:
    return {
        "resources": {
            kind.name.lower(): short(dict(found)) for kind, found in derived.resources.items() if found
        },
        "slices": [manifest(name, desired, "1") for name, desired in sorted(derived.slices.items())],
        "problems": [f"{problem.reason}: {problem}" for problem in derived.problems],
        "listenerPorts": {str(key): port for key, port in sorted(derived.allocation.ports.items())},
        "paths": {str(claim): str(key) for claim, key in sorted(derived.allocation.paths.items())},
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    derived = derive(world_of(load(case / "member.yaml")), Allocation(), Settings("cluster-2"))
    if os.environ.get("TOWPATH_WRITE_CASES"):
        (case / "expect.yaml").write_text(dump(summary(derived)))
    # By value: whoever parses a resource as protobuf moves its @type to the end.
    assert yaml.safe_load(dump(summary(derived))) == yaml.safe_load((case / "expect.yaml").read_text())
