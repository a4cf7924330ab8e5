"""What the build reads from go.mod: the Go version it asks for, the modules, the versions to link in.

Reads the blocks that ``go mod tidy`` writes, not every spelling that go.mod allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from towpath.errors import BuildFailed

_KUBERNETES = "k8s.io/kubernetes"
_KARMADA = "github.com/karmada-io/karmada"


def go_version(go_mod: str) -> str:
    """Return the lowest Go version that go.mod allows, such as ``1.25.10``."""
    found = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    if not found:
        raise BuildFailed("deploy/local/go.mod names no Go version")
    return found[1]


def modules(go_mod: str) -> dict[str, str]:
    """Return the version of each required module, after replacement by another version of itself."""
    required = ((line.split()[0], line.split()[1]) for line in _block(go_mod, "require"))
    replaced = ((line.split()[2], line.split()[3]) for line in _block(go_mod, "replace"))
    versions: dict[str, str] = dict(required)
    versions.update({path: version for path, version in replaced if path in versions})
    return versions


def link_flags(go_mod: str) -> str:
    """Return the flags that strip the programs and tell them their versions.

    A version is otherwise set by the projects' own build scripts; the apiserver would call itself
    v0.0.0-master, and Karmada compares versions.
    """
    versions = modules(go_mod)
    kubernetes, karmada = versions[_KUBERNETES], versions[_KARMADA]
    major, minor, _ = kubernetes.removeprefix("v").split(".", 2)
    component = "k8s.io/component-base/version"
    values = {
        f"{component}.gitVersion": kubernetes,
        f"{component}.gitMajor": major,
        f"{component}.gitMinor": minor,
        f"{_KARMADA}/pkg/version.gitVersion": karmada,
    }
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in values.items())])


def missing_modules(go_mod: str, module_cache: Path) -> int:
    """Count the modules that go would have to download if it needed all of them."""
    folders = (module_cache / _escaped(f"{path}@{version}") for path, version in modules(go_mod).items())
    return sum(not folder.is_dir() for folder in folders)


def _block(go_mod: str, directive: str) -> Iterator[str]:
    for block in re.finditer(rf"^{directive} \((.*?)^\)", go_mod, re.MULTILINE | re.DOTALL):
        yield from filter(None, map(str.strip, block[1].splitlines()))


def _escaped(name: str) -> str:
    """Spell a module as its folder in the cache: capitals as ``!`` and the small letter."""
    return re.sub(r"[A-Z]", lambda capital: f"!{capital[0].lower()}", name)
