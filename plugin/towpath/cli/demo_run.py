"""Playing the walk-through for ``towpath demo``: the stage, Towpath beside it, and the table at the end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from towpath import __version__
from towpath.cli.local import export_line
from towpath.cli.progress import built
from towpath.cli.running import run
from towpath.errors import BootFailed, TowpathError
from towpath.karmada.client import Client
from towpath.local import boot, clearing, data_path, demo, processes, store, webhook
from towpath.local.demo import Stage
from towpath.local.nodes import host, packages
from towpath.local.spec import PLUGIN, SUBNET, Environment
from towpath.local.walkthrough import PLAYERS, Seen
from towpath.polling import until
from towpath.rpc.client import is_serving
from towpath.setup.install import Installed

_USER_AGENT = f"towpath-demo/{__version__}"
_PATIENCE = 30.0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def on_local(root: Path | None, *, keep: bool, nodes: bool | None) -> None:
    """Boot a Karmada, play on it, and take it down unless it is to be kept or was there before.

    ``nodes`` says whether its members run pods; None is yes where this machine can.
    """
    where = (root or store.default_root().with_name("demo")).absolute()
    binaries = built()
    found = (where / store.FILE).exists()
    no_nodes = None if found else _why_no_nodes(where, wanted=nodes)
    kind = "control planes alone" if no_nodes else "whole clusters with a node each"
    _say(f"0. A Karmada with three member clusters, as plain processes on this machine: {kind}")
    if no_nodes:
        _say(f"   No pods run, so neither they nor the calls of the client are shown. {no_nodes}")
    boots = boot.up(
        where, binaries, names=list(PLAYERS), nodes=not no_nodes, report=lambda line: _say(f"   {line}")
    )
    env = run(boots)
    try:
        run(_on_local(env, clean=found and not keep))
    finally:
        if keep:
            _how_to_look(env)
        elif not found:
            boot.down(where)
    if not (keep or found):
        _say("\nEverything is stopped and removed. `make demo ARGS=--keep` leaves it running.")


def _why_no_nodes(where: Path, *, wanted: bool | None) -> str | None:
    """Return why the members get no nodes, None if they do: what is missing is installed where possible."""
    if wanted is False:
        return "--no-nodes was given."
    try:
        if packages.can_install():
            packages.install(_say)
        host.check(where, SUBNET)
    except TowpathError as error:
        if wanted:
            raise
        return str(error)
    return None


async def _on_local(env: Environment, *, clean: bool) -> None:
    async with await Client.connect(env.karmada, user_agent=_USER_AGENT) as karmada:
        stage = Stage(karmada, PLAYERS, _say, env if env.has_nodes else None)
        await demo.check_stage(karmada, stage.members)
        await processes.ensure_running(env, PLUGIN)
        await webhook.start(env, karmada)
        _say("   Towpath's plugin and webhook run")
        if env.has_nodes:
            await data_path.start(env, karmada, lambda line: _say(f"   {line}"))
            _say("   Towpath's data path runs on every node")
        try:
            _show(await demo.play(stage))
        finally:
            if clean:
                await clearing.reset(env, _say)


def on_theirs(kubeconfig: Path, context: str | None, members: Sequence[str] | None) -> None:
    """Play on the Karmada of a kubeconfig, with the members given, and take away all that was made."""
    run(_on_theirs(kubeconfig, context, tuple(members or PLAYERS)))


async def _on_theirs(kubeconfig: Path, context: str | None, members: tuple[str, ...]) -> None:
    async with await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as karmada:
        await karmada.json("GET", "/version", deadline=10)
        stage = Stage(karmada, members, _say)
        await demo.check_stage(karmada, members)
        _say("0. Towpath's CRDs and a plugin, for the duration of the demo")
        installed: list[Installed] = []
        try:
            await demo.prepare(stage, installed)
            async with _plugin(kubeconfig, context):
                try:
                    _show(await demo.play(stage))
                finally:
                    await clearing.clear(stage)
        finally:
            await clearing.uninstall(stage, installed)
        _say("\nEverything that was created is removed.")


@asynccontextmanager
async def _plugin(kubeconfig: Path, context: str | None) -> AsyncIterator[None]:
    """Run a plugin as a process of its own. Raises BootFailed with what it said if it does not come up."""
    with tempfile.TemporaryDirectory(prefix="towpath-") as folder:
        socket, log = Path(folder, "plugin.sock"), Path(folder, "plugin.log")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "towpath", "serve", "plugin"),
                *(f"--kubeconfig={kubeconfig}", f"--socket={socket}"),
                *((f"--context={context}",) if context else ()),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            await _serving(process, socket, log)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _serving(process: asyncio.subprocess.Process, socket: Path, log: Path) -> None:
    def failed(how: str) -> BootFailed:
        return BootFailed(f"The plugin {how}:\n{log.read_text().strip()}")

    async def look() -> bool:
        if process.returncode is not None:
            raise failed("ended at once")
        return await is_serving(f"unix:{socket}")

    late = f"was not ready after {_PATIENCE:.0f} s"
    await until(look, bool, patience=_PATIENCE, otherwise=lambda _: failed(late))


def _show(seen: dict[str, Seen]) -> None:
    table = Table("cluster", "has httpbin", "exports it", "imports it from", "traffic policy")
    for member, held in seen.items():
        imports = "\n".join(f"{key}  {ip}:{port}{path}" for key, ip, port, path in held.imports or ())
        table.add_row(
            member,
            "yes" if held.service else "no",
            "yes" if held.export else "no",
            imports or "nothing",
            held.traffic or "none",
        )
    _say("\nWhat each cluster holds, read from the cluster itself:")
    Console(width=110).print(table)


def _how_to_look(env: Environment) -> None:
    _say(f"""
Everything is still running. In your shell:

  export PATH={env.binaries}:$PATH
  {export_line(env)}

  kubectl get clusters.flomesh.io,serviceexports.flomesh.io,serviceimports.flomesh.io -A
  kubectl get propagationpolicies,overridepolicies -n httpbin
  kubectl --context cluster-2 get serviceimports.flomesh.io httpbin -n httpbin -o yaml
  towpath explain httpbin/httpbin --socket {env.plugin_socket}
  towpath local status --root {env.root}

`towpath local reset --root {env.root}` deletes what the walk-through created,
`towpath local down --root {env.root}` ends everything.""")
