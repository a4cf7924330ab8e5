"""Input of ``towpath plan``: options, files and stdin, a live Karmada, and the addresses of gateways."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.cli.running import run
from towpath.errors import InvalidObject, UsageError

if TYPE_CHECKING:
    from towpath.model.manifest import Source
    from towpath.plan.read import Reading
    from towpath.plan.schema import Kind, Schema

Object = dict[str, Any]
STDIN = "-"


class Output(StrEnum):
    """How to print a plan."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"
    DIFF = "diff"


def check_files(files: Sequence[str]) -> None:
    """Refuse names of files that mean nothing. Raises UsageError."""
    if "" in files:
        raise UsageError("-f and --clusters: The name of a file is empty.")
    if STDIN in files and sys.stdin is None:
        raise UsageError("-f and --clusters: stdin is closed.")
    if files.count(STDIN) > 1:
        raise UsageError("-f and --clusters: stdin is named more than once. Name it once.")


def load(file: str) -> list[Source]:
    """Read a file, a folder or stdin. Raises InvalidObject."""
    from towpath.model import manifest

    with naming():
        if file != STDIN:
            found = manifest.sources(Path(file))
            if not found:
                suffixes = ", ".join(sorted(manifest.SUFFIXES))
                raise InvalidObject(f"{file}: The folder holds no {suffixes} file.")
            return found
        text = manifest.decoded(sys.stdin.buffer.read(), "stdin")
        return [manifest.Source("stdin", manifest.parse(text, "stdin"))]


def load_all(files: Sequence[str]) -> list[Source]:
    """Read several. Raises InvalidObject where none holds an object."""
    given = [source for file in files for source in load(file)]
    if files and not any(source.objects for source in given):
        names = ", ".join("stdin" if file == STDIN else file for file in files)
        raise InvalidObject(f"{names}: The input holds no object.")
    return given


def live_objects(kubeconfig: str | None, context: str | None) -> list[Object]:
    """Read what a Karmada holds. Raises ApiError."""

    async def read() -> list[Object]:
        from towpath import __version__
        from towpath.karmada.client import Client
        from towpath.karmada.live import read_live

        user_agent = f"towpath/{__version__}"
        async with await Client.connect(kubeconfig, context=context, user_agent=user_agent) as client:
            return await read_live(client)

    return run(read())


def read_all(
    there: Iterable[Object], given: Iterable[Source], clusters: Sequence[Source], namespace: str
) -> Reading:
    """Read what is there, and on top of it what is given. ``clusters`` take the place of all others."""
    from towpath.plan.read import read_live, read_on

    reading, schemas = read_live(there), _schemas()
    for source in given:
        with naming(source.name):
            read_on(reading, source.objects, namespace=namespace, schemas=schemas)
    if clusters:
        reading.forget_clusters()
        for source in clusters:
            with naming(source.name):
                objects = [obj for obj in source.objects if obj["kind"] == "Cluster"]
                read_on(reading, objects, schemas=schemas)
        if not reading.has_clusters:
            names = ", ".join(source.name for source in clusters)
            raise InvalidObject(f"{names}: The input holds no Cluster, neither Karmada's nor flomesh's.")
    return reading


def _schemas() -> Mapping[Kind, Schema]:
    from towpath.model import manifest
    from towpath.plan.schema import schemas_of
    from towpath.setup.assets import deployed

    return schemas_of(obj for folder in ("crds", "schemas") for obj in manifest.load(deployed(folder)))


@contextmanager
def naming(source: str = "") -> Iterator[None]:
    """Let errors begin with the file, and be one line whatever the file holds."""
    from towpath.text import one_line

    try:
        yield
    except InvalidObject as error:
        raise InvalidObject(one_line(f"{source}: {error}" if source else str(error))) from None


def addresses_given(resolve: Sequence[str]) -> dict[str, str]:
    """Read the values of ``--resolve``. Raises UsageError."""
    from ipaddress import AddressValueError, IPv4Address

    known = {}
    for text in resolve:
        name, _, ip = text.partition("=")
        try:
            known[name] = str(IPv4Address(ip))
        except AddressValueError:
            name = ""
        if not name:
            raise UsageError(f"--resolve: Invalid value {text!r}. Write NAME=IP with an IPv4 address.")
    return known


def addresses_resolved(reading: Reading, known: Mapping[str, str]) -> dict[str, str]:
    """Ask DNS for the names of gateways. A name without an answer is left out, and the plan reports it."""
    from towpath.plan.world import hosts

    unknown = sorted(hosts(reading) - known.keys())
    return run(_resolved(unknown)) if unknown else {}


async def _resolved(names: Sequence[str]) -> dict[str, str]:
    import asyncio

    from towpath.inventory import dns

    found = await asyncio.gather(*map(dns.addresses, names))
    return {name: ip for name, addresses in zip(names, found, strict=True) if (ip := dns.choose(addresses))}
