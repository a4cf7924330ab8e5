"""``towpath local``: a real Karmada on this machine, as plain processes, with nodes or without."""

from __future__ import annotations

import os
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from towpath.cli.running import run
from towpath.errors import NoEnvironment, UsageError
from towpath.local.programs import member_processes, processes
from towpath.local.spec import KARMADA, MAX_MEMBERS, MIN_SUBNET_SIZE, SUBNET, Environment, Qps

app = typer.Typer(help="A real Karmada on this machine, as plain processes.", no_args_is_help=True)

Root = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder of the environment. Environments run side by side.", show_default=False
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A process, as `towpath local status` lists it.")]
Target = Annotated[
    str, typer.Argument(metavar="NAME", help="A process, or a member cluster for all of its processes.")
]
Member = Annotated[str, typer.Argument(metavar="NAME", help="A member cluster.")]


def _root(root: Path | None) -> Path:
    from towpath.local.store import default_root

    return (root or default_root()).absolute()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@app.command()
def build(
    image: Annotated[
        bool, typer.Option("--image", help="Build Towpath's own image instead. Prints its OCI archive.")
    ] = False,
) -> None:
    """Build the programs (Kubernetes, etcd, Karmada, CoreDNS) into the cache, unless they are there."""
    from towpath.cli.progress import built
    from towpath.local.image import build_image

    if image:
        sys.stdout.write(f"{build_image(_say)}\n")
        return
    sys.stdout.write(f"{built().folder}\n")


@app.command()
def packages() -> None:
    """Install the distribution packages that nodes need, as root on Debian and its derivatives."""
    from towpath.local.nodes import packages as needed

    needed.install(_say)


def _subnet(text: str) -> IPv4Network:
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"--subnet {text}: {error}") from None
    if subnet.num_addresses < MIN_SUBNET_SIZE or not subnet.is_private:
        raise UsageError(
            f"--subnet {text}: Must be a private network with at least {MIN_SUBNET_SIZE} addresses."
        )
    return subnet


@app.command()
def up(
    members: Annotated[int, typer.Option(min=1, max=MAX_MEMBERS, help="Number of member clusters.")] = 3,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Give every member a node that runs pods. Needs root.")
    ] = False,
    on_host: Annotated[
        bool,
        typer.Option(
            "--on-host",
            help="Run Karmada's control plane as pods of cluster-1, by `karmadactl init`. Implies --nodes.",
        ),
    ] = False,
    subnet: Annotated[str, typer.Option(help="Network of the nodes.")] = str(SUBNET),
    root: Root = None,
    qps: Annotated[Qps, typer.Option(help="Client limits of Karmada's controllers.")] = Qps.DEFAULT,
    base_port: Annotated[
        int | None,
        typer.Option(min=1024, max=65000, help="First port. Free ports are found by default."),
    ] = None,
    crds: Annotated[
        Path | None,
        typer.Option(help="Multi-cluster CRDs to use in place of Towpath's (ErieCanal's, FSM's)."),
    ] = None,
) -> None:
    """Boot a Karmada and join its members. Prints the export lines for your shell."""
    from towpath.cli.progress import built
    from towpath.local import boot
    from towpath.local.build import Binaries
    from towpath.local.store import FILE, load

    network = _subnet(subnet)
    names = [f"cluster-{number}" for number in range(1, members + 1)]
    place = _root(root)
    known = load(place).binaries if (place / FILE).exists() else None
    binaries = Binaries(known) if known and known.is_dir() else built()  # what runs needs no build
    env = run(
        boot.up(
            place,
            binaries,
            names=names,
            qps=qps,
            base_port=base_port,
            crds=crds,
            subnet=network,
            nodes=nodes or on_host,
            on_host=on_host,
            report=_say,
        )
    )
    _say(f"\nKarmada runs with {', '.join(env.members)} in {env.root}. In your shell:\n")
    sys.stdout.write(f"export PATH={env.binaries}:$PATH\n{export_line(env)}\n")
    sys.stdout.flush()
    _say(
        "\nThen: kubectl get clusters; kubectl --context cluster-1 get namespaces."
        "\n`towpath local down` ends it."
    )


def export_line(env: Environment) -> str:
    """Return the line that makes kubectl see Karmada first, and every member as a context."""
    files = [env.karmada, *(env.kubeconfig(name) for name in env.members)]
    return f"export KUBECONFIG={':'.join(map(str, files))}"


@app.command()
def down(root: Root = None) -> None:
    """End every process and remove what was written, also after a crash."""
    from towpath.local import boot

    ended = boot.down(_root(root))
    _say(f"Ended {ended} processes and removed {_root(root)}." if ended else "Nothing was running.")


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
        raise UsageError(f"There is no process {name!r}. Processes: {', '.join(names)}.")
    return name


@app.command()
def logs(
    name: Name,
    root: Root = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines as they are written.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of lines.")] = 50,
) -> None:
    """Print the end of a process's log."""
    from towpath.local.processes import tail
    from towpath.local.store import load

    env = load(_root(root))
    log = env.log(_known(env, name))
    if not log.exists():
        raise NoEnvironment(f"{name} has no log.")
    if follow:
        os.execvp("tail", ["tail", "-n", str(lines), "-f", str(log)])  # noqa: S606 - becomes tail
    sys.stdout.write(tail(log, lines) + "\n")


def _targets(env: Environment, name: str) -> list[str]:
    """Return the names of the processes that a name stands for: one, or all of a member."""
    member = env.members.get(name)
    return list(member_processes(env, member)) if member else [_known(env, name)]


@app.command()
def stop(name: Target, root: Root = None) -> None:
    """End one process, or all of a member, as a fault would."""
    from towpath.local import processes as live
    from towpath.local.store import load

    env = load(_root(root))
    alive = live.running(env.root)
    found = [alive[target] for target in _targets(env, name) if target in alive]
    if not found:
        raise NoEnvironment(f"{name} is not running.")
    live.end(found)


@app.command()
def start(name: Target, root: Root = None) -> None:
    """Start one process, or all of a member, and wait until it answers."""
    from towpath.local import processes as live
    from towpath.local.store import changing, load

    env = load(_root(root))
    with changing(env.root):
        alive = live.running(env.root)
        ended = [target for target in _targets(env, name) if target not in alive]
        if not ended:
            raise NoEnvironment(f"{name} is already running.")
        run(live.start_all(env, ended))


@app.command()
def join(
    name: Member,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Give the member a node that runs pods. Needs root.")
    ] = False,
    root: Root = None,
) -> None:
    """Join a further member while everything runs."""
    from towpath.local.members import join_live
    from towpath.local.store import changing, load

    if name == KARMADA:
        raise UsageError(f"The name {name!r} is taken by Karmada itself.")
    with changing(_root(root)):
        run(join_live(load(_root(root)), name, _say, node=nodes))


@app.command()
def leave(name: Member, root: Root = None) -> None:
    """Take a member out of Karmada and end its processes."""
    from towpath.local.members import leave as leave_live
    from towpath.local.store import changing, load

    with changing(_root(root)):
        run(leave_live(load(_root(root)), name, _say))


@app.command()
def load(
    archive: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="An OCI archive, such as `buildah push` writes.", exists=True),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the image; by default the one in the archive.")
    ] = None,
    root: Root = None,
) -> None:
    """Add an image to those that the nodes can pull. Prints its full name."""
    from towpath.local.nodes import images
    from towpath.local.store import load as load_environment

    env = load_environment(_root(root))
    if not env.has_nodes:
        raise NoEnvironment(
            f"No member in {env.root} has a node. Add one: `towpath local join NAME --nodes`."
        )
    sys.stdout.write(f"{images.add(env.images, archive, name)}\n")


@app.command()
def reset(root: Root = None) -> None:
    """Delete what the walk-through created. Karmada and its members stay."""
    from towpath.local import clearing
    from towpath.local.store import load

    run(clearing.reset(load(_root(root)), _say))
