"""What Karmada's apiserver accepts and refuses with our CRDs, in both API groups.

The tables are in crd_cases. Nearly all of it is created with --dry-run=server, so nothing is left and nobody
acts on it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from tests.support.checkout import TOP
from tests.support.crd_cases import ACCEPTED, REFUSED, cases, flow
from tests.support.foreign import theirs
from tests.support.waiting import until
from towpath.errors import ApiError

if TYPE_CHECKING:
    from tests.conftest import Plane

CRDS = TOP / "deploy" / "crds"
GROUPS = ["flomesh.io", "multicluster.flomesh.io"]
PLURALS = {
    "Cluster": "clusters",
    "GlobalTrafficPolicy": "globaltrafficpolicies",
    "ServiceExport": "serviceexports",
    "ServiceImport": "serviceimports",
}
Object = dict[str, Any]


def crd(group: str, kind: str) -> Object:
    found: Object = yaml.safe_load((CRDS / f"{group}_{PLURALS[kind]}.yaml").read_text())
    return found


def schema(group: str, kind: str) -> Object:
    (version,) = crd(group, kind)["spec"]["versions"]
    found: Object = version["schema"]["openAPIV3Schema"]
    return found


def document(
    group: str, kind: str, spec: Object | None, name: str = "web", namespace: str = "default"
) -> Object:
    """Build an object; None leaves the spec out."""
    metadata = {"name": name} if kind == "Cluster" else {"name": name, "namespace": namespace}
    head = {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": metadata}
    return head if spec is None else head | {"spec": spec}


class Created(NamedTuple):
    """What the apiserver would store of some objects, and why it refuses the others."""

    stored: list[Object]
    refusals: list[str]


def create(plane: Plane, objects: list[Object]) -> Created:
    result = Created([], [])
    for obj in objects:
        try:
            result.stored.append(plane.client().create(obj, dry=True))
        except ApiError as error:
            result.refusals.append(str(error))
    return result


RULE = {"portNumber": 80, "path": "/web", "pathType": "Prefix"}
REFUSED_NAMES = ["a.b", "1web", "web-0.shop", "w" * 64]


# ---- refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "spec", "field", "fix"), REFUSED, ids=flow)
def test_refused_with_the_field_and_the_fix(
    plane: Plane, kind: str, spec: Object | None, field: str, fix: str
) -> None:
    result = create(plane, [document(group, kind, spec) for group in GROUPS])
    assert not result.stored
    for group in GROUPS:
        (error,) = [refusal for refusal in result.refusals if f"{kind}.{group} " in refusal]
        # the field's own message, up to the next field's or the end
        assert re.search(rf"[ \[]{re.escape(field)}: .*{re.escape(fix)}", error), error


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_an_export_must_bear_the_name_of_a_service(plane: Plane, name: str) -> None:
    exports = [document(group, "ServiceExport", {"rules": [RULE]}, name) for group in GROUPS]
    result = create(plane, exports)
    assert not result.stored
    message = r"\bmetadata\.name: .*The name must be that of the Service to export"
    assert all(re.search(message, refusal) for refusal in result.refusals), result.refusals
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}}
    refused = create(plane, [service | {"spec": {"ports": [{"port": 80}]}}])
    assert refused.refusals, "the apiserver takes this name for a Service by now: so should we"


def rules(node: Any, path: str = "") -> Iterator[tuple[str, Object]]:
    """Every CEL rule of a schema with the field it reports, list indexes left out."""
    for rule in node.get("x-kubernetes-validations", []):
        yield (path + rule.get("fieldPath", "")).lstrip("."), rule
    for name, child in node.get("properties", {}).items():
        yield from rules(child, f"{path}.{name}")
    if "items" in node:
        yield from rules(node["items"], path)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", PLURALS)
def test_every_rule_is_seen_refusing(group: str, kind: str) -> None:
    seen = [(re.sub(r"\[\d+]", "", field), fix) for k, _, field, fix in REFUSED if k == kind]
    for field, rule in rules(schema(group, kind)):
        if field == "metadata.name":
            continue  # has a test of its own, above
        text = rule["message"] + rule.get("messageExpression", "")
        # What follows is an example, or computed from the value.
        shown = any(f == field and re.split(r", for example |\. Use '/", fix)[0] in text for f, fix in seen)
        assert shown, (field, rule["rule"])
        # the apiserver drops the message of a duplicate
        assert rule["reason"] in {"FieldValueInvalid", "FieldValueRequired", "FieldValueForbidden"}
        # The apiserver writes the field; the message states the problem and the fix.
        assert re.fullmatch(r"[A-Z].+\. [A-Z].+\.", rule["message"], re.DOTALL), rule["message"]


# ---- accepted ----------------------------------------------------------------------------------------------


def accepted(result: Created, count: int) -> None:
    assert not result.refusals
    assert len(result.stored) == count


@pytest.mark.parametrize(("kind", "spec"), ACCEPTED, ids=flow)
def test_accepted(plane: Plane, kind: str, spec: Object | None) -> None:
    accepted(create(plane, [document(group, kind, spec) for group in GROUPS]), len(GROUPS))


WORKED = cases("worked.yaml")


@pytest.mark.parametrize("source", WORKED)
def test_the_walk_through_and_the_worked_cases_are_accepted(plane: Plane, source: str) -> None:
    objects = [document(g, c["kind"], c["spec"], c["name"]) for c in WORKED[source] for g in GROUPS]
    accepted(create(plane, objects), len(objects))


def test_eriecanals_mark_for_its_own_cluster_is_accepted(plane: Plane) -> None:
    """Only in ErieCanal's group: FSM's Cluster never had the field."""
    accepted(create(plane, [document("flomesh.io", "Cluster", {"isInCluster": True}, "local")]), 1)
    result = create(plane, [document("multicluster.flomesh.io", "Cluster", {"isInCluster": True})])
    assert 'unknown field "spec.isInCluster"' in result.refusals[0]


def test_the_largest_legal_objects_are_accepted(plane: Plane) -> None:
    """The apiserver stops a rule that costs too much only when it runs: no legal object may get there."""
    keys = ["/".join(["r" * 128] * 3) + f"/cluster-{i:04d}" + "x" * 200 for i in range(1000)]
    paths = [f"/{'p' * 507}{i:04d}" for i in range(128)]
    endpoint = {"target": {"host": "gw.example.com", "ip": "203.0.113.254", "path": "/web", "port": 80}}
    exports: list[Object] = [
        {"rules": [RULE | {"portNumber": 80 + i, "path": p} for i, p in enumerate(paths)]},
        {"rules": [RULE | {"path": p} for p in paths], "targetClusters": keys},
    ]
    policy = {"lbType": "ActiveActive", "targets": [{"clusterKey": key, "weight": 1} for key in keys]}
    endpoints = [endpoint | {"clusterKey": f"eu/zone/group/cluster-{i:04d}"} for i in range(1000)]
    imports = [
        {"ports": [{"port": 80 + i, "endpoints": endpoints} for i in range(8)]},
        {"ports": [{"port": 80 + i, "endpoints": endpoints[:60]} for i in range(100)]},
    ]
    for group in GROUPS:
        objects = [document(group, "ServiceExport", spec) for spec in exports]
        objects += [document(group, "ServiceImport", spec) for spec in imports]
        objects += [document(group, "GlobalTrafficPolicy", policy)]
        # By kubectl: aiohttp warns of a body of a megabyte.
        stdin = "\n---\n".join(map(json.dumps, objects))
        created = plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=stdin)
        assert created.stdout.count(" created (server dry run)") == len(objects)


def test_paths_are_those_that_the_gateways_ingress_takes(plane: Plane) -> None:
    """ErieCanal and FSM make an Ingress of each rule, and the member's apiserver has the last word on it."""

    def takes(document: Object) -> bool:
        return not create(plane, [document]).refusals

    taken = ["/", "/x", "/x/", "/..x", "/x.y", "/x*", "/ü"]
    for path in [*taken, "", "x", "/x//y", "/.", "/x/..", "/x/./y", "/x%2Fy"]:
        backend = {"service": {"name": "web", "port": {"number": 80}}}
        ingress = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "rules": [{"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}]
            },
        }
        spec = {"rules": [RULE | {"path": path}]}
        assert takes(document("flomesh.io", "ServiceExport", spec)) == takes(ingress) == (path in taken), path


# ---- defaults, columns, status -----------------------------------------------------------------------------

PLACE = {"region": "default", "zone": "default", "group": "default"}
PORT = {"port": 1, "endpoints": []}
DEFAULTS: list[tuple[str, Object | None, Object]] = [
    ("ServiceExport", {"rules": [RULE]}, {"loadBalancer": "RoundRobinLoadBalancer"}),
    ("GlobalTrafficPolicy", None, {"lbType": "Locality"}),
    ("GlobalTrafficPolicy", {"targets": []}, {"lbType": "Locality"}),
    ("Cluster", None, {"gatewayPort": 80, "fsmMeshConfigName": "fsm-mesh-config", **PLACE}),
    ("ServiceImport", {"ports": []}, {"type": "ClusterSetIP"}),
    ("ServiceImport", {"ports": [PORT]}, {"type": "ClusterSetIP", "ports": [PORT | {"protocol": "TCP"}]}),
]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("kind", "spec", "filled"), DEFAULTS)
def test_defaults(plane: Plane, group: str, kind: str, spec: Object | None, filled: Object) -> None:
    sent = document(group, kind, spec)
    result = create(plane, [sent])
    assert not result.refusals
    expected = sent.get("spec", {}) | filled
    if (group, kind) == ("flomesh.io", "Cluster"):
        expected["isInCluster"] = False
    assert result.stored[0]["spec"] == expected


THEN = "2026-01-01T00:00:00Z"
CONDITION = {"status": "True", "reason": "Success", "message": "", "lastTransitionTime": THEN}
COLUMNS = [
    ("ServiceExport", "sexp", "NAME VALID CONFLICT READY AGE"),
    ("ServiceImport", "simp", "NAME CLUSTERS PORTS AGE"),
    ("GlobalTrafficPolicy", "gtp", "NAME LB_TYPE ACCEPTED RESOLVED AGE"),
    ("Cluster", None, "NAME REGION ZONE GROUP GATEWAY_HOST GATEWAY_PORT MANAGED MANAGED_AGE AGE"),
]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("kind", "short", "columns"), COLUMNS)
def test_short_names_and_columns(
    plane: Plane, namespace: str, group: str, kind: str, short: str | None, columns: str
) -> None:
    specs: dict[str, Object] = {"ServiceExport": {"rules": [RULE]}, "ServiceImport": {"ports": []}}
    scope = [] if kind == "Cluster" else [f"--namespace={namespace}"]
    # distinct, for where both groups are installed kubectl would take a shared one for the first group's
    short = f"m{short}" if short and group != GROUPS[0] else short
    resource = short or f"{PLURALS[kind]}.{group}"
    created = document(group, kind, specs.get(kind), name=namespace, namespace=namespace)
    plane.kubectl("create", "-f", "-", stdin=json.dumps(created))
    try:
        shown = plane.kubectl("get", resource, namespace, *scope).stdout.splitlines()
    finally:
        plane.kubectl("delete", resource, namespace, *scope)
    assert [c.replace(" ", "_") for c in re.split(r"\s{2,}", shown[0].strip())] == columns.split()
    assert shown[1].startswith(namespace)
    served = json.loads(plane.kubectl("get", "--raw", f"/apis/{group}/v1alpha1").stdout)["resources"]
    (names,) = [r.get("shortNames", []) for r in served if r["name"] == PLURALS[kind]]
    assert names == ([short] if short else [])


@pytest.mark.parametrize("group", GROUPS)
def test_status_is_a_subresource(plane: Plane, namespace: str, group: str) -> None:
    export = document(group, "ServiceExport", {"rules": [RULE]}, namespace=namespace)
    resource = f"serviceexports.{group}"
    conditions = [CONDITION | {"type": "Valid"}, CONDITION | {"type": "Conflict", "status": "False"}]
    status = {"status": {"conditions": conditions}}
    created = plane.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(export | status))
    assert "status" not in json.loads(created.stdout), "a status in a manifest must not pass for a report"

    patch = ["patch", resource, "web", f"--namespace={namespace}", "--type=merge", "--subresource=status"]
    plane.kubectl(*patch, "-p", json.dumps(status | {"spec": {"sessionSticky": True}}))
    columns = plane.kubectl("get", resource, "web", f"--namespace={namespace}").stdout.splitlines()[1].split()
    assert columns[:3] == ["web", "True", "False"]
    shown = plane.kubectl("get", resource, "web", f"--namespace={namespace}", "-o", "json").stdout
    assert "sessionSticky" not in json.loads(shown)["spec"]

    twice = {"status": {"conditions": [conditions[0], conditions[0]]}}
    refused = plane.kubectl(*patch, "-p", json.dumps(twice), check=False)
    assert "status.conditions[1]: Duplicate value" in refused.stderr
    unreasoned = {"status": {"conditions": [conditions[0] | {"reason": "no words"}]}}
    refused = plane.kubectl(*patch, "-p", json.dumps(unreasoned), check=False)
    assert "status.conditions[0].reason" in refused.stderr


# ---- coming from ErieCanal's CRDs --------------------------------------------------------------------------

OLD = {
    "no-spec": None,
    "no-rules": {},
    "dotted.name": {"rules": [{"portNumber": 80, "path": "/web", "pathType": "Prefix"}]},
    "rule-without-path": {"rules": [{"pathType": "Prefix"}], "pathRewrite": {"from": "x"}},
    "bad-values": {
        "rules": [{"portNumber": 0, "path": "web", "pathType": "Prefix"}],
        "targetClusters": ["cluster-1", "cluster-1"],
        "serviceAccountName": "ns/web",
    },
}


async def test_objects_from_before_the_rules_stay_manageable(plane: Plane, namespace: str) -> None:
    """Karmada labels what it claims, owners remove finalizers: both must work on what was accepted before."""
    # a group of its own: the CRDs of the plane are shared
    new = crd("flomesh.io", "ServiceExport")
    group = f"{namespace}.example.test"
    new["metadata"]["name"] = f"serviceexports.{group}"
    new["spec"] |= {"group": group, "names": {**new["spec"]["names"], "shortNames": []}}
    old = copy.deepcopy(new)
    version = old["spec"]["versions"][0]
    version["schema"] = theirs(version["schema"])
    resource = f"serviceexports.{group}"

    def kubectl(*args: str, stdin: Object | None = None) -> subprocess.CompletedProcess[str]:
        scoped = [f"--namespace={namespace}", *args]
        return plane.kubectl(*scoped, stdin=None if stdin is None else json.dumps(stdin), check=False)

    async def created(*args: str, stdin: Object) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(kubectl, "create", *args, "-f", "-", stdin=stdin)

    def good(result: subprocess.CompletedProcess[str]) -> None:
        assert result.returncode == 0, result.stderr

    install = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
    free = ["--type=merge", "-p", '{"metadata": {"finalizers": null}}']
    good(kubectl(*install, stdin=old))
    try:
        good(kubectl("wait", "--for=condition=Established", f"crd/{resource}"))
        for name, spec in OLD.items():
            before = document(group, "ServiceExport", spec, name, namespace)
            before["metadata"]["finalizers"] = ["example.test/wait"]
            await until(partial(created, stdin=before), lambda r: r.returncode == 0)
        good(kubectl(*install, stdin=new))
        late = document(group, "ServiceExport", None, "late", namespace)
        await until(
            partial(created, "--dry-run=server", stdin=late), lambda r: "Nothing is exported." in r.stderr
        )

        report = json.dumps({"status": {"conditions": [CONDITION | {"type": "Valid", "status": "False"}]}})
        for name in OLD:
            good(kubectl("label", resource, name, "claimed=yes"))
            good(kubectl("patch", resource, name, "--type=merge", "--subresource=status", "-p", report))
        spoilt = json.dumps([{"op": "replace", "path": "/spec/rules/0/path", "value": "still-wrong"}])
        refused = kubectl("patch", resource, "bad-values", "--type=json", "-p", spoilt)
        assert "spec.rules[0].path: " in refused.stderr, "what is changed is checked"
        for name in OLD:
            good(kubectl("delete", resource, name, "--wait=false"))
            good(kubectl("patch", resource, name, *free))
        assert kubectl("get", resource, "-o", "name").stdout == ""
    finally:
        # the old rules again, or a failure here would leave objects that cannot be deleted
        kubectl(*install, stdin=old)
        for name in OLD:
            kubectl("patch", resource, name, *free)
        kubectl("delete", "crd", resource, "--wait=false")


# ---- the files ---------------------------------------------------------------------------------------------


def test_the_files_are_applied_as_they_are(plane: Plane) -> None:
    applied = plane.kubectl("apply", "--dry-run=server", "-f", str(CRDS))
    assert len(applied.stdout.splitlines()) == len(GROUPS) * len(PLURALS)


def test_there_is_a_file_for_each_kind_and_nothing_else() -> None:
    expected = {f"{group}_{plural}.yaml" for group in GROUPS for plural in PLURALS.values()}
    assert {path.name for path in CRDS.iterdir()} == expected
    for path in CRDS.iterdir():
        # kubectl apply copies the file into an annotation, and all of them together have 256 KiB
        assert path.stat().st_size < 32 * 1024


@pytest.mark.parametrize("kind", PLURALS)
def test_both_groups_have_the_same_rules(kind: str) -> None:
    ours, theirs = (crd(group, kind) for group in GROUPS)
    if kind == "Cluster":
        # the one field that ErieCanal has and FSM has not
        spec = ours["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert spec["properties"].pop("isInCluster")["default"] is False
    for group, definition in zip(GROUPS, (ours, theirs), strict=True):
        assert definition["metadata"].pop("name") == f"{PLURALS[kind]}.{group}"
        assert definition["spec"].pop("group") == group
    shorts = [definition["spec"]["names"].pop("shortNames", []) for definition in (ours, theirs)]
    assert [f"m{short}" for short in shorts[0]] == shorts[1]
    assert ours == theirs


def fields(node: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from fields(child, f"{path}.{name}")
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", PLURALS)
def test_the_definition_is_complete(group: str, kind: str) -> None:
    definition = crd(group, kind)
    (version,) = definition["spec"]["versions"]
    assert definition["metadata"]["labels"] == {"app.kubernetes.io/name": "flomesh.io"}
    assert definition["spec"]["scope"] == ("Cluster" if kind == "Cluster" else "Namespaced")
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert version["subresources"] == {"status": {}}
    for path, field in fields(schema(group, kind)):
        assert "x-kubernetes-preserve-unknown-fields" not in field, path
        if not path.startswith(".metadata"):
            assert 1 < len(field["description"]) < 300, f"kubectl explain has nothing to say on {path}"
