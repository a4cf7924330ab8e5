"""What a process of a local Karmada is: its command line, where it runs, and what shows that it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from towpath.local.spec import Environment


@dataclass(frozen=True)
class Process:
    """How to start one process, and what answers once it works.

    ``ready`` is a URL that answers 200, ``unix:PATH`` for a gRPC health check, ``file:PATH`` for a file that
    the process makes, or None where the program has no such endpoint. An ``optional`` process is started only
    when asked for. One with its ``own_ca`` cannot be checked with the environment's.
    ``environment`` are variables that it gets besides those of this process.

    ``machine`` names the process in whose namespaces it runs, ``creates_machine`` says that it is such a
    process; all others run on this host. What comes later in the order needs one that is ``awaited``.
    """

    argv: tuple[str, ...]
    ready: str | None = None
    optional: bool = False
    own_ca: bool = False
    machine: str | None = None
    creates_machine: bool = False
    awaited: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The name by which the process calls itself, without the folder."""
        return self.argv[0].rpartition("/")[2]


def program(env: Environment, name: str, **flags: object) -> tuple[str, ...]:
    """Return the command line of a built program; ``a_b="c"`` becomes ``--a-b=c``."""
    return (
        str(env.binaries / name),
        *(f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items()),
    )
