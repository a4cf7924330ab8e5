"""Whether what Karmada and its members hold is what follows from the exports, and nothing else.

``differences`` says each thing that differs in one line. It reads Karmada as its administrator and each
member through its own apiserver, and asks ``towpath plan`` what should be. ``judge`` gives everything time
to become right, and shows what Karmada holds of the services that still differ.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from tests.conftest import Plane
from tests.support.cli import towpath
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.model.keys import Dialect
from towpath.model.ownership import MANAGED_BY, SERVICE_PREFIX
from towpath.polling import last_seen

READ = (
    resources.WORKS,
    resources.BINDINGS,
    resources.PROPAGATION_POLICIES,
    resources.OVERRIDE_POLICIES,
    *(of(d) for d in Dialect for of in (resources.service_exports, resources.service_imports)),
)
"""What is read of Karmada."""
_SELECTOR = ",".join(f"{label}={value}" for label, value in MANAGED_BY.items())
Imports = dict[tuple[str, str], Any]
"""Group and ``namespace/name`` of a ServiceImport to its spec."""


async def differences(
    plane: Plane, karmada: Client, members: Mapping[str, Client], namespaces: Collection[str]
) -> list[str]:
    """Return the differences from the desired state in these namespaces; empty if there are none."""
    planned = await _plan(plane, "-o", "json")
    services = [service for service in json.loads(planned)["services"] if service["namespace"] in namespaces]
    views = {
        member: {
            (service["dialect"], f"{service['namespace']}/{service['name']}"): service["imports"][member][
                "spec"
            ]
            for service in services
            if member in service["imports"]
        }
        for member in members
    }
    found: list[str] = []
    for member, client in members.items():
        found += _compared(f"{member} holds", await _held(client, namespaces), views[member])
        sent = await _sent(karmada, member, namespaces)
        found += _compared(f"Karmada sends {member}", sent, dict.fromkeys(views[member]))
    for namespace in namespaces:
        found += await _misplaced(karmada, namespace)
    return found or await _planned_changes(plane, namespaces)


async def judge(
    plane: Plane,
    karmada: Client,
    members: Mapping[str, Client],
    namespaces: Collection[str],
    *,
    patience: float,
    say: Callable[[str], None],
) -> None:
    """Wait until nothing differs. Raises AssertionError with what differs after ``patience`` seconds."""
    began = time.monotonic()
    look = partial(differences, plane, karmada, members, namespaces)
    left = await last_seen(look, lambda found: not found, patience=patience)
    took = time.monotonic() - began
    for line in left:
        say(f"DIFFERS: {line}")
    if left:
        for line in await _evidence(karmada, namespaces, left):
            say(f"THERE IS: {line}")
    assert not left, f"{len(left)} differences after {took:.0f} s:\n" + "\n".join(left)
    say(f"everything is as computed from scratch, no orphan, no duplicate: seen after {took:.1f} s")


async def _plan(plane: Plane, *args: str) -> str:
    done = await asyncio.to_thread(towpath, "plan", "--against-live", "--kubeconfig", plane.karmada, *args)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


async def _planned_changes(plane: Plane, namespaces: Collection[str]) -> list[str]:
    """Return what the plan would change, but for what others have left in other namespaces."""
    sections = (await _plan(plane, "-o", "diff")).split("--- live: ")[1:]
    return [
        f"plan would change {section.strip()}"
        for section in sections
        if section.split()[1].partition("/")[0] in namespaces
    ]


async def _evidence(karmada: Client, namespaces: Collection[str], found: Collection[str]) -> list[str]:
    """Return the objects on Karmada of the services that differences name, one line each."""
    named = {word for line in found for word in line.split() if word.partition("/")[0] in namespaces}
    lines = []
    for kind in READ:
        for obj in await karmada.list(kind):
            obj["metadata"].pop("managedFields", None)
            about = {f"{namespace}/{name}" for namespace, name in _services(obj)}
            if about & named:
                lines.append(f"{kind} {_name(obj)}: {json.dumps(obj)}")
    return lines


def _services(obj: Object) -> Iterator[tuple[str, str]]:
    """Yield namespace and name of the services that an object is about, as far as it names them."""
    meta, spec = obj["metadata"], obj.get("spec", {})
    yield meta["namespace"], meta["name"]
    selectors = [*spec.get("resourceSelectors", ()), *([spec["resource"]] if "resource" in spec else ())]
    yield from ((meta["namespace"], selector["name"]) for selector in selectors)
    for manifest in spec.get("workload", {}).get("manifests", ()):
        yield manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def _compared(verb: str, held: Imports, wanted: Imports) -> Iterator[str]:
    for key in sorted(held.keys() | wanted.keys()):
        name = " ".join(reversed(key))
        if key not in wanted:
            yield f"{verb} {name}, which it should not"
        elif key not in held:
            yield f"{verb} no {name}, which it should"
        elif held[key] != wanted[key]:
            yield f"{verb} {name} as {json.dumps(held[key])} and not {json.dumps(wanted[key])}"


async def _held(client: Client, namespaces: Collection[str]) -> Imports:
    held: Imports = {}
    for dialect in Dialect:
        for obj in await client.list(resources.service_imports(dialect)):
            if obj["metadata"]["namespace"] in namespaces:
                held[dialect.value, _name(obj)] = obj["spec"]
    return held


async def _sent(karmada: Client, member: str, namespaces: Collection[str]) -> Imports:
    sent: Imports = {}
    for work in await karmada.list(resources.WORKS, f"karmada-es-{member}"):
        for manifest in work["spec"]["workload"]["manifests"]:
            if manifest["kind"] == "ServiceImport" and manifest["metadata"]["namespace"] in namespaces:
                sent[manifest["apiVersion"].partition("/")[0], _name(manifest)] = None
    return sent


async def _misplaced(karmada: Client, namespace: str) -> list[str]:
    """Return orphans and duplicates: derived objects without their source, two of which one is enough."""
    exports = {
        obj["metadata"]["uid"]: obj
        for dialect in Dialect
        for obj in await karmada.list(resources.service_exports(dialect), namespace)
    }
    imports = {
        obj["metadata"]["uid"]: obj
        for dialect in Dialect
        for obj in await karmada.list(resources.service_imports(dialect), namespace)
    }
    services = {obj["metadata"]["uid"] for obj in await karmada.list(resources.SERVICES, namespace)}
    policies = await karmada.list(resources.PROPAGATION_POLICIES, namespace, _SELECTOR)
    overrides = await karmada.list(resources.OVERRIDE_POLICIES, namespace, _SELECTOR)
    bindings = [
        obj
        for obj in await karmada.list(resources.BINDINGS, namespace)
        if obj["spec"]["resource"]["kind"] == "ServiceImport"
    ]
    found = [
        f"{kind} {_name(obj)} is an orphan: its owner does not exist"
        for kind, objects in (
            ("ServiceImport", imports.values()),
            ("PropagationPolicy", policies),
            ("OverridePolicy", overrides),
        )
        for obj in objects
        if not _owners(obj)
        & (services if obj["metadata"]["name"].startswith(SERVICE_PREFIX) else exports.keys())
    ]
    found += [
        f"ResourceBinding {_name(obj)} is an orphan: its owner is no import"
        for obj in bindings
        if obj["spec"]["resource"]["uid"] not in imports
    ]
    for kind, objects in (("ServiceImport", list(imports.values())), ("PropagationPolicy", policies)):
        found += _twice(kind, objects)
    return found


def _owners(obj: Object) -> set[str]:
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences", ())}


def _twice(kind: str, objects: Collection[Object]) -> Iterator[str]:
    """Yield the services that have two: of a name in both groups, or of one selected import."""
    named = Counter(
        obj["spec"]["resourceSelectors"][0]["name"]
        if kind == "PropagationPolicy"
        else obj["metadata"]["name"]
        for obj in objects
    )
    yield from (f"{kind} of {name} exists {count} times" for name, count in named.items() if count > 1)


def _name(obj: Object) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
