"""The chart, by the real helm and a real apiserver: what it renders, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.conftest import Plane
from tests.support import helm, kustomize
from tests.support.checkout import TOP
from tests.support.helm import CHART
from towpath import __version__

ADMIN = "--set=karmada.adminKubeconfig.secretName=karmada-kubeconfig"
ALL = (
    ADMIN,
    "--set=paths=namespaced",
    "--set=dataPath.enabled=true",
    "--set=plugin.prometheus.url=https://prometheus.monitoring.svc:9090/prometheus",
    "--set=plugin.prometheus.clusterLabel=member",
    "--set=plugin.prometheus.token.secretName=prometheus-token",
    "--set=plugin.prometheus.ca.secretName=prometheus-ca",
    "--set=metrics.serviceMonitor.enabled=true",
    "--set=metrics.rules.enabled=true",
    "--set=metrics.dashboard.enabled=true",
    "--set=webhook.service.type=NodePort",
    "--set=webhook.service.nodePort=30443",
    "--set=webhook.failurePolicy=Ignore",
    "--set=page.enabled=true",
    "--set=page.token.secretName=page-token",
    "--set=page.tls.secretName=page-tls",
    "--set=page.clientCa.secretName=viewers",
    "--set=network.policy.pageFrom[0].namespaceSelector.matchLabels.name=ingress",
    "--set=image.pullSecrets[0].name=registry",
    "--set=tolerations[0].operator=Exists",
    "--set=nodeSelector.disk=ssd",
    "--set=podAnnotations.a=b",
    "--set=podLabels.c=d",
    "--set=network.policy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
)
OPERATORS = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, whose CRDs are not in the plane."""


def objects(*arguments: str, namespace: str = "karmada-system") -> list[dict[str, Any]]:
    return [obj for obj in yaml.safe_load_all(helm.template(*arguments, namespace=namespace)) if obj]


def of_kind(kind: str, *arguments: str) -> list[dict[str, Any]]:
    return [obj for obj in objects(*arguments) if obj["kind"] == kind]


def pod_specs(*arguments: str) -> dict[str, dict[str, Any]]:
    return {
        obj["metadata"]["name"]: obj["spec"]["template"]["spec"]
        for obj in objects(*arguments)
        if obj["kind"] in {"Deployment", "Job"}
    }


def test_the_chart_has_the_version_of_towpath() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_lint_finds_nothing() -> None:
    done = helm.run("lint", "--strict", CHART, ADMIN)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 chart(s) failed" in done.stdout


@pytest.mark.parametrize("arguments", [(ADMIN,), ALL], ids=["defaults", "everything"])
def test_an_apiserver_accepts_every_object(plane: Plane, arguments: tuple[str, ...]) -> None:
    made = [obj for obj in objects(*arguments, namespace="default") if obj["kind"] not in OPERATORS]
    manifest = yaml.safe_dump_all(made)

    done = plane.kubectl(
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "-f-",
        stdin=manifest,
        member="cluster-1",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert len(done.stdout.splitlines()) == len(made)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("plugin.replicas=0", "/plugin/replicas"),
        ("plugin.replicas=many", "/plugin/replicas"),
        ("webhook.url=http://towpath:8443", "/webhook/url"),
        ("webhook.interpreter=go", "/webhook/interpreter"),
        ("webhook.service.port=70000", "/webhook/service/port"),
        ("image.digest=latest", "/image/digest"),
        ("plugin.replica=3", "replica"),
        ("metrics.serviceMonitor.interval=often", "/metrics/serviceMonitor/interval"),
        ("karmada.adminKubeconfig.secretName=", "karmada.adminKubeconfig.secretName: Required value."),
        ("hooks.install=false", "karmada.credentials.secretName: Required value"),
        ("page.enabled=true", "page.token.secretName: Required value."),
        ("page.clientCa.secretName=viewers", "page.tls.secretName: Required value"),
        ("page.service.port=0", "/page/service/port"),
        ("plugin.prometheus.url=prometheus:9090", "/plugin/prometheus/url"),
        ("plugin.prometheus.url=https://me:secret@prometheus", "/plugin/prometheus/url"),
        ("plugin.prometheus.clusterLabel=a-b", "/plugin/prometheus/clusterLabel"),
        (
            "plugin.prometheus.ca.secretName=ca",
            "plugin.prometheus.ca.secretName: plugin.prometheus.url has no",
        ),
        (
            "plugin.prometheus.url=http://prometheus,plugin.prometheus.token.secretName=token",
            "plugin.prometheus.token.secretName: plugin.prometheus.url has no TLS.",
        ),
        ("webhook.service.nodePort=30443", "webhook.service.nodePort: A Service of type ClusterIP"),
        ("paths=own", "/paths"),
        ("webhook.enabled=false,webhook.url=https://a:1", "webhook.url: The webhook is disabled."),
        (
            "webhook.enabled=false,webhook.failurePolicy=Fail",
            "webhook.failurePolicy: The webhook is disabled.",
        ),
        (f"image.tag=v1,image.digest=sha256:{'0' * 64}", "image.tag: The image is that of image.digest."),
    ],
)
def test_a_bad_value_is_refused_by_its_path(argument: str, message: str) -> None:
    done = helm.run("template", "towpath", CHART, ADMIN, f"--set={argument}")

    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dataPath.enabled=true", "dataPath.enabled: The install hook installs the data path"),
        ("paths=namespaced", "paths: The install hook sets it"),
    ],
)
def test_what_the_install_hook_does_needs_the_hook(argument: str, message: str) -> None:
    given = ("--set=karmada.credentials.secretName=given", f"--set={argument}")
    done = helm.run("template", "towpath", CHART, *given)

    assert done.returncode != 0
    assert message in done.stderr


def test_without_a_value_an_installation_keeps_its_paths() -> None:
    jobs = {job["metadata"]["name"]: job for job in of_kind("Job", ADMIN)}
    args = jobs["towpath-install"]["spec"]["template"]["spec"]["containers"][0]["args"]

    assert not [argument for argument in args if argument.startswith("--paths")]


def test_pods_have_no_rights_on_their_node() -> None:
    specs = pod_specs(*ALL)
    assert len(specs) == 6
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_processes_see_their_own_credentials_only() -> None:
    specs = pod_specs(*ALL)
    for part in ("plugin", "webhook"):
        spec = specs[f"towpath-{part}"]
        assert spec["automountServiceAccountToken"] is False
        secrets = {
            volume["name"]: volume["secret"]["items"] for volume in spec["volumes"] if "secret" in volume
        }
        keys = {item["key"] for item in secrets.pop("credentials")}
        assert keys == {f"{part}.kubeconfig", f"{part}.crt", f"{part}.key", "plugin-ca.crt"}
        assert secrets.keys() == ({"prometheus-token", "prometheus-ca"} if part == "plugin" else set())


@pytest.mark.parametrize(
    ("part", "options"),
    [
        ("page", {"--token-file", "--tls-cert", "--client-ca"}),
        ("plugin", {"--prometheus", "--prometheus-token-file", "--prometheus-ca"}),
    ],
)
def test_a_pod_has_what_its_options_name(part: str, options: set[str]) -> None:
    spec = pod_specs(*ALL)[f"towpath-{part}"]
    assert spec["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    items = {
        v["name"]: [i["path"] for i in v["secret"].get("items", [])] for v in spec["volumes"] if "secret" in v
    }
    there = {f"{path}/{file}" for path, name in mounted.items() for file in items.get(name, [])}
    named = {value for arg in container["args"] if (value := arg.partition("=")[2]).startswith("/")}
    assert named == there
    assert {option.partition("=")[0] for option in container["args"]} >= options


def test_the_plugin_asks_no_prometheus_by_default() -> None:
    given = {
        spec: pod_specs(ADMIN, *spec)["towpath-plugin"]["containers"][0]["args"] for spec in ((), ALL[1:])
    }
    assert not [argument for argument in given[()] if "prometheus" in argument]
    assert "--prometheus=https://prometheus.monitoring.svc:9090/prometheus" in given[ALL[1:]]
    assert "--prometheus-cluster-label=member" in given[ALL[1:]]


def test_without_a_page_nothing_of_it_is_made() -> None:
    assert not [obj["metadata"]["name"] for obj in objects(ADMIN) if "page" in obj["metadata"]["name"]]


def test_hooks_run_the_commands_of_towpath() -> None:
    jobs = {job["metadata"]["name"]: job for job in of_kind("Job", *ALL)}
    ran = {
        name: (
            job["metadata"]["annotations"]["helm.sh/hook"],
            job["spec"]["template"]["spec"]["containers"][0]["args"],
        )
        for name, job in jobs.items()
    }
    secret = "karmada-system/towpath-credentials"
    admin = "--kubeconfig=/admin/kubeconfig"

    assert ran == {
        "towpath-install": (
            "pre-install,pre-upgrade,pre-rollback",
            [
                *("install", "--registration=keep", f"--write-secret={secret}"),
                *("--plugin-host=towpath-plugin.karmada-system.svc", "--data-path"),
                *(f"--image=docker.io/towpath/towpath:{__version__}", "--paths=namespaced", admin),
            ],
        ),
        "towpath-register": (
            "post-install,post-upgrade,post-rollback",
            [
                *("install", "--webhook-url=https://towpath-webhook.karmada-system.svc.cluster.local:443"),
                *("--interpreter=webhook", "--failure-policy=Ignore", admin),
            ],
        ),
        "towpath-uninstall": ("pre-delete", ["uninstall", f"--delete-secret={secret}", admin]),
    }


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ((), "towpath-webhook.karmada-system.svc.cluster.local"),
        (("--set=webhook.url=https://10.0.2.5:30443",), "10.0.2.5"),
    ],
    ids=["its Service", "a URL"],
)
def test_every_webhook_has_a_certificate_for_its_url(value: tuple[str, ...], host: str) -> None:
    spec = pod_specs(ADMIN, *value)["towpath-webhook"]

    assert f"--name={host}" in spec["containers"][0]["args"]


def test_a_disabled_webhook_is_taken_out_of_karmada() -> None:
    (job, *_) = of_kind("Job", ADMIN, "--set=webhook.enabled=false")

    assert "--registration=remove" in job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert not [name for name in pod_specs(ADMIN, "--set=webhook.enabled=false") if "webhook" in name]


def test_given_credentials_need_no_administrator() -> None:
    made = objects("--set=karmada.credentials.secretName=given")

    assert not [obj for obj in made if "helm.sh/hook" in obj["metadata"].get("annotations", {})]


def test_processes_are_replicated_and_spread() -> None:
    deployments = of_kind("Deployment", ADMIN)
    assert len(deployments) == len(of_kind("PodDisruptionBudget", ADMIN)) == 2
    for deployment in deployments:
        spec = deployment["spec"]
        assert spec["replicas"] >= 2
        assert len(spec["template"]["spec"]["topologySpreadConstraints"]) == 2
        assert spec["template"]["spec"]["containers"][0].keys() >= {
            *("livenessProbe", "readinessProbe", "startupProbe"),
        }


def test_alerts_and_dashboard_are_the_files_of_the_chart() -> None:
    (rule,) = of_kind("PrometheusRule", *ALL)
    (dashboard,) = of_kind("ConfigMap", *ALL)

    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    read = json.loads(dashboard["data"]["towpath.json"])
    assert read == json.loads((CHART / "files" / "dashboard.json").read_text())


def test_the_kustomize_base_is_that_of_the_chart() -> None:
    kept = {path.name: path.read_text() for path in kustomize.BASE.glob("*.yaml")}

    assert kept == kustomize.rendered(), "run make kustomize"


def test_kubectl_builds_the_kustomize_base(plane: Plane) -> None:
    built = list(yaml.safe_load_all(plane.kubectl("kustomize", str(TOP / "deploy" / "kustomize")).stdout))

    assert len(built) == len(objects("--set=karmada.credentials.secretName=given"))
