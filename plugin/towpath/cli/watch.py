"""``towpath watch``: one line for each change in how a service stands."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from towpath.cli import answers, plugin_options
from towpath.cli import kubeconfig as options
from towpath.cli.answers import answering
from towpath.cli.running import run
from towpath.model.keys import Dialect
from towpath.text import one_line, several

if TYPE_CHECKING:
    from towpath.proto.v1alpha1.service_pb2 import Explanation


def watch(
    service: answers.Service,
    dialect: Annotated[
        Dialect | None,
        typer.Option(help="API group of the ServiceExport.", show_default="the one that exists"),
    ] = None,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
) -> None:
    """Print a line now and for each change in how a service stands, until it is deleted or Ctrl-C."""
    named = answers.named(service)
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    run(_watch(asked, *named, dialect or ""))


async def _watch(asked: answers.Where, namespace: str, name: str, dialect: str) -> None:
    printed = ""
    async with answering(asked) as source:
        async for explanation in source.follow(namespace, name, dialect):
            text = line(explanation)
            if text != printed:
                sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
                sys.stdout.flush()
            printed = text


def line(explanation: Explanation) -> str:
    """Return how a service stands, in one line."""
    exporters = several(exporter.cluster for exporter in explanation.exporters) or "no cluster"
    in_place = sum(importer.state == "InPlace" for importer in explanation.importers)
    text = f"{explanation.state}, exported by {exporters}, in place in {in_place} of "
    text += str(len(explanation.importers))
    if explanation.HasField("first"):
        first = explanation.first
        place = f"{first.step} in {first.cluster}" if first.cluster else first.step
        text += f", {place}: {first.reason}: {first.text}"
    return one_line(text)
