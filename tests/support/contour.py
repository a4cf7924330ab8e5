"""Contour with its Envoy as the gateway that a member has already, on the member's node.

``python -m tests.support.contour`` builds it. Contour and Envoy run in the network namespace of the node,
beside the data path, and serve one Gateway of the Gateway API.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from tests.conftest import Plane
from tests.support import gotools
from tests.support.envoys import envoy_binary
from towpath.local import processes
from towpath.local.nodes.machine import enter
from towpath.local.nodes.programs import machine_name

GATEWAY = "edge"
NAMESPACE = "default"
PORT = 10080
LISTENING = PORT + 8000
"""Envoy's port: Contour adds this to that of the Gateway."""
_XDS = ("--xds-address=127.0.0.1", "--xds-port=18001")
_DISABLED = ("extensionservices", "tlsroutes", "grpcroutes", "tcproutes", "backendtlspolicies")
_OWN_PORTS = {"health": 18002, "http": 18003, "debug-http": 18004, "stats": 18005}


def folder() -> Path:
    """Return the folder with the program, ``gateway-api`` (CRDs), and ``crds`` (Contour's)."""
    copied = {
        "gateway-api": "sigs.k8s.io/gateway-api//config/crd/standard",
        "crds": "github.com/projectcontour/contour//examples/contour",
    }
    return gotools.folder("contour", copied)


def gateway_crds() -> Path:
    """Return the folder of the Gateway API's CRDs."""
    return folder() / "gateway-api"


def gateway(admitted: str = "All") -> str:
    """Return the Gateway; ``admitted`` are the namespaces whose routes it takes: All or Same."""
    listener = {
        "name": "http",
        "port": PORT,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": admitted}},
    }
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "GatewayClass",
                "metadata": {"name": "contour"},
                "spec": {"controllerName": "projectcontour.io/gateway-controller"},
            },
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
                "spec": {"gatewayClassName": "contour", "listeners": [listener]},
            },
        ]
    )


@dataclass(frozen=True)
class Running:
    """``log`` is what Envoy writes: a line for each request."""

    log: Path

    @property
    def served(self) -> list[str]:
        """The lines about requests."""
        return [line for line in self.log.read_text().splitlines() if "HTTP/1.1" in line]


@contextmanager
def running(nodes: Plane, member: str, workdir: Path) -> Iterator[Running]:
    """Run Contour on a member's node during the block."""
    for crds in (gateway_crds(), folder() / "crds" / "01-crds.yaml"):
        nodes.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crds), member=member)
    nodes.kubectl("apply", "-f-", member=member, stdin=gateway())
    (workdir / "contour.yaml").write_text(
        yaml.safe_dump({"gateway": {"gatewayRef": {"namespace": NAMESPACE, "name": GATEWAY}}})
    )
    program, bootstrap = folder() / "contour", workdir / "envoy.json"
    subprocess.run(
        [program, "bootstrap", bootstrap, *_XDS, f"--admin-address={workdir / 'admin.sock'}"], check=True
    )
    pid = processes.running(nodes.env.root)[machine_name(member)].pid
    contour = [
        str(program),
        "serve",
        f"--kubeconfig={nodes.env.kubeconfig(member)}",
        "--insecure",
        "--disable-leader-election",
        *_XDS,
        f"--config-path={workdir / 'contour.yaml'}",
        *(
            f"--{part}-{of}"
            for part, port in _OWN_PORTS.items()
            for of in ("address=127.0.0.1", f"port={port}")
        ),
        *(f"--disable-feature={feature}" for feature in _DISABLED),
    ]
    # Envoy takes no value behind a "=".
    options = {"--config-path": str(bootstrap), "--service-cluster": "contour", "--service-node": "node"}
    options |= {"--concurrency": "1", "--base-id": "79"}
    envoy = [str(envoy_binary()), *(part for option in options.items() for part in option)]
    log = workdir / "envoy.log"
    started: list[subprocess.Popen[bytes]] = []
    try:
        for argv, file in (
            (contour, workdir / "contour.log"),
            (envoy, log),
        ):
            with file.open("wb") as output:
                started.append(
                    subprocess.Popen(enter(pid, argv), stdout=output, stderr=subprocess.STDOUT, cwd=workdir)
                )
        yield Running(log)
    finally:
        for process in started:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


if __name__ == "__main__":
    folder()
