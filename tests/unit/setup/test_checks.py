"""Each check judges a frozen picture: what is well, what is wrong, and the fix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.reference.test_style import problems
from towpath import __version__
from towpath.model.keys import Dialect
from towpath.model.ownership import MANAGED_BY
from towpath.model.times import rfc3339
from towpath.setup.checks.evidence import Evidence, Level, Pair, Permission
from towpath.setup.checks.run import judge, judge_running
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Settings

NOW = 1_800_000_000.0
FLOMESH, NEWER = (dialect.value for dialect in Dialect)
Object = dict[str, Any]
SETTINGS = Settings("https://10.0.0.1:8443", token="0" * 32)


def obj(kind: str, name: str, *, own: bool = True, namespace: str = "", **parts: Any) -> Object:
    metadata: Object = {"name": name, "labels": dict(MANAGED_BY) if own else {}}
    if namespace:
        metadata["namespace"] = namespace
    return {"kind": kind, "metadata": metadata, **parts}


def member(*groups: str) -> Object:
    served = [
        {"groupVersion": f"{group}/v1alpha1", "resources": [{"kind": "ServiceImport"}]} for group in groups
    ]
    return obj("Cluster", "a", own=False, status={"apiEnablements": served})


def lease(holder: str = "plugin-1", age: float = 1.0) -> Object:
    spec = {"holderIdentity": holder, "renewTime": rfc3339(NOW - age), "leaseDurationSeconds": 15}
    return obj("Lease", "towpath", namespace="karmada-system", spec=spec)


ROLE = obj("ClusterRole", "towpath-plugin", rules=[{"verbs": ["get"]}])
CRD = obj("CustomResourceDefinition", "serviceexports.flomesh.io")
SUSPENSION = {"properties": {"dispatchingOnClusters": {"type": "object"}}}
SCHEMA = {"properties": {"spec": {"properties": {"suspension": SUSPENSION}}}}
BINDINGS = obj(
    "CustomResourceDefinition",
    "resourcebindings.work.karmada.io",
    spec={"versions": [{"name": "v1alpha1"}, {"name": "v1alpha2", "schema": {"openAPIV3Schema": SCHEMA}}]},
)
GOOD = Evidence(
    NOW,
    version="v1.33.1",
    bindings=BINDINGS,
    installed=__version__,
    server_time=float(int(NOW)),
    members=(member(FLOMESH, NEWER),),
    definitions=(Pair(CRD, CRD),),
    objects=(Pair(ROLE, {**ROLE, "apiVersion": "v1"}),),
    permissions=(Permission("towpath-plugin", "list", "services", True),),
    leases=(lease(),),
    settings=SETTINGS,
    configurations=tuple(Pair(c, c) for c in configurations.configurations(SETTINGS, b"")),
    authorities=(datetime.fromtimestamp(NOW, UTC) + timedelta(days=90),),
    exports={FLOMESH: (obj("ServiceExport", "web", own=False, namespace="shop"),)},
    imports={FLOMESH: (obj("ServiceImport", "web", namespace="shop"),)},
    flomesh_clusters=(obj("Cluster", "a", own=False, spec={"gatewayHost": "10.0.0.1"}),),
)
TWICE = {group: (obj("ServiceExport", "web", own=False, namespace="shop"),) for group in (FLOMESH, NEWER)}
CHANGED = {**ROLE, "rules": [{"verbs": ["get", "list"]}]}
KUBECONFIG = obj("Cluster", "a", own=False, spec={"kubeconfig": "secret"})

WRONG: dict[str, tuple[Evidence, str, Level, str, str]] = {
    "old apiserver": (replace(GOOD, version="v1.29.3"), "versions", Level.FAIL, "apiserver", "1.30 or newer"),
    "old Karmada": (
        replace(GOOD, bindings={**BINDINGS, "spec": {"versions": [{"name": "v1alpha2"}]}}),
        "versions",
        Level.FAIL,
        "Karmada",
        "Karmada 1.11 or newer",
    ),
    "no Karmada": (
        replace(GOOD, bindings=None),
        "versions",
        Level.FAIL,
        "Karmada",
        "Use the kubeconfig of the Karmada apiserver",
    ),
    "not installed": (
        replace(GOOD, installed=None),
        "versions",
        Level.WARN,
        "installation",
        "towpath install",
    ),
    "other version": (replace(GOOD, installed="0.0.1"), "versions", Level.WARN, "installation", "0.0.1"),
    "CRD missing": (
        replace(GOOD, definitions=(Pair(CRD, None),)),
        "CRDs",
        Level.FAIL,
        CRD["metadata"]["name"],
        "missing",
    ),
    "CRD of another": (
        replace(GOOD, definitions=(Pair(CRD, obj("X", "x", own=False)),)),
        "CRDs",
        Level.WARN,
        CRD["metadata"]["name"],
        "of another program",
    ),
    "member without CRD": (
        replace(GOOD, members=(member(NEWER),)),
        "CRDs",
        Level.FAIL,
        "a",
        "Install its CRD",
    ),
    "member without the unused CRD": (
        replace(GOOD, members=(member(FLOMESH),)),
        "CRDs",
        Level.WARN,
        "a",
        "Install its CRD",
    ),
    "role missing": (
        replace(GOOD, objects=(Pair(ROLE, None),)),
        "objects",
        Level.FAIL,
        "ClusterRole towpath-plugin",
        "towpath install",
    ),
    "role changed": (
        replace(GOOD, objects=(Pair(ROLE, CHANGED),)),
        "objects",
        Level.WARN,
        "ClusterRole towpath-plugin",
        "changed",
    ),
    "role of another": (
        replace(GOOD, objects=(Pair(ROLE, obj("ClusterRole", "towpath-plugin", own=False)),)),
        "objects",
        Level.FAIL,
        "ClusterRole towpath-plugin",
        "Rename or delete it",
    ),
    "verb missing": (
        replace(GOOD, permissions=(Permission("towpath-plugin", "list", "services", False),)),
        "permissions",
        Level.FAIL,
        "towpath-plugin",
        "list services",
    ),
    "no lease": (replace(GOOD, leases=()), "leader", Level.WARN, "lease", "towpath serve plugin"),
    "lease given back": (
        replace(GOOD, leases=(lease(holder=""),)),
        "leader",
        Level.FAIL,
        "Lease karmada-system/towpath",
        "No plugin leads",
    ),
    "lease not renewed": (
        replace(GOOD, leases=(lease(age=60),)),
        "leader",
        Level.FAIL,
        "Lease karmada-system/towpath",
        "has not renewed the lease",
    ),
    "webhook not registered": (
        replace(GOOD, settings=None),
        "webhook",
        Level.WARN,
        "registration",
        "--webhook-url",
    ),
    "settings damaged": (
        replace(GOOD, damage="webhook settings: The URL is wrong."),
        "webhook",
        Level.FAIL,
        "settings",
        "The URL is wrong",
    ),
    "configuration missing": (
        replace(GOOD, configurations=tuple(Pair(pair.wanted, None) for pair in GOOD.configurations[:1])),
        "webhook",
        Level.FAIL,
        "MutatingWebhookConfiguration",
        "missing",
    ),
    "rules changed": (
        replace(
            GOOD,
            configurations=tuple(
                Pair(p.wanted, {**p.wanted, "webhooks": []}) for p in GOOD.configurations[:1]
            ),
        ),
        "webhook",
        Level.FAIL,
        "MutatingWebhookConfiguration",
        "not those of this version",
    ),
    "webhook down": (
        replace(GOOD, hook_answer="dial tcp 10.0.0.1:8443: connect: connection refused"),
        "webhook",
        Level.FAIL,
        "answer",
        "connection refused",
    ),
    "CA expired": (
        replace(GOOD, authorities=(datetime.fromtimestamp(NOW - 1, UTC),)),
        "certificates",
        Level.FAIL,
        "CA of the webhook",
        "expired",
    ),
    "CA expires soon": (
        replace(GOOD, authorities=(datetime.fromtimestamp(NOW + 3600, UTC),)),
        "certificates",
        Level.WARN,
        "CA of the webhook",
        "towpath serve webhook",
    ),
    "clock behind": (
        replace(GOOD, server_time=NOW + 60, leases=(lease(age=-59),)),
        "clocks",
        Level.WARN,
        "this machine",
        "60 s behind",
    ),
    "clock ahead": (replace(GOOD, server_time=NOW - 60), "clocks", Level.WARN, "this machine", "60 s ahead"),
    "names clash": (replace(GOOD, exports=TWICE), "names", Level.FAIL, "shop/web", "Delete or rename one"),
    "kubeconfig left": (
        replace(GOOD, flomesh_clusters=(KUBECONFIG,)),
        "leftovers",
        Level.WARN,
        "a",
        "kubeconfig",
    ),
    "Cluster without member": (
        replace(GOOD, flomesh_clusters=(obj("Cluster", "x", own=False),)),
        "leftovers",
        Level.WARN,
        "x",
        "no member of this name",
    ),
    "import of another": (
        replace(GOOD, imports={FLOMESH: (obj("ServiceImport", "web", own=False, namespace="shop"),)}),
        "leftovers",
        Level.WARN,
        "shop/web",
        "not derived",
    ),
}


def test_a_complete_installation_is_all_well() -> None:
    results = judge(GOOD)
    assert [r for r in results if r.level is not Level.OK] == []
    assert len({r.check for r in results}) == 10


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found_with_its_fix(name: str) -> None:
    evidence, check, level, subject, fix = WRONG[name]
    found = [r for r in judge(evidence) if r.level is not Level.OK]
    assert [(r.check, r.level, r.subject) for r in found] == [(check, level, subject)]
    assert fix in found[0].text
    assert problems(found[0].text) == []


def test_before_an_installation_only_the_karmada_is_judged() -> None:
    empty = (Pair(CRD, None),)
    before = Evidence(NOW, version="v1.33.1", bindings=BINDINGS, definitions=empty, objects=empty)
    assert {r.check for r in judge(before)} == {"versions", "names", "leftovers"}
    assert all(r.level is not Level.FAIL for r in judge(before))


def test_no_secret_of_a_cluster_is_in_a_result() -> None:
    results = judge(replace(GOOD, flomesh_clusters=(KUBECONFIG,)))
    assert not any("secret" in text for result in results for text in result)


def test_the_processes_are_judged_for_the_status() -> None:
    stopped = replace(GOOD, leases=(lease(age=60),), hook_answer="connection refused", permissions=())
    assert judge_running(GOOD) == judge_running(replace(GOOD, leases=(), settings=None)) == ()
    assert [(r.check, r.level) for r in judge_running(stopped)] == [
        ("leader", Level.FAIL),
        ("webhook", Level.FAIL),
    ]


def test_an_unused_lease_is_no_problem_beside_a_held_one() -> None:
    several = replace(GOOD, leases=(lease(holder=""), lease(), lease(age=60)))
    assert judge_running(several) == ()
    assert len(judge_running(replace(GOOD, leases=(lease(holder=""), lease(age=60))))) == 2
