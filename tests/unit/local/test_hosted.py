"""What `karmadactl init` and the pods of Karmada find: images under their public names, and CRDs."""

from __future__ import annotations

import tarfile
from pathlib import Path

from towpath.local import hosted
from towpath.local.build import Binaries
from towpath.local.karmadactl import image_flags, image_names
from towpath.local.nodes.images import read_index, write_layout
from towpath.local.spec import Environment

NAMES = image_names(kubernetes="v1.35.4", karmada="v1.18.2", etcd="v3.6.14")


def test_images_have_the_names_that_a_registry_has_them_by() -> None:
    assert NAMES["etcd"] == "registry.k8s.io/etcd:3.6.14-0"
    assert NAMES["kube-apiserver"] == "registry.k8s.io/kube-apiserver:v1.35.4"
    assert NAMES["karmada-webhook"] == "docker.io/karmada/karmada-webhook:v1.18.2"
    assert image_flags(NAMES) == ("--kube-image-tag=v1.35.4", f"--etcd-image={NAMES['etcd']}")


def test_every_image_and_crd_is_there_before_karmadactl_runs(tmp_path: Path) -> None:
    binaries, root = Binaries(tmp_path / "bin"), tmp_path / "root"
    env = Environment(root, binaries.folder, {}, karmada_host="cluster-1")
    (binaries.karmada_crds / "work").mkdir(parents=True)
    (binaries.karmada_crds / "work" / "works.yaml").write_text("{}")
    for program in NAMES:
        (binaries.folder / program).write_text(program)
    write_layout(env.images, [])

    hosted.prepare(env)

    repositories = {name.rpartition(":")[0] for name in read_index(env.images)}
    assert repositories == {name.rpartition(":")[0] for name in NAMES.values()}
    with tarfile.open(root / "karmada-crds.tar.gz") as archive:
        names = archive.getnames()
    # Each folder stands before what is in it: karmadactl makes it on the way.
    assert names == ["crds", "crds/bases", "crds/bases/work", "crds/bases/work/works.yaml", "crds/patches"]
