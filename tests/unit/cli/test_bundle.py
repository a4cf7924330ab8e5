"""``towpath bundle`` and ``watch``: what goes out, and that no secret is in it."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

from tests.support.cli import towpath
from tests.support.inventories import annotated, carry, cluster, clusters, exported, knowing, metadata, tell
from tests.support.plugins import serving
from towpath.cli.answers import FromPlugin
from towpath.cli.plugin_options import Reached
from towpath.cli.watch import line

SECRET = "s3cr3t-of-a-member"
FLOMESH: dict[str, object] = {
    "apiVersion": "flomesh.io/v1alpha1",
    "kind": "Cluster",
    "metadata": metadata("a", ""),
    "spec": {"gatewayHost": "10.0.0.1", "kubeconfig": SECRET},
}


async def test_a_bundle_holds_answers_and_no_secret(tmp_path: Path) -> None:
    hidden = annotated(cluster("b", "10.0.0.2"), note=SECRET)
    inventory = knowing(*clusters("a"), hidden, FLOMESH, *exported("web", "a"))
    file = tmp_path / "bundle.tar.gz"
    async with serving(tmp_path / "s", inventory):
        done = await asyncio.to_thread(
            towpath, "bundle", "-f", file, "--socket", tmp_path / "s", env={"KUBECONFIG": ""}
        )
    assert done.returncode == 0, done.stderr
    with tarfile.open(file) as archive:
        parts = {m.name: (archive.extractfile(m) or file.open("rb")).read() for m in archive.getmembers()}
    assert sorted(parts) == [
        "towpath-bundle/clusters.json",
        "towpath-bundle/explain/shop/web.flomesh.io.json",
        "towpath-bundle/services.json",
        "towpath-bundle/version.json",
    ]
    assert b"NotWritten" in parts["towpath-bundle/services.json"]
    assert not any(SECRET.encode() in text for text in parts.values())


async def test_a_change_is_followed_in_one_line(tmp_path: Path) -> None:
    inventory = knowing(*clusters("a", "b"), *exported("web", "a"))
    async with serving(tmp_path / "s", inventory):
        following = FromPlugin(Reached(f"unix:{tmp_path / 's'}")).follow("shop", "web")
        before = line(await anext(following))
        carry(inventory)
        tell(inventory, annotated(cluster("a"), drain="true"))
        after = line(await anext(following))
        await following.aclose()  # type: ignore[attr-defined]
    assert before.startswith("Broken, exported by a, in place in 0 of 1, Import: NotWritten: ")
    assert "exported by no cluster" in after
