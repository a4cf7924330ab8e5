"""For any files and any state of Karmada, ``towpath plan`` makes a plan or names the object that prevents it.

The command's own function is called, in this process, with every form of output.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.cli import plan_input
from towpath.cli.plan import DIFFERENT, FAILED, plan
from towpath.cli.plan_input import Output
from towpath.errors import TowpathError
from towpath.inventory import dns
from towpath.model import manifest
from towpath.plan import result
from towpath.plan.read import read
from towpath.plan.world import Builder

Object = dict[str, Any]
Planned = Callable[..., None]

FUZZ = settings(
    max_examples=settings().max_examples * 3 // 5,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
MANAGED = {"app.kubernetes.io/managed-by": "towpath"}
GROUPS = ("flomesh.io", "multicluster.flomesh.io")


def obj(kind: str, name: str, spec: object, version: str = "v1", **meta: object) -> Object:
    where = {} if kind.startswith("Cluster") else {"namespace": "shop"}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **where, **meta}, "spec": spec}


def cluster(name: str, number: int, ready: str = "True", **spec: object) -> Object:
    made = obj(
        "Cluster",
        name,
        {"region": "eu", "zones": ["eu-1", "eu-2"], "provider": "metal", **spec},
        "cluster.karmada.io/v1alpha1",
        labels={"tier": "front"},
        annotations={"towpath.io/gateway": f"10.0.0.{number}:8080", "towpath.io/group": "g"},
    )
    served = [
        {"groupVersion": f"{group}/v1alpha1", "resources": [{"kind": "ServiceImport"}]} for group in GROUPS
    ]
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {**made, "status": {"apiEnablements": served, "conditions": [condition]}}


def selecting(*kinds: tuple[str, str]) -> list[Object]:
    return [{"apiVersion": version, "kind": kind, "name": "web"} for version, kind in kinds]


TEMPLATES = (
    ("v1", "Service"),
    *((f"{g}/v1alpha1", k) for g in GROUPS for k in ("ServiceExport", "GlobalTrafficPolicy")),
)
POLICY, PATCH = (
    "policy.karmada.io/v1alpha1",
    {"path": "/spec/ports/0/port", "operator": "replace", "value": 80},
)
AFFINITY: Object = {
    "clusterNames": ["a", "b", "c"],
    "exclude": ["c"],
    "labelSelector": {
        "matchLabels": {"tier": "front"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}],
    },
    "fieldSelector": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["eu-1"]}]},
}
RULE: Object = {
    "targetCluster": {"clusterNames": ["a"]},
    "overriders": {
        "plaintext": [PATCH, {"path": "/spec/rules/0/path", "operator": "add", "value": "/other"}],
        "labelsOverrider": [{"operator": "add", "value": {"a": "b"}}],
        "annotationsOverrider": [{"operator": "remove", "value": {"a": "b"}}],
        "imageOverrider": [{"predicate": {"path": "/spec/type"}, "component": "Tag", "operator": "remove"}],
        "fieldOverrider": [{"fieldPath": "/metadata/name", "yaml": []}],
    },
}
OWN: Object = {
    "labels": MANAGED,
    "managedFields": [
        {"manager": "towpath", "operation": "Apply", "fieldsV1": {"f:spec": {"f:ports": {}, "f:type": {}}}}
    ],
}


def of_dialect(group: str) -> list[Object]:
    version = f"{group}/v1alpha1"
    rules = [{"portNumber": 80, "path": "/web", "pathType": "Prefix"}]
    target = {"clusterKey": "eu/eu-1/g/a", "weight": 10}
    gateway = {
        "region": "eu",
        "zone": "eu-1",
        "group": "g",
        "gatewayHost": "gw.example.test",
        "gatewayPort": 80,
    }
    port = {"port": 80, "protocol": "TCP", "endpoints": [{"clusterKey": "k", "target": {"ip": "10.0.0.1"}}]}
    return [
        obj("Cluster", "b", gateway, version),
        obj(
            "ServiceExport",
            "web",
            {"rules": rules, "targetClusters": ["eu/eu-1/g/a", "eu/eu-1/g/b"], "serviceAccountName": "*"},
            version,
            uid=f"export-{group}",
            annotations={"towpath.io/drain": "c", "towpath.io/when-unreachable": "WithdrawAfter=5m"},
        ),
        obj("GlobalTrafficPolicy", "web", {"lbType": "ActiveActive", "targets": [target]}, version),
        obj("ServiceImport", "web", {"type": "ClusterSetIP", "ports": [port]}, version, **OWN),
    ]


def binding(kind: str, uid: str) -> Object:
    spec = {
        "resource": {"apiVersion": "v1", "kind": kind, "name": "web", "uid": uid},
        "clusters": [{"name": "a"}],
        "requiredBy": [{"clusters": [{"name": "b"}]}],
    }
    made = obj("ResourceBinding", f"web-{kind.lower()}", spec, "work.karmada.io/v1alpha2")
    copies = [{"clusterName": name, "applied": True} for name in ("a", "b")]
    return {**made, "status": {"aggregatedStatus": copies}}


SERVICE = {
    "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "appProtocol": "grpc"}],
    "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
    "type": "ClusterIP",
}
CLAIM = {"placement": {"clusterAffinity": AFFINITY}, "resourceSelectors": selecting(*TEMPLATES)}
VALID: list[Object] = [
    cluster("a", 1, taints=[{"key": "k", "effect": "NoSchedule"}]),
    cluster("b", 2),
    cluster("c", 3, ready="False"),
    obj("Service", "web", SERVICE, uid="service", labels={"app": "web"}),
    obj("PropagationPolicy", "p", {**CLAIM, "priority": 1, "suspension": {"dispatching": True}}, POLICY),
    obj(
        "ClusterPropagationPolicy",
        "cp",
        {
            "placement": {
                "clusterAffinities": [{"affinityName": "x", **AFFINITY}, {"affinityName": "y"}],
                "spreadConstraints": [{"minGroups": 1}],
            },
            "resourceSelectors": [
                {"apiVersion": "v1", "kind": "Service", "labelSelector": {"matchLabels": {}}}
            ],
            "schedulerName": "mine",
        },
        POLICY,
    ),
    obj("OverridePolicy", "o", {"resourceSelectors": selecting(*TEMPLATES), "overrideRules": [RULE]}, POLICY),
    obj("ClusterOverridePolicy", "co", RULE, POLICY),
    binding("Service", "service"),
    binding("ServiceExport", "export-flomesh.io"),
    *(copy for group in GROUPS for copy in of_dialect(group)),
]
DERIVED: list[Object] = [
    obj("PropagationPolicy", f"towpath-{role}-web", CLAIM, POLICY, **OWN)
    for role in ("import", "export", "traffic")
] + [
    obj("OverridePolicy", f"towpath-import-web{shard}", {"overrideRules": [RULE]}, POLICY, **OWN)
    for shard in ("", ".1")
]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """Plan a file in every form, on top of what is live: each time there is a plan, or one line."""
    file, held = tmp_path / "file.yaml", list[Object]()
    monkeypatch.setattr(plan_input, "live_objects", lambda *_: deepcopy(held))

    async def addresses(name: str) -> frozenset[str]:
        return frozenset({"10.7.7.7"} if len(name) % 2 else ())

    monkeypatch.setattr(dns, "addresses", addresses)

    def run(form: Output, *, live: bool) -> str | None:
        out, err, code, refused = io.StringIO(), io.StringIO(), 0, ""
        with redirect_stdout(out), redirect_stderr(err):
            try:
                plan(
                    [str(file)],
                    output=form,
                    live=live,
                    everything=True,
                    kubeconfig=str(tmp_path),
                    namespace="shop",
                    at="2026-01-31T12:00:00Z",
                )
            except typer.Exit as end:
                code = end.exit_code
            except TowpathError as error:
                refused = str(error)
        if refused:
            assert refused.isprintable()
            assert re.match(rf"{re.escape(str(file))}:|[A-Z][A-Za-z]+ ", refused), refused
            return None
        lines = err.getvalue().splitlines()
        assert form is Output.DIFF or all(line.startswith("error: ") for line in lines)
        assert (code == FAILED) == any(line.startswith("error: ") for line in lines)
        assert code != DIFFERENT or form is Output.DIFF
        return out.getvalue()

    def check(content: bytes, live: list[Object] | None = None) -> None:
        file.write_bytes(content)
        held[:] = live or []
        shown = {
            form: run(form, live=live is not None)
            for form in Output
            if live is not None or form != Output.DIFF
        }
        assert len({text is None for text in shown.values()}) == 1
        if (text := shown[Output.JSON]) is not None:
            assert yaml.load(shown[Output.YAML] or "", yaml.CSafeLoader) == json.loads(text)
            assert run(Output.YAML, live=live is not None) == shown[Output.YAML]

    return check


# Arbitrary text

TOKENS = [
    *(
        "- ",
        ": ",
        ", ",
        "\n",
        "  ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        "? ",
        "| \n",
        ">-\n",
        "'",
        '"',
        "# ",
        "---\n",
        "...\n",
    ),
    *(
        "&a ",
        "*a",
        "<<: *a",
        "<<: [*a, *a]",
        "!!set ",
        "!!omap ",
        "!!binary ",
        "!!timestamp ",
        "!!int ",
        "!!float ",
    ),
    *(
        "!!bool ",
        "!!python/name:os.system ",
        "!x ",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "%a\n",
        "~",
        "=",
        "<<",
        ".inf",
        "-.nan",
    ),
    *(
        "2001-12-14t21:59:43.10-05:00",
        "2001-99-99",
        "0x_",
        "1:60",
        "1_0",
        "0o7",
        "0b2",
        "1e999",
        "\ufeff",
        "\u2028",
    ),
    *(
        "apiVersion",
        "v1",
        "kind",
        "Service",
        "List",
        "items",
        "metadata",
        "name",
        "web",
        "spec",
        "\x00",
        "\\ud800",
    ),
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: ",
    "apiVersion: flomesh.io/v1alpha1\nkind: ServiceExport\nmetadata:\n  name: web\nspec:\n  rules:\n  - ",
]
texts = st.lists(st.sampled_from(TOKENS) | st.text(max_size=3), max_size=40).map("".join)


@FUZZ
@given(content=st.binary(max_size=200) | st.text().map(str.encode) | texts.map(str.encode))
def test_any_text_is_a_plan_or_an_error(content: bytes, planned: Planned) -> None:
    planned(content)


# Arbitrary values that YAML can say

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.dates(date(1, 1, 1), date(9999, 12, 31))
    | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
    | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
)
keys = (
    st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False) | st.dates()
)
values = st.recursive(
    scalars | st.sets(st.text(max_size=3), max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def knots(draw: st.DrawFn) -> object:
    """Return values that hold each other, and themselves."""
    lists: list[Any] = [draw(st.sampled_from(["list", "dict"])) for _ in range(draw(st.integers(1, 4)))]
    lists = [[] if kind == "list" else {} for kind in lists]
    for container in lists:
        for index in draw(st.lists(st.integers(0, len(lists) - 1), max_size=3)):
            if isinstance(container, list):
                container.append(lists[index])
            else:
                container[f"k{len(container)}"] = lists[index]
    return lists[0]


@st.composite
def deep(draw: st.DrawFn) -> object:
    value: object = draw(scalars)
    for _ in range(draw(st.sampled_from([10, 190, 199, 205, 300]))):
        value = [value] if draw(st.booleans()) else {"a": value}
    return value


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def dumped(documents: list[Any]) -> bytes:
    return "---\n".join(
        yaml.dump(document, Dumper=yaml.SafeDumper, allow_unicode=True) for document in documents
    ).encode()


@FUZZ
@given(data=st.data(), where=st.integers(0, len(VALID) - 1))
def test_any_value_in_any_place_is_a_plan_or_an_error(
    data: st.DataObject, where: int, planned: Planned
) -> None:
    documents = deepcopy(VALID)
    path = data.draw(st.sampled_from(list(places(documents[where]))[1:]))
    value = data.draw(values | knots() | deep())
    try:
        at(documents, (where, *path[:-1]))[path[-1]] = value
        content = dumped(documents)
    except RecursionError:  # PyYAML's, in writing
        return
    planned(content)


# Manifests with mistakes

NINES = "9" * 5000
odd_texts = st.sampled_from(
    [
        *("", "a b", "a/b", "A", "..", "a\nb", "\x1b[2J", "ü", "-a", "x" * 300, "[a]", "web.x", "%2f", NINES),
        *(f"x:{NINES}", f"WithdrawAfter={NINES}m", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"),
    ]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, 80, 65536, -1])
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class Mistaken(list[Any]):
    """Objects, shown as what was done to them."""

    def __init__(self, objects: list[Object]) -> None:
        super().__init__(objects)
        self.done: list[object] = []

    def __repr__(self) -> str:
        return f"Mistaken({self.done})"


@st.composite
def mistaken(draw: st.DrawFn, valid: list[Object], within: tuple[str, ...]) -> Mistaken:
    """Return objects in which something is not as it should be, in one of these fields."""
    objects = Mistaken(deepcopy(valid))
    for _ in range(draw(st.integers(1, 4))):
        which = draw(st.integers(0, len(objects) - 1))
        paths = [path for path in places(objects[which]) if path and path[0] in within]
        if not paths:
            continue
        path = draw(st.sampled_from(paths))
        how, new = draw(st.sampled_from(["replace", "replace", "remove", "twice", "again"])), None
        if how == "replace":
            other = at(objects[which], draw(st.sampled_from(paths)))
            new = draw(json_values | odd_texts | st.builds(deepcopy, st.just(other)))
        objects.done.append((how, which, path, new))
        parent = at(objects[which], path[:-1])
        match how:
            case "replace":
                parent[path[-1]] = new
            case "remove":
                del parent[path[-1]]
            case "twice" if isinstance(parent, list):
                parent.append(deepcopy(at(parent, path[-1:])))
            case "again":
                objects.append(deepcopy(objects[which]))
    return objects


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@FUZZ
@given(objects=mistaken(VALID, ("apiVersion", "kind", "metadata", "spec", "status")), as_json=st.booleans())
def test_manifests_with_mistakes_are_a_plan_or_an_error(
    objects: Mistaken, as_json: bool, planned: Planned
) -> None:
    listed = {"kind": "List", "apiVersion": "v1", "items": list(objects)}
    planned(json.dumps(listed).encode() if as_json else manifest.dump(listed).encode())


@FUZZ
@given(
    objects=mistaken(VALID, ("metadata", "spec", "status")),
    live=mistaken(VALID + DERIVED, ("spec", "status")),
)
def test_any_karmada_gives_a_difference_or_an_error(
    objects: Mistaken, live: Mistaken, planned: Planned
) -> None:
    planned(manifest.dump({"kind": "List", "items": list(objects)}).encode(), live)


def test_without_a_mistake_there_is_a_plan(planned: Planned) -> None:
    """What the other tests begin with is worth it: objects of every kind come out."""
    planned(dumped(VALID), VALID + DERIVED)
    made = Builder(read(VALID), {"gw.example.test": "10.7.7.7"}, 0.0)
    [first, *_] = result.make(made.world(), made.notes).services
    assert [obj["kind"] for obj in first.objects] == ["OverridePolicy", "PropagationPolicy", "ServiceImport"]
    assert set(first.derived.views) == {"a", "b"}
