"""``towpath bundle``: what support needs to know, in one archive, and no secret in it.

Only answers of Towpath go in, never objects of the apiserver: a Secret, a kubeconfig in a flomesh Cluster or
an annotation cannot be among them.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from towpath import __version__
from towpath.cli import answers, plugin_options
from towpath.cli import kubeconfig as options
from towpath.cli.answers import answering, connected
from towpath.cli.output import document
from towpath.cli.running import run
from towpath.derivation.chain import LinkState

_MAX_EXPLAINED = 100
"""Services that are explained of those that are not in sync."""


def bundle(
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The archive to write.")] = Path(
        "towpath-bundle.tar.gz"
    ),
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
) -> None:
    """Write an archive for support: members, services, chains of services that are not well, and checks.

    It holds names, gateways and messages of Karmada, and no Secret, kubeconfig or token.
    """
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    documents = run(_documents(asked))
    _write(file, documents)
    sys.stdout.write(f"{file}: {len(documents)} files\n")


async def _documents(asked: answers.Where) -> dict[str, object]:
    """Return the content of each file."""
    from towpath.setup.checks.gather import gather
    from towpath.setup.checks.run import judge

    async with answering(asked) as source:
        clusters, services = await source.fleet()
        unwell = [service for service in services.services if service.state != LinkState.OK]
        explained = await source.explain_each(unwell[:_MAX_EXPLAINED])
    found: dict[str, object] = {
        "version.json": {"towpath": __version__, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
        "clusters.json": document(clusters),
        "services.json": document(services),
        **{f"explain/{e.namespace}/{e.name}.{e.dialect}.json": document(e) for e in explained},
    }
    if asked.kubeconfig is not None:
        async with connected(asked) as client:
            found["check.json"] = [result._asdict() for result in judge(await gather(client))]
    return found


def _write(file: Path, documents: Mapping[str, object]) -> None:
    with tarfile.open(file, "w:gz") as archive:
        for name, content in documents.items():
            text = json.dumps(content, indent=2).encode()
            entry = tarfile.TarInfo(f"towpath-bundle/{name}")
            entry.size, entry.mtime = len(text), int(time.time())
            archive.addfile(entry, io.BytesIO(text))
