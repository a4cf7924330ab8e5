"""Images without a registry: the layout, archives added to it, and the mirror that serves it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from towpath.errors import UsageError
from towpath.local.nodes.images import Image, add, full_name, read_index, write_layout
from towpath.local.nodes.mirror import application

NAME = "docker.io/shop/web:latest"


def layout(folder: Path, *names: str) -> Path:
    """Write a layout with images that hold one program each."""
    program = folder.parent / "program"
    program.write_text("#!/bin/sh\n")
    images = [Image(name, {"bin/web": program}, ("/bin/web",), {"bin/alias": "web"}) for name in names]
    write_layout(folder, images)
    return folder


def archive(folder: Path, target: Path) -> Path:
    with tarfile.open(target, "w") as made:
        made.add(folder, arcname=".")
    return target


def test_the_layer_holds_the_files_and_links(tmp_path: Path) -> None:
    folder = layout(tmp_path / "images", NAME)
    blobs = folder / "blobs" / "sha256"
    manifest = json.loads((blobs / read_index(folder)[NAME]["digest"].removeprefix("sha256:")).read_text())
    (layer,) = manifest["layers"]

    with tarfile.open(blobs / layer["digest"].removeprefix("sha256:")) as content:
        assert content.getmember("bin/web").mode == 0o755
        assert content.getmember("bin/alias").linkname == "web"


def test_blobs_are_named_by_digest_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = layout(tmp_path / "one", NAME), layout(tmp_path / "two", NAME)

    blobs = {path.name: path.read_bytes() for path in (first / "blobs" / "sha256").iterdir()}
    assert blobs == {path.name: path.read_bytes() for path in (second / "blobs" / "sha256").iterdir()}
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in blobs.items())


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("curlimages/curl", "docker.io/curlimages/curl:latest"),
        ("flomesh/pipy:latest", "docker.io/flomesh/pipy:latest"),
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("ghcr.io/towpath/towpath:v1", "ghcr.io/towpath/towpath:v1"),
        ("localhost/towpath:v1", "localhost/towpath:v1"),
        ("registry:5000/web", "registry:5000/web:latest"),
    ],
)
def test_an_image_is_known_by_the_name_that_containerd_asks_for(given: str, name: str) -> None:
    assert full_name(given) == name


def test_an_archive_is_added_and_replaces_what_had_its_name(tmp_path: Path) -> None:
    source = archive(layout(tmp_path / "source", "docker.io/towpath/towpath:v1"), tmp_path / "a.tar")
    target = layout(tmp_path / "target", NAME)

    assert add(target, source) == "docker.io/towpath/towpath:v1"
    assert add(target, source, "shop/web") == NAME

    index = read_index(target)
    assert index.keys() == {NAME, "docker.io/towpath/towpath:v1"}
    assert (target / "blobs" / "sha256" / index[NAME]["digest"].removeprefix("sha256:")).exists()


def tar_of(target: Path, name: str, content: bytes) -> Path:
    with tarfile.open(target, "w") as made:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        made.addfile(entry, io.BytesIO(content))
    return target


def test_a_file_that_is_no_oci_archive_is_refused_by_name(tmp_path: Path) -> None:
    target = layout(tmp_path / "target", NAME)
    text = tmp_path / "thesis.tex"
    text.write_text("years of work")
    two = archive(layout(tmp_path / "two", "a/b", "a/c"), tmp_path / "two.tar")
    nameless = tar_of(tmp_path / "nameless.tar", "index.json", b'{"manifests": [{"digest": "x"}]}')

    for wrong in (text, two, nameless, tar_of(tmp_path / "other.tar", "manifest.json", b"[]")):
        with pytest.raises(UsageError, match=wrong.name):
            add(target, wrong)

    assert read_index(target).keys() == {NAME}


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    folder = layout(tmp_path / "images", NAME, "ghcr.io/towpath/towpath:v1")
    async with TestClient(TestServer(application(folder))) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/", 200),
        ("/v2/shop/web/manifests/latest?ns=docker.io", 200),
        ("/v2/towpath/towpath/manifests/v1?ns=ghcr.io", 200),
        ("/v2/towpath/towpath/manifests/v1?ns=docker.io", 404),
        ("/v2/shop/web/manifests/other?ns=docker.io", 404),
        (f"/v2/shop/web/blobs/sha256:{'0' * 64}", 404),
        ("/v2/shop/web/blobs/sha256:..%2F..%2Findex.json", 404),
    ],
)
async def test_the_mirror_answers_for_the_registry_that_is_meant(
    mirror: TestClient,  # type: ignore[type-arg]
    path: str,
    status: int,
) -> None:
    assert (await mirror.get(path)).status == status


async def test_a_pull_gets_everything_by_digest(mirror: TestClient) -> None:  # type: ignore[type-arg]
    head = await mirror.head("/v2/shop/web/manifests/latest?ns=docker.io")
    digest = head.headers["Docker-Content-Digest"]

    manifest = await (await mirror.get(f"/v2/shop/web/manifests/{digest}")).json(content_type=None)

    assert head.headers["Content-Type"] == manifest["mediaType"]
    for blob in (manifest["config"], *manifest["layers"]):
        content = await (await mirror.get(f"/v2/shop/web/blobs/{blob['digest']}")).read()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob["digest"]
        assert len(content) == blob["size"]
