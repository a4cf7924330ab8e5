"""``towpath local``: a real Karmada on this machine, as plain processes on 127.0.0.1."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from towpath.cli.running import run
from towpath.errors import NoEnvironment, UsageError
from towpath.local.programs import processes
from towpath.local.spec import KARMADA, Environment, Qps

app = typer.Typer(
    help="A real Karmada on this machine, as plain processes on 127.0.0.1.", no_args_is_help=True
)

Root = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder of the environment; one each for several side by side.", show_default=False
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A process, as `towpath local status` lists them.")]
Member = Annotated[str, typer.Argument(metavar="NAME", help="A member cluster.")]

_MOST_MEMBERS = 20


def _root(root: Path | None) -> Path:
    from towpath.local.store import default_root

    return (root or default_root()).absolute()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@app.command()
def build() -> None:
    """Build the programs (Kubernetes, etcd, Karmada) into the cache, if they are not there."""
    from towpath.cli.progress import built

    sys.stdout.write(f"{built().folder}\n")


@app.command()
def up(
    members: Annotated[int, typer.Option(min=1, max=_MOST_MEMBERS, help="How many member clusters.")] = 3,
    root: Root = None,
    qps: Annotated[Qps, typer.Option(help="Client limits of Karmada's controllers.")] = Qps.DEFAULT,
    base_port: Annotated[
        int | None, typer.Option(min=1024, max=65000, help="First port; else free ones are found.")
    ] = None,
    crds: Annotated[
        Path | None,
        typer.Option(help="Multi-cluster CRDs to use in place of Towpath's (ErieCanal's, FSM's)."),
    ] = None,
) -> None:
    """Boot a Karmada and join its members. Prints the export line for your shell."""
    from towpath.cli.progress import built
    from towpath.local import boot

    names = [f"cluster-{number}" for number in range(1, members + 1)]
    env = run(
        boot.up(_root(root), built(), names=names, qps=qps, base_port=base_port, crds=crds, report=_say)
    )
    _say(f"\nKarmada is up with {', '.join(env.members)} in {env.root}. In your shell:\n")
    sys.stdout.write(f"export PATH={env.binaries}:$PATH\n{export_line(env)}\n")
    sys.stdout.flush()
    _say("\nthen `kubectl get clusters`, `kubectl --context cluster-1 get ns`. `towpath local down` ends it.")


def export_line(env: Environment) -> str:
    """Return the line that makes kubectl see Karmada first, and every member as a context."""
    files = [env.karmada, *(env.kubeconfig(name) for name in env.members)]
    return f"export KUBECONFIG={':'.join(map(str, files))}"


@app.command()
def down(root: Root = None) -> None:
    """End every process and remove what was written, also after a crash."""
    from towpath.local import boot

    ended = boot.down(_root(root))
    _say(f"ended {ended} processes; nothing is left in {_root(root)}" if ended else "nothing was running")


@app.command()
def status(root: Root = None) -> None:
    """List the processes. Exit code 1 if one of them does not run."""
    from towpath.local.processes import running
    from towpath.local.store import load

    env = load(_root(root))
    alive = running(env.root)
    table = Table("process", "state", "pid", "memory", "up", box=None)
    missing = False
    for name, process in processes(env).items():
        found = alive.get(name)
        if found is None:
            if not process.optional:
                missing = True
                table.add_row(name, "[red]stopped[/red]", "", "", "")
            continue
        with found.oneshot():
            age = time.time() - found.create_time()
            memory = found.memory_info().rss / 2**20
            state = "[yellow]frozen[/yellow]" if found.status() == "stopped" else "running"
            table.add_row(name, state, str(found.pid), f"{memory:.0f} MiB", f"{age:.0f} s")
    Console().print(table)
    sys.stdout.write(f"{export_line(env)}\n")
    if missing:
        raise typer.Exit(1)


def _known(env: Environment, name: str) -> str:
    names = list(processes(env))
    if name not in names:
        raise UsageError(f"there is no process {name!r}; there are {', '.join(names)}")
    return name


@app.command()
def logs(
    name: Name,
    root: Root = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
) -> None:
    """Print the end of a process's log."""
    from towpath.local.processes import tail
    from towpath.local.store import load

    env = load(_root(root))
    log = env.log(_known(env, name))
    if not log.exists():
        raise NoEnvironment(f"{name} has not written a log")
    if follow:
        os.execvp("tail", ["tail", "-n", str(lines), "-f", str(log)])  # noqa: S606 - becomes tail
    sys.stdout.write(tail(log, lines) + "\n")


@app.command()
def stop(name: Name, root: Root = None) -> None:
    """End one process, for a fault test."""
    from towpath.local import processes as live
    from towpath.local.store import load

    env = load(_root(root))
    found = live.running(env.root).get(_known(env, name))
    if found is None:
        raise NoEnvironment(f"{name} does not run")
    live.end([found])


@app.command()
def start(name: Name, root: Root = None) -> None:
    """Start one process again and wait until it answers."""
    from towpath.local import processes as live
    from towpath.local.store import changing, load

    env = load(_root(root))
    with changing(env.root):
        if _known(env, name) in live.running(env.root):
            raise NoEnvironment(f"{name} runs already")
        run(live.start(env, name))


@app.command()
def join(name: Member, root: Root = None) -> None:
    """Join a further member while everything runs."""
    from towpath.local.members import join_live
    from towpath.local.store import changing, load

    if name == KARMADA:
        raise UsageError(f"{name!r} is taken: it is Karmada itself")
    with changing(_root(root)):
        run(join_live(load(_root(root)), name, _say))


@app.command()
def leave(name: Member, root: Root = None) -> None:
    """Take a member out of Karmada and end its processes."""
    from towpath.local.members import leave as leave_live
    from towpath.local.store import changing, load

    with changing(_root(root)):
        run(leave_live(load(_root(root)), name, _say))


@app.command()
def reset(root: Root = None) -> None:
    """Delete what the walk-through made; Karmada and its members stay."""
    from towpath.local import clearing
    from towpath.local.store import load

    run(clearing.reset(load(_root(root)), _say))
