"""A kubeconfig for an apiserver that asks for no login, such as the stand-ins of tests and benches."""

from __future__ import annotations

from pathlib import Path

import yaml


def kubeconfig(folder: Path, server: str, **cluster: str) -> Path:
    """Write it into a folder. ``cluster`` is what it says of the cluster besides."""
    config = folder / "config"
    text = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    config.write_text(yaml.safe_dump(text))
    return config
