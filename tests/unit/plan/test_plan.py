"""From manifests to a plan, and from a plan to a diff: small files and their plans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
import yaml

from towpath.errors import InvalidObject
from towpath.model import manifest
from towpath.model.keys import Dialect, ServiceKey
from towpath.plan import result
from towpath.plan.diff import difference, obstacles
from towpath.plan.read import Reading, read_live, read_on
from towpath.plan.result import Plan, ServicePlan
from towpath.plan.world import Builder
from towpath.text import several

Object = dict[str, Any]

CLUSTER_A = """
apiVersion: flomesh.io/v1alpha1
kind: Cluster
metadata: {name: a}
spec: {gatewayHost: 10.0.0.1}
"""
CLUSTERS = f"""{CLUSTER_A}---
apiVersion: flomesh.io/v1alpha1
kind: Cluster
metadata: {{name: b}}
spec: {{gatewayHost: 10.0.0.2, gatewayPort: 8080}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
"""
EXPORT = """
apiVersion: flomesh.io/v1alpha1
kind: ServiceExport
metadata: {name: web, namespace: shop}
spec: {rules: [{portNumber: 80, path: /web, pathType: Prefix}]}
"""
MEMBER_A = """
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: a, labels: {tier: front}, annotations: {towpath.io/gateway: 10.0.0.1}}
spec: {provider: metal, region: eu}
"""
MEMBER_B = """
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: b, annotations: {towpath.io/gateway: 10.0.0.2}}
"""
MEMBERS = f"{MEMBER_A}---{MEMBER_B}"


TOO_DEEP = "file:1: Invalid YAML: (nested deeper than 200 levels|exceeded maximum nesting depth)"
"""Towpath's message or, from 6.0.4 on, PyYAML's, which then also unites what ``<<`` brings twice."""
EU = "{key: region, operator: In, values: [eu]}"


def policy(
    name: str = "web", kinds: str = "Service ServiceExport", placement: str = "{}", more: str = ""
) -> str:
    versions = {
        "Service": "v1",
        "ServiceExport": "flomesh.io/v1alpha1",
        "GlobalTrafficPolicy": "flomesh.io/v1alpha1",
    }
    selectors = ", ".join(f"{{apiVersion: {versions[k]}, kind: {k}, name: web}}" for k in kinds.split())
    return f"""
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{resourceSelectors: [{selectors}], placement: {placement}{more}}}
"""


def override(*patch: str, name: str = "o", clusters: str = "", kind: str = "") -> str:
    target = f"targetCluster: {{clusterNames: [{clusters}]}}, " if clusters else ""
    only = f"resourceSelectors: [{{apiVersion: flomesh.io/v1alpha1, kind: {kind}}}], " if kind else ""
    return f"""
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{{only}overrideRules: [{{{target}overriders: {{plaintext: [{", ".join(patch)}]}}}}]}}
"""


def only(*names: str) -> str:
    return f"{{clusterAffinity: {{clusterNames: [{', '.join(names)}]}}}}"


def objects(*texts: str) -> list[Object]:
    return [obj for text in texts for obj in manifest.parse(text, "file")]


def read(*texts: str, live: Iterable[Object] = ()) -> Reading:
    reading = read_live(live)
    read_on(reading, objects(*texts))
    return reading


def planned(
    *texts: str, live: Iterable[Object] = (), resolved: Mapping[str, str] | None = None, now: float = 0.0
) -> Plan:
    builder = Builder(read(*texts, live=live), resolved or {}, now)
    return result.make(builder.world(), builder.notes)


def service(plan: Plan) -> ServicePlan:
    [found] = plan.services
    return found


def exporters(plan: Plan) -> tuple[str, ...]:
    return tuple(sorted(service(plan).derived.exporters))


def reasons(plan: Plan) -> dict[str, str]:
    return {name: why.reason.value for name, why in service(plan).derived.excluded.items()}


def addresses(plan: Plan) -> dict[str, list[str]]:
    return {
        name: [f"{e.target.ip}:{e.target.port}{e.target.path}" for port in view.ports for e in port.endpoints]
        for name, view in service(plan).derived.views.items()
    }


# Text to objects


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [", "file:2: Invalid YAML: "),
        ("a: b\nc: d: e\n", "file:2: Invalid YAML: mapping values are not allowed"),
        ("a: 1\n---\nb: !!int x\n", "file:3: Invalid YAML: 'x' is not a valid int"),
        ("ü: üüüüü\n\nb: \0\n\n\n\n", "file:3: Invalid YAML: "),
        ("a: !!python/name:os.system x", "file:1: Invalid YAML: could not determine a constructor"),
        ("a: 1\nb: {c: 1,\n  c: 2}\n", 'file:3: Invalid YAML: key "c" already set in map.'),
        ("a: 1\n'a': 1\n", 'file:2: Invalid YAML: key "a" already set in map.'),
        ("[1]", "file: document 1: Not a Kubernetes object. Set apiVersion, kind and metadata.name."),
        (f"{EXPORT}---\nkind: ServiceExport\n", "file: document 2: Not a Kubernetes object"),
        ("kind: List\nitems:\n- 1\n", r"file: document 1: items\[0\]: Not a Kubernetes object"),
        ("a: .nan", "file: document 1: Invalid value nan: JSON has no such number"),
        ("a: 1e999", "file: document 1: Not a Kubernetes object"),
        ("kind: Kustomization\nresources: []\n", "file: document 1: Kustomizations are not built here"),
        ("&a [*a]", "file: document 1: Nested deeper than 200 levels, or an anchor contains itself"),
        ("&a {kind: List, items: [*a]}", "file: document 1: Nested deeper than 200 levels"),
        ("[" * 300 + "]" * 300, "file: document 1: Nested deeper than 200 levels"),
        ("[" * 100_000, TOO_DEEP),
        ("- " * 100_000, TOO_DEEP),
        ('{"a": ' * 100_000, TOO_DEEP),
        (
            "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 10}]\n" for n in range(1, 10)),
            "file: document 1: Aliases expand the document to .* values",
        ),
        (
            "a0: &a0 {b: 1}\n"
            + "".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * 10}]}}\n" for n in range(1, 10)),
            "file(:[0-9]+: Invalid YAML: '<<' adds more than 100000 fields|: document 1: Not a Kube)",
        ),
    ],
)
def test_text_that_holds_no_objects_is_refused_with_the_place(text: str, error: str) -> None:
    with pytest.raises(InvalidObject, match=f"^{error}") as caught:
        manifest.parse(text, "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        EXPORT,
        f"---\n# nothing here\n---\n{EXPORT}---\n",
        f"\ufeff{EXPORT}",
        '{"apiVersion": "v1",\t"kind": "Service",\t"metadata": {"name": "\\ud83d\\ude00"}}',
        "kind: List\nitems:\n- {kind: List, items: [{apiVersion: v1, kind: A, metadata: {name: a}}]}\n",
        "apiVersion: v1\nkind: A\nmetadata: &m {name: a}\na: &a {<<: *m, name: b}\nc: {<<: [*a, *m]}\n",
    ],
    ids=[
        "yaml",
        "empty documents",
        "byte order mark",
        "json with a tab and a pair of surrogates",
        "lists",
        "merges",
    ],
)
def test_objects_are_found(text: str) -> None:
    assert len(manifest.parse(text, "file")) == 1


def test_an_unquoted_time_is_a_string_as_for_kubectl() -> None:
    [obj] = manifest.parse(
        "apiVersion: v1\nkind: A\nmetadata: {name: a, annotations: {d: 2020-99-99, e: =, f: 2020-01-01}}", "f"
    )
    assert obj["metadata"]["annotations"] == {"d": "2020-99-99", "e": "=", "f": "2020-01-01"}


def test_written_yaml_has_no_aliases() -> None:
    twice = {"a": ["x\x85y", "=", "2020-01-01", "on", "1e3", "\u2028", "ü"]}
    text = manifest.dump([twice, twice])
    assert "&" not in text
    assert yaml.safe_load(text) == [twice, twice]


# Objects to what they are


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            EXPORT.replace("80", "'80'"),
            "ServiceExport shop/web: spec.rules[0].portNumber: Input should be a valid integer",
        ),
        (
            EXPORT.replace("80", "0"),
            "ServiceExport shop/web: spec.rules[0].portNumber: Invalid value ",
        ),
        (
            SERVICE.replace("80", "70000"),
            "Service shop/web: spec.ports[0].port: Invalid value ",
        ),
        (
            EXPORT.replace("{rules", "{targetClusters: a, rules"),
            "ServiceExport shop/web: spec.targetClusters: ",
        ),
        (EXPORT.replace("spec:", "spec: 1 #"), "ServiceExport shop/web: spec: "),
        (
            EXPORT.replace("name: web", "name: W b"),
            "ServiceExport 'W b': metadata.name: Must consist of lower-case",
        ),
        (
            EXPORT.replace("shop", "Shop"),
            "ServiceExport 'web': metadata.namespace: Invalid value 'Shop': must be the name of a namespace",
        ),
        (
            EXPORT.replace("shop", "[a]"),
            "ServiceExport 'web': metadata.namespace: Invalid value ['a']: must be the name",
        ),
        (
            EXPORT.replace("shop", "shop, annotations: {towpath.io/drain: true}"),
            "ServiceExport 'web': metadata.annotations[towpath.io/drain]: Invalid value true: must be a",
        ),
        (
            EXPORT.replace("shop", "shop, labels: [a]"),
            "ServiceExport 'web': metadata.labels: Must be an object",
        ),
        (
            EXPORT.replace("shop", "shop, uid: 1"),
            "ServiceExport shop/web: metadata.uid: Expected `str`, got `int`",
        ),
        (EXPORT.replace("80", "80, ~: 1"), "ServiceExport web: Not valid JSON: "),
        (MEMBERS.replace("metal", "[]"), "Cluster a: spec.provider: Expected `str`, got `array`"),
        (
            MEMBERS.replace("metal", "x, taints: 1"),
            "Cluster a: spec.taints: Expected `array | null`, got `int`",
        ),
        (
            f"{MEMBER_B}status: {{apiEnablements: [{{}}]}}",
            "Cluster b: status.apiEnablements[0]: Object missing required field `groupVersion`",
        ),
        (
            policy().replace("spec:", "status:"),
            "PropagationPolicy shop/web: spec: Required value",
        ),
        (
            override("{path: /a, operator: copy}"),
            "OverridePolicy shop/o: spec.overrideRules[0].overriders.plaintext[0].operator: ",
        ),
        (
            EXPORT.replace("ServiceExport", "GlobalTrafficPolicy").replace("rules", "lbType: Random, rules"),
            "GlobalTrafficPolicy shop/web: spec.lbType: ",
        ),
    ],
)
def test_a_field_that_means_nothing_is_named(text: str, error: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        read(text)
    assert str(caught.value).startswith(error)


def test_of_two_objects_of_one_name_the_later_counts() -> None:
    reading = read(EXPORT, EXPORT.replace("/web,", "/shop,"))
    [export] = reading.exports.values()
    assert export.export.rules[0].path == "/shop"


def test_an_object_without_a_namespace_is_in_the_given_one() -> None:
    reading = Reading()
    read_on(reading, objects(EXPORT.replace(", namespace: shop", "")), namespace="bank")
    assert list(reading.exports) == [ServiceKey(Dialect.FLOMESH, "bank", "web")]


def test_objects_that_towpath_derives_are_passed_over() -> None:
    ours = service(planned(CLUSTERS, SERVICE, EXPORT, policy())).objects
    reading = read(*map(manifest.dump, ours))
    assert not any((reading.policies, reading.overrides, reading.templates))


def test_an_export_of_another_api_group_is_skipped_with_a_note() -> None:
    plan = planned(CLUSTERS, SERVICE, EXPORT.replace("flomesh.io/v1alpha1", "multicluster.x-k8s.io/v1alpha1"))
    assert not plan.services
    assert plan.notes[0].startswith(
        "ServiceExport shop/web: Ignored, its API group 'multicluster.x-k8s.io' is not"
    )


def test_irrelevant_kinds_are_skipped_whatever_they_contain() -> None:
    assert (
        read(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A B, labels: 1}\ndata: {1: !!binary ''}"
        ).given
        == {}
    )


def in_karmada(*texts: str) -> list[Object]:
    """Return objects as an apiserver has them: each with a uid and the last applied configuration."""
    found = objects(*texts)
    for number, obj in enumerate(found):
        last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(obj)}
        meta = {"namespace": "shop", "uid": f"u{number}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        annotations = {**obj["metadata"].get("annotations", {}), **last}
        obj["metadata"] = {**meta, **obj["metadata"], "annotations": annotations}
    return found


def bound(kind: str, *clusters: str, uid: str) -> Object:
    """Return a binding of a template that all of its clusters have."""
    return {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {"name": f"web-{kind.lower()}", "namespace": "shop"},
        "spec": {
            "resource": {"apiVersion": "v1", "kind": kind, "name": "web", "uid": uid},
            "clusters": [{"name": name} for name in clusters],
        },
        "status": {"aggregatedStatus": [{"clusterName": name, "applied": True} for name in clusters]},
    }


def test_applying_over_a_live_object_keeps_the_fields_of_others() -> None:
    live = in_karmada(EXPORT.replace("shop}", "shop, labels: {mine: old, gone: soon}}"))
    live[0]["metadata"]["labels"]["karmada"] = "claims it"

    [obj] = read(EXPORT.replace("shop}", "shop, labels: {mine: new}}"), live=live).templates.values()

    assert obj["metadata"]["labels"] == {"mine": "new", "karmada": "claims it"}
    assert obj["metadata"]["uid"] == "u0"


def test_a_later_file_removes_fields_of_an_earlier_one() -> None:
    [obj] = read(EXPORT.replace("shop}", "shop, labels: {a: b}}"), EXPORT).templates.values()
    assert obj["metadata"]["labels"] == {}


def test_a_live_cluster_keeps_its_status_under_a_file() -> None:
    served = [{"groupVersion": "flomesh.io/v1alpha1", "resources": [{"kind": "ServiceImport"}]}]
    live = in_karmada(MEMBERS)
    live[0]["status"] = {"apiEnablements": served}

    reading = read(MEMBERS, live=live)

    assert reading.members["a"].imports == {Dialect.FLOMESH}
    assert reading.silent == {"b"}


GATEWAY_API, INGRESSES = "gateway.networking.k8s.io/v1", "networking.k8s.io/v1"


@pytest.mark.parametrize(
    ("asked", "served", "serves"),
    [
        ("HTTPRoute/infra/public", {GATEWAY_API: "HTTPRoute"}, True),
        ("HTTPRoute/infra/public", {GATEWAY_API: "Gateway", INGRESSES: "Ingress"}, False),
        ("HTTPRoute/infra/public", {"gateway.networking.k8s.io/v1beta1": "HTTPRoute"}, False),
        ("HTTPRoute/infra/public", {}, False),
        ("Ingress/public", {INGRESSES: "Ingress"}, True),
        ("Ingress/public", {GATEWAY_API: "HTTPRoute"}, False),
        ("", {GATEWAY_API: "Gateway"}, True),
    ],
)
def test_a_live_cluster_serves_its_routes(asked: str, served: Mapping[str, str], serves: bool) -> None:
    live = in_karmada(MEMBERS)
    live[0]["metadata"]["annotations"] = {"towpath.io/gateway-route": asked}
    enabled = [{"groupVersion": version, "resources": [{"kind": kind}]} for version, kind in served.items()]
    live[0]["status"] = {"apiEnablements": enabled}
    assert read_live(live).members["a"].serves_routes is serves


def test_a_live_cluster_without_status_gets_nothing() -> None:
    plan = planned(live=in_karmada(MEMBERS, SERVICE, EXPORT, policy()))
    assert exporters(plan) == ("a", "b")
    assert not service(plan).derived.views
    assert not [note for note in plan.notes if "apiEnablements" in note]


def test_an_unreadable_live_object_is_skipped_with_a_note() -> None:
    plan = planned(live=in_karmada(CLUSTERS, SERVICE, EXPORT.replace("80", "many")))
    assert not plan.services
    assert plan.notes[0].startswith("ServiceExport shop/web: spec.rules[0].portNumber: ")
    assert plan.notes[0].endswith("The object in Karmada is ignored.")


def test_an_object_that_is_being_deleted_is_gone() -> None:
    traffic = EXPORT.replace("ServiceExport", "GlobalTrafficPolicy")
    there = (MEMBERS, SERVICE, EXPORT, policy(), traffic)

    def without(obj: str) -> Plan:
        return planned(*there, obj.replace("name:", "deletionTimestamp: '2026-01-01T00:00:00Z', name:", 1))

    assert not without(EXPORT).services
    assert not without(traffic).traffic
    assert set(without(MEMBER_A).fleet.members) == {"b"}
    assert set(reasons(without(SERVICE)).values()) == {"ServiceBeingDeleted"}


# Objects to a plan


def test_a_service_is_exported_by_the_clusters_that_have_it() -> None:
    plan = planned(CLUSTERS, SERVICE, EXPORT, policy())
    assert exporters(plan) == ("a", "b")
    assert addresses(plan) == {"a": ["10.0.0.2:8080/web"], "b": ["10.0.0.1:80/web"]}
    assert [obj["kind"] for obj in service(plan).objects] == [
        "OverridePolicy",
        "PropagationPolicy",
        "ServiceImport",
    ]


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("{}", ("a", "b")),
        (only("a"), ("a",)),
        ("{clusterAffinity: {exclude: [a]}}", ("b",)),
        ("{clusterAffinity: {labelSelector: {matchLabels: {tier: front}}}}", ("a",)),
        (f"{{clusterAffinity: {{fieldSelector: {{matchExpressions: [{EU}]}}}}}}", ("a",)),
    ],
)
def test_a_policy_decides_where_a_service_is(placement: str, expected: tuple[str, ...]) -> None:
    assert exporters(planned(MEMBERS, SERVICE, EXPORT, policy(placement=placement))) == expected


def test_an_export_that_no_policy_selects_follows_its_service() -> None:
    plan = planned(CLUSTERS, SERVICE, EXPORT, policy("web", "Service", only("b")))
    assert exporters(plan) == ("b",)
    following = service(plan).objects[0]
    assert following["metadata"]["name"] == "towpath-export-web"
    assert following["spec"]["placement"]["clusterAffinity"]["clusterNames"] == ["b"]


def test_a_clusters_own_overrides_count() -> None:
    other = override("{path: /spec/rules/0/path, operator: replace, value: /b}", clusters="b")
    plan = planned(CLUSTERS, SERVICE, EXPORT, policy(), other)
    assert addresses(plan) == {"a": ["10.0.0.2:8080/b"], "b": ["10.0.0.1:80/web"]}


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ("{path: /spec/rules/0/portNumber, operator: replace, value: x}", "spec.rules[0].portNumber: "),
        ("{path: /kind, operator: replace, value: ConfigMap}", "Not a ServiceExport any more."),
        ("{path: /metadata/name, operator: replace, value: A B}", "metadata.name: Must consist of"),
        ("{path: /metadata/name, operator: remove}", "Not a Kubernetes object. Set apiVersion, kind and"),
    ],
)
def test_an_override_that_makes_what_no_apiserver_takes_is_noted(patch: str, text: str) -> None:
    plan = planned(CLUSTERS, SERVICE, EXPORT, policy(), override(patch, clusters="b", kind="ServiceExport"))
    (note,) = plan.notes[1:]
    assert text in note
    assert note.endswith(" An OverridePolicy causes this in cluster b, which refuses the object.")
    assert addresses(plan) == addresses(planned(CLUSTERS, SERVICE, EXPORT, policy()))


@pytest.mark.parametrize(
    ("names", "text"), [(1, "in cluster c0,"), (2, "in clusters c0, c1,"), (9, "and 4 more,")]
)
def test_equal_notes_of_clusters_are_written_once(names: int, text: str) -> None:
    many = [CLUSTER_A.replace("name: a", f"name: c{n}").replace(".1", f".{n + 1}") for n in range(names)]
    bad = override("{path: /spec/none/of, operator: remove}")
    (note,) = [
        note for note in planned(*many, SERVICE, EXPORT, policy(), bad).notes if "OverridePolicy" in note
    ]
    assert text in note
    assert note.endswith(" and reports it in events only.")


NOTES = [
    ((SERVICE, EXPORT), "No cluster is given. Add Clusters to the files, or use --clusters FILE."),
    ((CLUSTERS,), "No Karmada Cluster is given. The flomesh Clusters are used as members"),
    ((MEMBERS,), "a, b: status.apiEnablements: Missing. Both API groups count as served."),
    (
        (MEMBERS, CLUSTERS.replace("name: b", "name: c")),
        "Cluster c (flomesh.io): Karmada has no member cluster with this name.",
    ),
    ((CLUSTERS, EXPORT), "Service shop/web: Not found, so no cluster can export it."),
    (
        (CLUSTERS, SERVICE, EXPORT),
        "Service shop/web: No policy selects the object, so Karmada does not propagate it.",
    ),
    (
        (CLUSTERS, SERVICE, EXPORT, policy(placement="{spreadConstraints: [{minGroups: 1}]}")),
        "PropagationPolicy shop/web: spreadConstraints: Karmada's scheduler",
    ),
    (
        (CLUSTERS, SERVICE, EXPORT, policy(), policy(kinds="Service")),
        "PropagationPolicy shop/web: The policy was applied again and no longer selects ServiceExport",
    ),
    (
        (
            CLUSTERS,
            SERVICE.replace("shop}", "shop, labels: {resourcetemplate.karmada.io/claimed-by: x}}"),
            EXPORT,
        ),
        "Service shop/web: Karmada ignores the object because of its label",
    ),
]


@pytest.mark.parametrize(("texts", "note"), NOTES, ids=[note[:40] for _, note in NOTES])
def test_an_unknown_result_is_reported(texts: Sequence[str], note: str) -> None:
    assert [line for line in planned(*texts).notes if line.startswith(note)]


def test_where_all_is_known_nothing_is_noted() -> None:
    members = in_karmada(MEMBERS)
    for obj in members:
        enabled = {"groupVersion": "flomesh.io/v1alpha1", "resources": [{"kind": "ServiceImport"}]}
        obj["status"] = {"apiEnablements": [enabled]}
    assert planned(SERVICE, EXPORT, policy(), live=members).notes == ()


def test_of_two_flomesh_clusters_the_plugins_choice_counts() -> None:
    other = CLUSTERS.replace("flomesh.io", "multicluster.flomesh.io").replace("10.0.0", "10.9.9")
    assert addresses(planned(CLUSTERS, other, SERVICE, EXPORT, policy()))["b"] == ["10.0.0.1:80/web"]
    assert addresses(planned(other, CLUSTERS, SERVICE, EXPORT, policy()))["b"] == ["10.0.0.1:80/web"]


def test_a_gateways_name_is_what_it_is_resolved_to() -> None:
    named = CLUSTERS.replace("10.0.0.1", "gw.example.test")
    plan = planned(named, SERVICE, EXPORT, policy())
    assert reasons(plan) == {"a": "GatewayUnresolved"}
    plan = planned(named, SERVICE, EXPORT, policy(), resolved={"gw.example.test": "10.7.7.7"})
    assert addresses(plan)["b"] == ["10.7.7.7:80/web"]


LOST = "conditions: [{type: Ready, status: 'False', lastTransitionTime: '1970-01-01T00:00:00Z'}]"


@pytest.mark.parametrize(("now", "expected"), [(299.0, ("a", "b")), (300.0, ("b",))])
def test_a_lost_cluster_is_withdrawn_in_time(now: float, expected: tuple[str, ...]) -> None:
    members = MEMBERS.replace("region: eu}", f"region: eu}}\nstatus: {{{LOST}}}")
    assert exporters(planned(members, SERVICE, EXPORT, policy(), now=now)) == expected


# On top of what a Karmada has


def running(*texts: str, service: str = "a b", export: str = "a b") -> list[Object]:
    """Return the objects of a Karmada that has bound the Service and the export to these clusters."""
    there = in_karmada(MEMBERS, SERVICE, EXPORT, *texts)
    of_service = bound("Service", *service.split(), uid="u2")
    return [*there, of_service, bound("ServiceExport", *export.split(), uid="u3")]


def test_a_live_binding_counts_unless_a_file_changes_it() -> None:
    spread = policy(placement="{spreadConstraints: [{minGroups: 1}]}")
    live = running(spread, service="a")

    for plan in (planned(live=live), planned(SERVICE, EXPORT, spread, live=live)):
        assert exporters(plan) == ("a",)
        assert not [note for note in plan.notes if "spreadConstraints" in note]
    assert exporters(planned(policy(), live=live)) == ("a", "b")


def test_a_members_report_counts_until_a_file_changes_it() -> None:
    live = running(policy())
    invalid = {"type": "Valid", "status": "False", "message": "the path is taken"}
    copy = {"clusterName": "b", "applied": True, "status": {"conditions": [invalid]}}
    live[-1]["status"]["aggregatedStatus"][1] = copy

    assert reasons(planned(live=live)) == {"b": "RefusedInMember"}
    assert reasons(planned(EXPORT, live=live)) == {"b": "RefusedInMember"}
    assert exporters(planned(EXPORT.replace("/web", "/shop"), live=live)) == ("a", "b")


SUSPENDED = "suspension: {dispatchingOnClusters: {clusterNames: [b]}}"
REFUSED = {"clusterName": "b", "applied": False, "appliedMessage": "provided port is already allocated"}


def test_a_suspended_cluster_does_not_export() -> None:
    """The case 02: dispatching is suspended from the first day, so the objects have never been there."""
    plan = planned(MEMBERS, SERVICE, EXPORT, policy(placement=only("a", "b"), more=f", {SUSPENDED}"))

    assert (exporters(plan), reasons(plan)) == (("a",), {"b": "Suspended"})


@pytest.mark.parametrize("had", [True, False])
def test_a_cluster_that_refuses_the_service_exports_what_it_had(had: bool) -> None:
    """The case 07: a nodePort is taken."""
    live = running(policy())
    live[-2]["status"]["aggregatedStatus"][1] = REFUSED
    had_before = planned(MEMBERS, SERVICE, EXPORT, policy()).services[0].rendered.objects if had else ()
    there = [*live, *map(dict, had_before)]

    plan = planned(live=there)
    assert exporters(plan) == (("a", "b") if had else ("a",))
    assert reasons(plan) == ({} if had else {"b": "ApplyFailed"})


def test_a_binding_of_another_object_of_that_name_is_not_taken() -> None:
    there = in_karmada(MEMBERS, SERVICE, EXPORT, policy(placement=only("b")))
    live = [*there, bound("Service", "a", uid="other")]
    assert exporters(planned(live=live)) == ("b",)


def test_a_cluster_from_a_file_is_placed_upon() -> None:
    live = running(policy())
    new = MEMBER_B.replace("name: b", "name: c").replace("0.2", "0.3")
    assert exporters(planned(new, live=live)) == ("a", "b", "c")


def test_a_template_stays_with_the_policy_that_claimed_it() -> None:
    live = in_karmada(MEMBERS, SERVICE, EXPORT, policy(placement=only("a")))
    for obj in live[2:4]:
        claim = {
            "propagationpolicy.karmada.io/namespace": "shop",
            "propagationpolicy.karmada.io/name": "web",
        }
        obj["metadata"]["annotations"].update(claim)
    better = policy("another", placement=only("b"), more=", priority: 9")
    assert exporters(planned(SERVICE, EXPORT, better, live=live)) == ("a",)


def test_a_live_policy_that_no_longer_selects_is_noted() -> None:
    live = running(policy())
    plan = planned(policy(kinds="ServiceExport"), live=live)
    assert exporters(plan) == ("a", "b")
    assert [note for note in plan.notes if "no longer selects Service shop/web" in note]


def test_a_path_that_a_file_leaves_is_free() -> None:
    """A plan is what comes of it: the running plugin removes the record."""
    waiting = [text.replace("web", "api", 1) for text in (SERVICE, EXPORT)]
    live = running(policy(), *waiting)
    claim = {"path": "/web", "pathType": "Prefix", "since": "2026-01-01T00:00:00Z", "clusters": ["a", "b"]}
    live[3]["status"] = {"claims": [claim]}
    also = policy("api").replace("name: web", "name: api")
    found = {
        text: [set(service.derived.exporters) for service in planned(text, also, live=live).services]
        for text in (EXPORT, EXPORT.replace("/web", "/elsewhere"))
    }

    assert list(found.values()) == [[set(), {"a", "b"}], [{"a", "b"}, {"a", "b"}]]


# A plan as one document


def test_a_document_says_all_there_is() -> None:
    gtp = EXPORT.replace("ServiceExport", "GlobalTrafficPolicy").replace(
        "rules:", "lbType: FailOver, targets:"
    )
    gtp = gtp.replace("[{portNumber: 80, path: /web, pathType: Prefix}]", "[]")
    plan = planned(CLUSTERS, SERVICE, EXPORT, policy(placement=only("a")), gtp)
    document = result.document(plan)

    assert [(m["gatewayHost"], m["gatewayPort"]) for m in document["clusters"]] == [
        ("10.0.0.1", 80),
        ("10.0.0.2", 8080),
    ]
    [service] = document["services"]
    assert ([e["cluster"] for e in service["exporters"]], list(service["imports"])) == (["a"], ["b"])
    assert [(i["cluster"], i["reason"]) for i in service["notImporting"]] == [("a", "OnlyExporter")]
    assert [c["type"] for c in service["conditions"]] == ["Valid", "Conflict"]
    assert [obj["kind"] for obj in service["objects"]] == ["PropagationPolicy", "ServiceImport"]
    [traffic] = document["trafficPolicies"]
    assert traffic["clusters"] == ["b"]
    assert traffic["errors"][0]["reason"] == "FailOverTargets"
    assert plan.refusals[0].startswith(
        "GlobalTrafficPolicy shop/web (flomesh.io): spec.targets: FailOver needs"
    )
    assert document["notes"] == list(plan.notes)


def test_a_view_that_karmada_cannot_carry_is_refused() -> None:
    path = "/" + "x" * 300_000
    plan = planned(CLUSTERS, SERVICE, EXPORT.replace("/web", path), policy())
    assert not service(plan).objects
    assert plan.refusals[0].startswith("ServiceExport shop/web (flomesh.io): ")


def test_the_same_files_give_the_same_plan() -> None:
    texts = (CLUSTERS, MEMBERS, SERVICE, EXPORT, policy(), override("{path: /a, operator: remove}"))
    first, second = (manifest.dump(result.document(planned(*texts))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("", ""),
        ("a", "a"),
        ("b a", "a, b"),
        ("f e d c b a", "a, b, c, d, e, f"),
        ("g f e d c b a", "a, b, c, d, e and 2 more"),
    ],
)
def test_several_names_are_shortened(names: str, text: str) -> None:
    assert several(names.split()) == text


# What would change

OWN = {"manager": "towpath", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}


def fields(value: object) -> Object:
    return {f"f:{key}": fields(inner) for key, inner in value.items()} if isinstance(value, Mapping) else {}


def written(plan: Plan) -> list[Object]:
    """Return a plan's objects as an apiserver has them once they are written, its fields sorted."""
    found = [obj for service in plan.services for obj in service.objects]
    found += [traffic.following for traffic in plan.traffic if traffic.following]
    live = [json.loads(json.dumps(obj, sort_keys=True)) for obj in found]
    for obj in live:
        owned = fields({key: obj[key] for key in ("spec",)}) | {
            "f:metadata": fields({k: v for k, v in obj["metadata"].items() if k in {"labels", "annotations"}})
        }
        obj["metadata"] |= {"uid": "x", "resourceVersion": "1", "managedFields": [{**OWN, "fieldsV1": owned}]}
        obj["status"] = {"theirs": "not ours"}
    return live


def changed(plan: Plan, live: Iterable[Object]) -> dict[str, tuple[list[str], list[str]]]:
    """Return by object the lines that are removed and added."""
    found = {}
    for text in difference(plan, live):
        head, _, *lines = text.splitlines()
        gone, come = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
        found[head.removeprefix("--- live: ")] = (gone, come)
    return found


BEFORE = (CLUSTERS, SERVICE, EXPORT, policy())


def test_without_anything_there_all_is_new() -> None:
    shown = changed(planned(*BEFORE), [])
    names = "OverridePolicy shop/towpath-import-web", "PropagationPolicy shop/towpath-import-web"
    assert list(shown) == [*names, "ServiceImport shop/web"]
    assert not any(gone for gone, _ in shown.values())


def test_an_object_without_difference_is_not_shown() -> None:
    assert not difference(planned(*BEFORE), written(planned(*BEFORE)))


def test_only_what_differs_is_shown() -> None:
    after = planned(*BEFORE[:-1], policy(placement=only("a")))
    assert changed(after, written(planned(*BEFORE)))["PropagationPolicy shop/towpath-import-web"] == (
        ["- a"],
        [],
    )
    moved = planned(CLUSTERS.replace("10.0.0.2", "10.0.0.9"), *BEFORE[1:])
    shown = changed(moved, written(planned(*BEFORE)))
    gone, come = shown["ServiceImport shop/web"]
    assert [line for line in gone if "view" not in line] == ["host: 10.0.0.2", "ip: 10.0.0.2"]
    assert [line for line in come if "view" not in line] == ["host: 10.0.0.9", "ip: 10.0.0.9"]


def test_without_importers_only_the_import_goes() -> None:
    after = planned(CLUSTERS, SERVICE.replace("80", "81"), EXPORT, policy())
    assert list(changed(after, written(planned(*BEFORE)))) == ["ServiceImport shop/web"]


def test_an_override_that_is_not_needed_any_more_goes() -> None:
    live = written(planned(*BEFORE))
    after = planned(*BEFORE[:-1], policy(placement="{clusterAffinity: {exclude: [a, b]}}"))
    assert list(changed(after, live)) == ["ServiceImport shop/web"]
    third = CLUSTER_A.replace("name: a", "name: c").replace("0.1", "0.3")
    many = planned(third, *BEFORE[:-1], policy(placement=only("c")))
    gone, come = changed(many, live)["OverridePolicy shop/towpath-import-web"]
    assert gone
    assert not come


def test_a_follow_policy_goes_when_a_user_selects_the_export() -> None:
    live = written(planned(*BEFORE[:-1], policy(kinds="Service")))
    gone, come = changed(planned(*BEFORE), live)["PropagationPolicy shop/towpath-export-web"]
    assert gone
    assert not come


def test_a_field_of_towpath_that_is_wanted_no_more_is_shown() -> None:
    account = EXPORT.replace("{rules", "{serviceAccountName: x, rules")
    live = written(planned(CLUSTERS, SERVICE, account, policy()))
    gone, _ = changed(planned(*BEFORE), live)["ServiceImport shop/web"]
    assert "serviceAccountName: x" in gone


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"overrideRules": [{}]},
        {"overrideRules": [{"targetCluster": {}}]},
        {"overrideRules": [{"targetCluster": {"clusterNames": [1]}}]},
    ],
)
def test_a_policy_of_towpath_that_was_edited_is_put_right(spec: Object) -> None:
    live = written(planned(*BEFORE))
    live[0]["spec"] = spec
    assert list(changed(planned(*BEFORE), live)) == ["OverridePolicy shop/towpath-import-web"]


def test_namespaced_paths_of_the_installation_count_in_a_plan() -> None:
    marker = """
apiVersion: v1
kind: ConfigMap
metadata: {name: towpath, namespace: karmada-system}
data: {paths: namespaced}
"""
    within = EXPORT.replace("/web", "/shop/web")
    assert exporters(planned(marker, CLUSTERS, SERVICE, within, policy()))
    left_out = service(planned(marker, CLUSTERS, SERVICE, EXPORT, policy())).derived.excluded
    assert {why.reason.value for why in left_out.values()} == {"PathOutsideNamespace"}


def test_a_foreign_import_is_left_alone_with_a_note() -> None:
    live = written(planned(*BEFORE))
    for obj in live:
        obj["metadata"]["labels"] = {"made": "by hand"}
    [theirs] = [obj for obj in live if obj["kind"] == "ServiceImport"]
    after = planned(CLUSTERS, SERVICE, EXPORT.replace("/web", "/x"), policy())
    assert not difference(after, [theirs])
    assert obstacles(after, [theirs])[0].startswith(
        "ServiceImport shop/web (flomesh.io): Not created by Towpath"
    )
    assert not obstacles(after, [])
