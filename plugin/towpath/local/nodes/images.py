"""The images that nodes can pull, as an OCI image layout in the environment's folder.

No registry is asked. The walk-through names two images and the data path one, and each is made here, from
parts of this machine that are pinned by its distribution or by ``deploy/local``:

* ``curlimages/curl``: the distribution's own curl and the libraries that it is linked to, with busybox.
* ``flomesh/pipy``: a stand-in that understands the one script of the walk-through.
* ``envoyproxy/envoy``: the Envoy of a pinned wheel and the libraries that it is linked to.

Further images are added from OCI archives, such as ``buildah push NAME oci-archive:FILE`` writes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from towpath.errors import MissingTool, UsageError
from towpath.local.nodes import packages
from towpath.local.nodes.configuration import PAUSE_IMAGE
from towpath.local.nodes.envoy import envoy_image, envoy_program
from towpath.local.spec import Environment

PIPY, CURL = "docker.io/flomesh/pipy:latest", "docker.io/curlimages/curl:latest"
NAME_ANNOTATION = "io.containerd.image.name"
_OCI_NAME_ANNOTATION = "org.opencontainers.image.ref.name"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Image:
    """What is in an image: files by their path in it, links to programs, and what it runs."""

    name: str
    files: Mapping[str, Path]
    command: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


def ensure_images(env: Environment) -> None:
    """Write the images of the walk-through and the data path, and that of pods' sandboxes, unless there are
    any."""
    if not (env.images / "index.json").exists():
        shutil.rmtree(env.images, ignore_errors=True)
        write_layout(env.images, _images(env.binaries / "pipy", envoy_program()))


def _images(pipy: Path, envoy: Path) -> tuple[Image, ...]:
    busybox, curl = _program("busybox"), _program("curl")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    base = {"bin/busybox": busybox, **_libraries(busybox)}
    certificates = {"etc/ssl/certs/ca-certificates.crt": _CERTIFICATES} if _CERTIFICATES.exists() else {}
    return (
        Image(PAUSE_IMAGE, base, ("/bin/busybox", "sleep", "infinity")),
        Image(PIPY, {"usr/local/bin/pipy": pipy}, ("/usr/local/bin/pipy",)),
        Image(envoy_image(), {"usr/local/bin/envoy": envoy, **_libraries(envoy)}, ("/usr/local/bin/envoy",)),
        Image(
            CURL,
            {**base, "usr/bin/curl": curl, **_libraries(curl), **certificates},
            ("/usr/bin/curl",),
            {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"},
            user="100:101",
        ),
    )


def write_layout(folder: Path, images: Sequence[Image]) -> None:
    """Write images as an OCI image layout. The same files give the same digests."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    _write_index(folder, [_write_image(blobs, image) for image in images])


def extend(folder: Path, images: Sequence[Image]) -> None:
    """Add images to a layout."""
    made = [_write_image(folder / "blobs" / "sha256", image) for image in images]
    _replace(folder, made)


def _replace(folder: Path, manifests: Sequence[dict[str, Any]]) -> None:
    """Write manifests into the index of a layout, in place of those of the same names."""
    index = read_index(folder) | {
        manifest["annotations"][NAME_ANNOTATION]: manifest for manifest in manifests
    }
    _write_index(folder, list(index.values()))


def _program(name: str) -> Path:
    found = packages.find(name)
    if found is None:
        raise MissingTool(f"{name} is not installed. Run: {packages.install_line(packages.missing())}")
    return found.resolve()


def _libraries(program: Path) -> dict[str, Path]:
    """Return the shared libraries that a program loads, none if it is linked statically, by their paths."""
    output = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout
    found = re.findall(r"(?:=> )?(/\S+) \(0x", output)
    return {path.lstrip("/"): Path(path).resolve() for path in found}


def _write_image(blobs: Path, image: Image) -> dict[str, Any]:
    """Write layer, configuration and manifest of an image; return its descriptor in the index."""
    layer = _write_layer(blobs, image)
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": list(image.command),
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
            **({"User": image.user} if image.user else {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _write_document(blobs, config, _CONFIG),
        "layers": [layer],
    }
    return {
        **_write_document(blobs, manifest, _MANIFEST),
        "annotations": {NAME_ANNOTATION: image.name},
        "platform": {"architecture": architecture, "os": "linux"},
    }


def _write_layer(blobs: Path, image: Image) -> dict[str, Any]:
    """Write the files of an image as a tar archive that is the same for the same files."""
    unfinished = blobs / "unfinished"
    with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder in sorted({str(p) for path in image.files for p in Path(path).parents} - {"."}):
            archive.addfile(_entry(folder, tarfile.DIRTYPE))
        temporary = _entry("tmp", tarfile.DIRTYPE)
        temporary.mode = 0o1777
        archive.addfile(temporary)
        for path, source in sorted(image.files.items()):
            entry = _entry(path, tarfile.REGTYPE)
            entry.size = source.stat().st_size
            with source.open("rb") as content:
                archive.addfile(entry, content)
        for path, target in sorted(image.links.items()):
            entry = _entry(path, tarfile.SYMTYPE)
            entry.linkname = target
            archive.addfile(entry)
    with unfinished.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    unfinished.rename(blobs / digest)
    return {
        "mediaType": _LAYER,
        "digest": f"sha256:{digest}",
        "size": (blobs / digest).stat().st_size,
    }


def _entry(path: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, 0o755
    return entry


def _write_document(blobs: Path, document: Mapping[str, Any], kind: str) -> dict[str, Any]:
    content = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the descriptor of each image in a layout by its full name."""
    manifests = json.loads((folder / "index.json").read_text())["manifests"]
    return {manifest["annotations"][NAME_ANNOTATION]: manifest for manifest in manifests}


def _write_index(folder: Path, manifests: list[dict[str, Any]]) -> None:
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
    fresh = folder / "index.json.new"
    fresh.write_text(json.dumps(index, indent=1))
    fresh.replace(folder / "index.json")


def add(folder: Path, archive: Path, name: str | None = None) -> str:
    """Add the image of an OCI archive to a layout, under ``name`` or its own; returns the full name.

    Raises UsageError if the file is no OCI archive with one image.
    """
    try:
        with tarfile.open(archive) as source:
            index = json.load(_member(source, "index.json"))
            (descriptor,) = index["manifests"]
            annotations = descriptor.get("annotations", {})
            given = name or annotations.get(NAME_ANNOTATION) or annotations.get(_OCI_NAME_ANNOTATION, "")
            if not re.search(r"[^:/]", given):
                raise UsageError(f"{archive} does not name its image. Give it a name with --name.")
            full = full_name(given)
            for entry in source:
                if entry.isfile() and re.fullmatch(r"(\./)?blobs/sha256/[0-9a-f]{64}", entry.name):
                    _copy_blob(source, entry, folder)
    except (tarfile.TarError, KeyError, ValueError, OSError) as error:
        raise UsageError(f"{archive} is not an OCI archive with one image: {error}") from error
    _replace(folder, [{**descriptor, "annotations": {NAME_ANNOTATION: full}}])
    return full


def _member(source: tarfile.TarFile, name: str) -> IO[bytes]:
    for spelled in (name, f"./{name}"):
        try:
            found = source.extractfile(spelled)
        except KeyError:
            continue
        if found is not None:
            return found
    raise KeyError(name)


def _copy_blob(source: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    content = source.extractfile(entry)
    target = folder / "blobs" / "sha256" / Path(entry.name).name
    if content is not None and not target.exists():
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)


def full_name(name: str) -> str:
    """Return an image's name with its registry, repository and tag, as containerd asks for it."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
