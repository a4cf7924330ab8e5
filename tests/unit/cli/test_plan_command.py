"""``towpath plan`` as users type it: what it prints, how it ends, and what it says of what is wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.cli import TOWPATH, assert_one_line, towpath

CLUSTERS = """
apiVersion: flomesh.io/v1alpha1
kind: Cluster
metadata: {name: a}
spec: {gatewayHost: 10.0.0.1}
---
apiVersion: flomesh.io/v1alpha1
kind: Cluster
metadata: {name: b}
spec: {gatewayHost: gw.example.test}
"""
SHOP = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: v1, kind: Service, name: web}]
  placement: {clusterAffinity: {clusterNames: [a]}}
"""
EXPORT = """
apiVersion: flomesh.io/v1alpha1
kind: ServiceExport
metadata: {name: web, namespace: shop}
spec: {rules: [{portNumber: 80, path: /web, pathType: Prefix}]}
"""
TRAFFIC = """
apiVersion: flomesh.io/v1alpha1
kind: GlobalTrafficPolicy
metadata: {name: web, namespace: shop}
spec: {lbType: FailOver}
"""
RESOLVED = ("--resolve", "gw.example.test=10.0.0.2")
TABLE = """\
member   cluster key                 gateway              imports
a        default/default/default/a   10.0.0.1:80          flomesh.io, multicluster.flomesh.io
b        default/default/default/b   gw.example.test:80   flomesh.io, multicluster.flomesh.io

shop/web (flomesh.io)

exported by   cluster key
a             default/default/default/a

imported by   port          from                        address
b             80/TCP http   default/default/default/a   10.0.0.1:80/web

not imported by   reason
a                 OnlyExporter   The cluster is the only one that exports the service.

would write PropagationPolicy towpath-export-web, PropagationPolicy towpath-import-web, ServiceImport web

note: No Karmada Cluster is given. The flomesh Clusters are used as members of both API groups.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "10-clusters.yaml").write_text(CLUSTERS)
    (tmp_path / "20-shop.yml").write_text(SHOP)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "export.json").write_text(json.dumps(yaml.safe_load(EXPORT)))
    (tmp_path / "README.md").write_text("no manifest")
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "ci.yaml").write_text("on: push")
    return tmp_path


def write(path: Path, *texts: str) -> Path:
    path.write_text("---\n".join(texts))
    return path


def piped(stdin: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return towpath("plan", *args, stdin=stdin)


def test_a_folder_is_shown_as_tables(folder: Path) -> None:
    done = towpath("plan", "-f", folder, *RESOLVED)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == TABLE


def test_files_and_stdin_are_one_plan(folder: Path) -> None:
    files = ("-f", folder / "10-clusters.yaml", "-f", "-", "-f", folder / "sub" / "export.json")
    assert piped(SHOP, *files, *RESOLVED).stdout == TABLE


def test_objects_that_name_no_namespace_are_in_the_one_given(folder: Path) -> None:
    text = (SHOP + "---" + EXPORT).replace(", namespace: shop", "")
    done = piped(text, "-f", folder / "10-clusters.yaml", "-f", "-", "-n", "shop", *RESOLVED)
    assert done.stdout == TABLE


def test_yaml_and_json_say_the_same_and_always_the_same(folder: Path) -> None:
    as_yaml, again, as_json = (
        towpath("plan", "-f", folder, *RESOLVED, "-o", form) for form in ("yaml", "yaml", "json")
    )
    assert {done.returncode for done in (as_yaml, again, as_json)} == {0}
    assert as_yaml.stdout == again.stdout
    document = json.loads(as_json.stdout)
    assert yaml.safe_load(as_yaml.stdout) == document
    assert document["services"][0]["imports"]["b"]["spec"]["ports"][0]["endpoints"][0]["target"] == {
        "host": "10.0.0.1",
        "ip": "10.0.0.1",
        "port": 80,
        "path": "/web",
    }


def test_other_clusters_take_the_place_of_those_in_the_files(folder: Path, tmp_path: Path) -> None:
    others = CLUSTERS.replace("name: b", "name: c")
    clusters = write(tmp_path / "others.txt", others, EXPORT.replace("web", "ignored"))
    done = towpath("plan", "-f", folder, "--clusters", clusters, *RESOLVED, "-o", "json")
    document = json.loads(done.stdout)
    assert [member["name"] for member in document["clusters"]] == ["a", "c"]
    assert len(document["services"]) == 1


@pytest.mark.parametrize(
    ("at", "expected"), [("1970-01-01T00:04:59Z", ["a", "b"]), ("1970-01-01T00:05Z", ["b"])]
)
def test_a_plan_may_be_made_for_another_time(at: str, expected: list[str]) -> None:
    lost = "[{type: Ready, status: 'False', lastTransitionTime: '1970-01-01T00:00:00Z'}]"
    members = [
        "apiVersion: cluster.karmada.io/v1alpha1\nkind: Cluster\n"
        f"metadata: {{name: {name}, annotations: {{towpath.io/gateway: 10.0.0.{number}}}}}\n"
        f"status: {{conditions: {lost if name == 'a' else []}}}\n"
        for number, name in enumerate("ab", 1)
    ]
    shop = SHOP.replace("clusterNames: [a]", "exclude: []")
    done = piped("---\n".join([*members, shop, EXPORT]), "-f", "-", "--at", at, "-o", "json")
    exporters = json.loads(done.stdout)["services"][0]["exporters"]
    assert [exporter["cluster"] for exporter in exporters] == expected


def test_an_impossible_plan_is_an_error_in_every_format(folder: Path) -> None:
    write(folder / "traffic.yaml", TRAFFIC)
    for form in ("table", "yaml", "json"):
        done = towpath("plan", "-f", folder, *RESOLVED, "-o", form)
        assert_one_line(done, "GlobalTrafficPolicy shop/web: spec.targets: Required value: ", code=2)


def test_a_surprising_spec_is_a_warning(folder: Path) -> None:
    write(
        folder / "traffic.yaml", TRAFFIC.replace("FailOver", "ActiveActive, targets: [{clusterKey: d/d/d/x}]")
    )
    done = towpath("plan", "-f", folder, *RESOLVED)
    assert done.returncode == 0
    assert (
        "GlobalTrafficPolicy shop/web (flomesh.io): ActiveActive in b\nwarning: spec.targets[0]"
        in done.stdout
    )
    assert "\nwould write PropagationPolicy towpath-traffic-web\n" in done.stdout


def test_a_hundred_clusters_that_all_export_fit_on_a_screen(tmp_path: Path) -> None:
    cluster = CLUSTERS.split("---", maxsplit=1)[0]
    clusters = [
        cluster.replace("name: a", f"name: c{n:02}").replace("10.0.0.1", f"10.0.{n}.1") for n in range(100)
    ]
    everywhere = SHOP.replace("{clusterNames: [a]}", "{}")
    bad = """
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: o, namespace: shop}
spec: {overrideRules: [{overriders: {plaintext: [{path: /a/b, operator: remove}]}}]}
"""
    done = towpath("plan", "-f", write(tmp_path / "all.yaml", *clusters, everywhere, EXPORT, bad))

    lines = done.stdout.splitlines()
    assert lines[0] == "100 members: c00, c01, c02, c03, c04 and 95 more"
    assert lines[lines.index("c09           default/default/default/c09") + 1] == "and 90 more"
    [row] = [line for line in lines if "each without itself" in line]
    assert row.startswith("c00, c01, c02, c03, c04 and 95 more, each without itself   80/TCP http")
    assert len([line for line in lines if "in clusters c00, c01, c02, c03, c04 and 95 more," in line]) == 1
    assert len(lines) < 45


def test_a_cluster_that_sees_something_else_is_shown_for_itself(tmp_path: Path) -> None:
    cluster = CLUSTERS.split("---", maxsplit=1)[0]
    clusters = [cluster.replace("name: a", f"name: c{n}").replace(".1", f".{n + 1}") for n in range(8)]
    scope = """
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: o, namespace: shop}
spec:
  overrideRules:
  - targetCluster: {clusterNames: [c0]}
    overriders:
      plaintext: [{path: /spec/targetClusters, operator: add, value: [default/default/default/c1]}]
"""
    everywhere = SHOP.replace("{clusterNames: [a]}", "{}")
    done = towpath("plan", "-f", write(tmp_path / "all.yaml", *clusters, everywhere, EXPORT, scope))
    assert "\nc0, c1, each without itself" in done.stdout
    assert "\nc2  " in done.stdout


def test_nothing_in_a_file_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    evil = SHOP.replace("name: http", 'name: http, appProtocol: "\\e[31m\\nx"')
    assert evil != SHOP
    done = towpath("plan", "-f", write(tmp_path / "e.yaml", CLUSTERS, evil, EXPORT), *RESOLVED)
    assert r"80/TCP http, \x1b[31m\nx" in done.stdout
    assert "\x1b" not in done.stdout


def test_output_whose_encoding_lacks_a_character_is_no_error(tmp_path: Path) -> None:
    files = write(tmp_path / "e.yaml", CLUSTERS, SHOP, EXPORT.replace("/web", "/ü"))
    for form in ("table", "yaml", "json"):
        done = towpath("plan", "-f", files, *RESOLVED, "-o", form, env={"PYTHONIOENCODING": "ascii"})
        assert (done.returncode, done.stderr) == (0, "")
        assert "xfc" in done.stdout or "u00fc" in done.stdout


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (
            EXPORT.replace("80", "'80'"),
            '{file}: ServiceExport shop/web: spec.rules[0].portNumber: Invalid value: "',
        ),
        ("a: b: c", "{file}:1: Invalid YAML: mapping values are not allowed in this context"),
        (
            f"{EXPORT}---\nspec: {{}}\n",
            "{file}: document 2: Not a Kubernetes object. Set apiVersion, kind and metadata.name.",
        ),
        ("# nothing\n", "{file}: The input holds no object."),
        (b"\xff\xfe", "{file}: Not UTF-8 text (invalid start byte at byte 0)."),
        (
            'apiVersion: v1\nkind: Service\nmetadata: {name: "a\\nb\\e[31m"}\n',
            "{file}: Service 'a\\nb\\x1b[31m': metadata.name: Must consist of lower-case",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(
    content: str | bytes, error: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = towpath("plan", "-f", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: " + error.replace("{file}", str(file)))
    assert done.stderr.count("\n") == 1


def test_stdin_that_cannot_be_read_is_named_too() -> None:
    assert piped(EXPORT.replace("80", "x"), "-f", "-").stderr.startswith(
        "error: stdin: ServiceExport shop/web: "
    )
    assert piped("", "-f", "-").stderr == "error: stdin: The input holds no object.\n"
    assert piped("", "-f", "-").returncode == 2


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        ([], 2, "Nothing to plan. Give manifests with -f, or a live Karmada with --kubeconfig."),
        (["-f", "{tmp}/none.yaml"], 2, "{tmp}/none.yaml: No such file or directory"),
        (["-f", "{tmp}/empty"], 2, "{tmp}/empty: The folder holds no .json, .yaml, .yml file."),
        (["-f", ""], 2, "-f and --clusters: The name of a file is empty."),
        (["-f", "-", "-f", "-"], 2, "-f and --clusters: stdin is named more than once."),
        (
            ["-f", "{tmp}/ok.yaml", "--clusters", "{tmp}/ok.yaml"],
            2,
            "{tmp}/ok.yaml: The input holds no Cluster, neither",
        ),
        (
            ["-f", "{tmp}/ok.yaml", "--at", "noon"],
            2,
            "--at: Invalid value 'noon'. Write a time such as 2026-01-31T12:00:00Z.",
        ),
        (
            ["-f", "{tmp}/ok.yaml", "--at", "9999-12-31T23:59:59-12:00"],
            2,
            "--at: Invalid value '9999-12-31T23:59:59-12:00'. ",
        ),
        (
            ["-f", "{tmp}/ok.yaml", "--resolve", "a=b"],
            2,
            "--resolve: Invalid value 'a=b'. Write NAME=IP with an IPv4 address.",
        ),
        (
            ["-f", "{tmp}/ok.yaml", "--resolve", "=10.0.0.1"],
            2,
            "--resolve: Invalid value '=10.0.0.1'. Write NAME=IP",
        ),
        (
            ["-f", "{tmp}/ok.yaml", "-n", "A"],
            2,
            "--namespace: Invalid value 'A': must be the name of a namespace.",
        ),
        (
            ["-f", "{tmp}/ok.yaml", "-o", "diff"],
            2,
            "--kubeconfig: Required for a live Karmada. Set it, or the",
        ),
        (["-f", "{tmp}/ok.yaml", "-o", "diff", "--offline"], 2, "-o diff: A diff needs a live Karmada."),
        (
            ["-f", "{tmp}/ok.yaml", "--kubeconfig", "{tmp}/no"],
            2,
            "kubeconfig {tmp}/no: No such file",
        ),
        (["--against-live", "--kubeconfig", "{tmp}/no"], 2, "kubeconfig {tmp}/no: No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_that_mean_nothing_are_one_line(
    args: list[str], code: int, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "ok.yaml", SHOP)
    done = towpath("plan", *(arg.replace("{tmp}", str(tmp_path)) for arg in args))
    assert_one_line(done, f"error: {error}".replace("{tmp}", str(tmp_path)), code=code)
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_stdin_is_reported() -> None:
    command = " ".join([*TOWPATH, "plan", "-f", "-", "<&-"])
    done = subprocess.run(["sh", "-c", command], text=True, capture_output=True, check=False)
    assert_one_line(done, "stdin is closed", code=2)


def test_output_without_reader_is_no_error(folder: Path) -> None:
    with subprocess.Popen(
        [*TOWPATH, "plan", "-f", folder, *RESOLVED, "-o", "yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        command.stdout.close()
        assert command.stderr is not None
        assert "Traceback" not in command.stderr.read()
