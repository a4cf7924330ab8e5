"""Karmada's control plane as pods of a member: its images, its CRDs, and the run of ``karmadactl init``.

The images are made of the programs that processes of this host are otherwise, under the names that a registry
has them by.
"""

from __future__ import annotations

import tarfile

from towpath.local import gomodule, processes
from towpath.local.build import Binaries
from towpath.local.karmadactl import READY_SECONDS, image_flags, image_names
from towpath.local.nodes import images
from towpath.local.nodes.images import Image
from towpath.local.spec import KARMADA_INIT, Environment
from towpath.setup.assets import deployed

_PODS = 7


def prepare(env: Environment) -> None:
    """Write what the pods and ``karmadactl init`` read."""
    images.extend(
        env.images,
        [
            Image(name, {_path(program): env.binaries / program}, (f"/{_path(program)}",))
            for program, name in _image_names().items()
        ],
    )
    with tarfile.open(env.root / "karmada-crds.tar.gz", "w:gz") as archive:
        archive.addfile(_folder("crds"))
        archive.add(Binaries(env.binaries).karmada_crds, "crds/bases")
        # Patches would convert bindings of v1alpha1, which nothing here reads.
        archive.addfile(_folder("crds/patches"))


def _image_names() -> dict[str, str]:
    versions = gomodule.modules((deployed("local") / "go.mod").read_text())
    return image_names(
        kubernetes=versions["k8s.io/kubernetes"],
        karmada=versions["github.com/karmada-io/karmada"],
        etcd=versions["go.etcd.io/etcd/server/v3"],
    )


def _path(program: str) -> str:
    """Return where the pods of ``karmadactl init`` expect a program."""
    return f"bin/{program}" if program.startswith("karmada-") else f"usr/local/bin/{program}"


def _folder(path: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


async def install(env: Environment) -> None:
    """Run ``karmadactl init`` on the host cluster, whose node is Ready. Raises BootFailed with its log."""
    processes.spawn(env, KARMADA_INIT, *image_flags(_image_names()))
    await processes.wait_ended(env, KARMADA_INIT, patience=_PODS * READY_SECONDS)
