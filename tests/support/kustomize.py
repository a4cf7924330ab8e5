"""The kustomize base, rendered from the chart: ``make kustomize`` writes it, and a test compares it.

Hooks are not part of it, because kustomize has none: its users run `towpath install` themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from tests.support import helm
from tests.support.checkout import TOP

BASE = TOP / "deploy" / "kustomize"
CREDENTIALS = "towpath-credentials"
_HEAD = "# Rendered from deploy/charts/towpath by `make kustomize`: do not edit.\n"


def rendered() -> dict[str, str]:
    """Return the files of the base by their names."""
    text = helm.template("--no-hooks", f"--set=karmada.credentials.secretName={CREDENTIALS}")
    files: dict[str, list[Mapping[str, Any]]] = {}
    for obj in yaml.safe_load_all(text):
        files.setdefault(obj["metadata"]["labels"]["app.kubernetes.io/component"], []).append(_bare(obj))
    resources = {f"{component}.yaml": _dump(objects) for component, objects in sorted(files.items())}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "karmada-system",
        "resources": list(resources),
    }
    return {"kustomization.yaml": _dump([kustomization]), **resources}


def _bare(obj: dict[str, Any]) -> Mapping[str, Any]:
    """Return an object without what is helm's, in its labels and in those of its pods."""
    pods = obj["spec"]["template"] if obj["kind"] == "Deployment" else {"metadata": {}}
    for labels in (obj["metadata"]["labels"], pods["metadata"].get("labels", {})):
        labels.pop("helm.sh/chart", None)
        labels.pop("app.kubernetes.io/managed-by", None)
    return obj


def _dump(objects: list[Mapping[str, Any]]) -> str:
    return _HEAD + yaml.safe_dump_all(objects, sort_keys=False, width=110)


if __name__ == "__main__":
    BASE.mkdir(exist_ok=True)
    for old in BASE.glob("*.yaml"):
        old.unlink()
    for name, text in rendered().items():
        (BASE / name).write_text(text)
