"""The real helm, built once into the cache folder from ``deploy/helm/go.mod``.

``python -m tests.support.helm ARGUMENTS`` runs it, as the Makefile does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import gotools
from tests.support.checkout import TOP

CHART = TOP / "deploy" / "charts" / "towpath"


def program() -> Path:
    """Return helm, built first where it is missing: some minutes on two cores."""
    return gotools.folder("helm") / "helm"


def run(*arguments: str | Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm without the user's configuration, and without a cluster unless one is given."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig or os.devnull), "NO_COLOR": "1"}
    return subprocess.run(
        [program(), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def template(*arguments: str, namespace: str = "karmada-system") -> str:
    """Return what the chart renders, hooks included. Raises AssertionError with helm's words."""
    done = run("template", "towpath", CHART, f"--namespace={namespace}", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    sys.exit(subprocess.run([program(), *sys.argv[1:]], check=False).returncode)
