"""What checks judge: one frozen picture of a Karmada, and the result of a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from towpath_webhook.registration.configurations import Settings

Object = Mapping[str, Any]


class Level(StrEnum):
    """How serious a result is."""

    OK = "OK"
    WARN = "Warn"
    FAIL = "Fail"


class Result(NamedTuple):
    """What a check finds. ``text`` is the problem and the fix; of an OK result it says what is well."""

    check: str
    level: Level
    subject: str
    text: str


class Pair(NamedTuple):
    """An object that Towpath installs, and what is there; None if nothing is."""

    wanted: Object
    live: Object | None


class Permission(NamedTuple):
    """One verb that the plugin or the webhook needs, and whether the apiserver allows it."""

    user: str
    verb: str
    resource: str
    allowed: bool


@dataclass(frozen=True)
class Evidence:
    """A Karmada at ``now`` (seconds since 1970).

    ``version`` is the apiserver's, ``bindings`` Karmada's CRD of bindings. ``installed`` is the version that
    was installed, None before an installation. ``definitions`` are the CRDs, ``objects`` everything else that
    ``towpath install`` creates. ``server_time`` is the apiserver's clock, None if it could not be read.
    ``hook_answer`` is empty if the webhook answers the apiserver, else why it does not. ``authorities`` are
    the ends of validity of the webhook's CAs. ``exports`` and ``imports`` are the ServiceExports and
    ServiceImports of every API group, by group.
    """

    now: float
    version: str = ""
    bindings: Object | None = None
    installed: str | None = None
    server_time: float | None = None
    members: tuple[Object, ...] = ()
    definitions: tuple[Pair, ...] = ()
    objects: tuple[Pair, ...] = ()
    permissions: tuple[Permission, ...] = ()
    leases: tuple[Object, ...] = ()
    settings: Settings | None = None
    damage: str = ""
    configurations: tuple[Pair, ...] = ()
    hook_answer: str = ""
    authorities: tuple[datetime, ...] = ()
    exports: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)
    imports: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)
    flomesh_clusters: tuple[Object, ...] = ()


def name_of(obj: Object) -> str:
    """Return namespace and name of an object."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace", "")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
