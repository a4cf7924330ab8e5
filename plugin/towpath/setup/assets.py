"""Where the files of ``deploy/`` and ``examples/`` are, in a checkout and in an installed wheel.

The wheel carries them as ``towpath/_deploy`` (see ``force-include`` in pyproject.toml); a checkout
has them beside ``plugin/``.
"""

from __future__ import annotations

from pathlib import Path

from towpath.errors import MissingTool

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = {
    "crds": "deploy/crds",
    "karmada": "deploy/karmada",
    "datapath": "deploy/datapath",
    "local": "deploy/local",
    "schemas": "deploy/schemas",
    "walkthrough": "examples/walkthrough",
}


def deployed(folder: str) -> Path:
    """Return the folder of shipped files with one of the names above.

    Raises MissingTool if this installation of Towpath lacks it.
    """
    for candidate in (_PACKAGE / "_deploy" / folder, _PACKAGE.parents[1] / _CHECKOUT[folder]):
        if candidate.is_dir():
            return candidate
    raise MissingTool(f"The folder {folder!r} is missing from this installation. Reinstall the package.")
