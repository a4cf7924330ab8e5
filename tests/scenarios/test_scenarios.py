"""The scenarios of examples/scenarios, which their README describes: manifests in, expectations out.

What a member imports is not taken at the derivation's word: the objects that would be written go through
Karmada's rules for policies, as the user's own do. Each step is derived three times: from all that was
applied so far, from the same in another order, and incrementally from the step before.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkout import TOP
from towpath.derivation.index import Incremental
from towpath.derivation.render import Rendered, import_of
from towpath.model import manifest
from towpath.model.keys import DEFAULT, Dialect, cluster_key
from towpath.model.service import CLUSTER_SET_IP
from towpath.plan.objects import identity
from towpath.plan.read import read
from towpath.plan.result import Plan, ServicePlan, TrafficPlan, document, make
from towpath.plan.world import Builder
from towpath.propagation.overriding import overridden
from towpath.propagation.placement import place
from towpath.propagation.policies import Target, read_override, read_policy
from towpath.rules.reasons import Advice, InvalidReason

Manifest = dict[str, Any]
SCENARIOS = TOP / "examples" / "scenarios"
FOLDERS = sorted(path for path in SCENARIOS.iterdir() if path.is_dir())
WRITTEN_IN = Dialect.MULTICLUSTER
START, TICK = datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=1)
STORY = re.compile(r"(?:# at: (\S+)\n)?(?:# .+(?:\n|\Z)){1,3}(?!#)")
BY_DEFAULT = cluster_key(DEFAULT, DEFAULT, DEFAULT, "")
AS_USUAL = [("Valid", "True", "Valid"), ("Conflict", "False", "NoConflicts")]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_scenario(folder: Path) -> None:
    steps = steps_of(folder)
    for dialect in (WRITTEN_IN, Dialect.FLOMESH):
        run, wanted = Run(dialect), Manifest()
        run.take(SCENARIOS / "fleet.yaml")
        for change, expect in steps:
            run.take(change)
            expected = yaml.safe_load(expect.read_text()).items()
            wanted = {name: wanted[name] if text == "as before" else text for name, text in expected}
            where = f"{folder.name}/{expect.name} in {dialect}"
            _same(wanted, run.outcome(run.applied), where)
            _same(wanted, run.outcome([*run.turned()]), f"{where}, manifests in another order")


def test_every_scenario_is_in_the_table() -> None:
    rows = re.findall(r"^\| \[(.+)\]\((.+)/\) \| .+ \|$", (SCENARIOS / "README.md").read_text(), re.MULTILINE)
    assert rows == [(folder.name, folder.name) for folder in FOLDERS] != []


def steps_of(folder: Path) -> list[tuple[Path, Path]]:
    """Return the change and the expectation of each step, and see that there is nothing else."""
    changes = {p.name.partition("-")[0]: p for p in folder.iterdir() if not p.match("*-expect.yaml")}
    steps = [(changes.get(str(n), folder), folder / f"{n}-expect.yaml") for n in range(1, len(changes) + 1)]
    assert {*itertools.chain(*steps)} == {*folder.iterdir()} != set(), "a step is a change and an expectation"
    return steps


def _same(wanted: Manifest, found: Manifest, where: str) -> None:
    before, after = (manifest.dump(dict(sorted(outcome.items()))).splitlines() for outcome in (wanted, found))
    if diff := list(difflib.unified_diff(before, after, where, "towpath", lineterm="", n=20)):
        pytest.fail("\n".join(diff), pytrace=False)


@dataclass
class Run:
    """One scenario in one dialect: every version of the objects applied so far, and the time."""

    dialect: Dialect
    now: datetime = START - TICK
    applied: list[Manifest] = field(default_factory=list)
    kept: Incremental = field(default_factory=Incremental)

    def take(self, change: Path) -> None:
        """Apply or delete what a file holds, at the time in its first line, else a minute after the last."""
        text = change.read_text()
        story = STORY.match(text)
        assert story, f"{change} begins with one to three lines that tell what happens"
        self.now = datetime.fromisoformat(story[1]) if story[1] else self.now + TICK
        objects = manifest.parse(self._translated(text), str(change))
        born = {identity(obj): obj["metadata"]["creationTimestamp"] for obj in self.applied}
        if change.name.endswith("-delete.yaml"):
            gone = {*map(identity, objects)}
            assert gone <= born.keys(), f"{change}: {gone - born.keys()} is not there"
            self.applied = [obj for obj in self.applied if identity(obj) not in gone]
            return
        for obj in objects:
            created = {"creationTimestamp": born.get(identity(obj), f"{self.now:%Y-%m-%dT%H:%M:%SZ}")}
            self.applied.append({**obj, "metadata": created | obj["metadata"]})

    def turned(self) -> Iterator[Manifest]:
        """Return all objects, the last first. Former versions of anything but a policy count for nothing."""
        for ident in reversed(dict.fromkeys(map(identity, self.applied))):
            versions = [obj for obj in self.applied if identity(obj) == ident]
            yield from versions if ident.kind.endswith("PropagationPolicy") else versions[-1:]

    def outcome(self, objects: Iterable[Manifest]) -> Manifest:
        """Return the outcome for these objects, in the form of an expectation."""
        reading, now = read(objects), self.now.timestamp()
        builder = Builder(reading, {}, now)
        world = builder.world()
        plan = make(world, builder.notes, [*reading.overrides.values()], builder.targets)
        self.kept.put_members(world.members)
        for key in self.kept.services.keys() | world.services.keys():
            self.kept.put_service(key, world.services.get(key))
        for service in plan.services:
            assert self.kept.derived(service.service.key, now) == service.derived, "it depends on the past"
        found = yaml.safe_load(self._translated(manifest.dump(shown(plan, [*reading.targets.values()]))))
        return {name.removesuffix(f" ({WRITTEN_IN})"): outcome for name, outcome in found.items()}

    def _translated(self, text: str) -> str:
        """Let the two API groups change places, or leave them where they are."""
        first, second = map(str, Dialect)
        other = {} if self.dialect is WRITTEN_IN else {first: second, second: first}
        return re.sub(r"(multicluster\.)?flomesh\.io", lambda match: other.get(match[0], match[0]), text)


def shown(plan: Plan, targets: Sequence[Target]) -> Manifest:
    """Return a plan in the form of an expectation, with all groups named."""
    services = zip(plan.services, document(plan)["services"], strict=True)
    found = {
        str(service.service.key): _service(service, described, targets) for service, described in services
    }
    found |= {f"traffic {traffic.applied.key}": _traffic(traffic, targets) for traffic in plan.traffic}
    short = {
        name: {key: value for key, value in described.items() if value} for name, described in found.items()
    }
    return short | ({"notes": list(plan.notes)} if plan.notes else {})


def _service(service: ServicePlan, described: Manifest, targets: Sequence[Target]) -> Manifest:
    imports, derived = dict(_arriving(service.rendered, targets)), service.derived
    meant = {name: _carried(import_of(service.service.key, view)) for name, view in derived.views.items()}
    assert {name: _carried(obj) for name, obj in imports.items()} == meant, "the objects give something else"
    spec: Manifest = next((obj["spec"] for obj in imports.values()), {})
    config = spec.get("sessionAffinityConfig", {}).get("clientIP", {})
    return {
        "goes to": _reach(service.following, targets),
        "exporters": list(derived.exporters),
        "left out": {name: _because(why.reason, why.detail) for name, why in derived.excluded.items()},
        "type": spec.get("type", "").replace(CLUSTER_SET_IP, ""),
        "account": spec.get("serviceAccountName"),
        "affinity": " ".join([spec.get("sessionAffinity", ""), *(f"{s} s" for s in config.values())]),
        "imports": {name: dict(map(_port, obj["spec"]["ports"])) for name, obj in imports.items()},
        "not importing": {idle["cluster"]: idle["reason"] for idle in described["notImporting"]},
        "conditions": {c.type: f"{c.status} {c.reason}" for c in service.conditions if c[:3] not in AS_USUAL},
        "conflict": " ".join(c.message for c in service.conditions if c[:2] == ("Conflict", "True")),
        "warnings": [_because(f"{c.reason} {c.field}".strip(), c.detail) for c in service.cautions],
        "look again": datetime.fromtimestamp(at, UTC) if (at := derived.look_again) < math.inf else None,
        "writes": [f"{obj['kind']} {obj['metadata']['name']}" for obj in service.objects],
    }


def _traffic(traffic: TrafficPlan, targets: Sequence[Target]) -> Manifest:
    findings = [(c.reason, _because(f"{c.reason} {c.field}", c.detail)) for c in traffic.cautions]
    return {
        "clusters": _reach(traffic.following, targets) or sorted(traffic.applied.clusters),
        "refused": [text for reason, text in findings if isinstance(reason, InvalidReason)],
        "warnings": [text for reason, text in findings if isinstance(reason, Advice)],
        "writes": [f"{obj['kind']} {obj['metadata']['name']}" for obj in (traffic.following,) if obj],
    }


def _arriving(rendered: Rendered, targets: Sequence[Target]) -> Iterator[tuple[str, Manifest]]:
    """Return the imports that Karmada makes from the written objects, by member."""
    reached, overrides = _reach(rendered.propagation, targets), [*map(read_override, rendered.overrides)]
    for target in sorted(targets, key=lambda target: target.name):
        if target.name in reached and rendered.service_import:
            yield target.name, overridden(rendered.service_import, target, overrides)[0]


def _carried(obj: Manifest) -> tuple[Manifest, Manifest]:
    return obj["spec"], obj["metadata"]["annotations"]


def _reach(policy: Mapping[str, Any] | None, targets: Sequence[Target]) -> list[str]:
    return sorted(place(read_policy(policy), targets).clusters) if policy else []


def _port(port: Manifest) -> tuple[str, list[str]]:
    name = f"{port['port']}/{port['protocol']} {port.get('name', '')}".strip()
    protocol = f" as {port['appProtocol']}" if "appProtocol" in port else ""
    endpoints = [(e["clusterKey"].removeprefix(BY_DEFAULT), e["target"]) for e in port["endpoints"]]
    assert all(target["host"] == target["ip"] for _, target in endpoints), "scenarios know no DNS"
    return name + protocol, [f"{key} {t['ip']}:{t['port']}{t['path']}" for key, t in endpoints]


def _because(reason: str, detail: str) -> str:
    return f"{reason} ({detail})" if detail else str(reason)
