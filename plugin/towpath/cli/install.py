"""``towpath install`` and ``towpath uninstall``: everything that Towpath needs in Karmada, in and out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from towpath import __version__
from towpath.cli.running import run
from towpath.errors import UsageError
from towpath_webhook.admission.hooks import Failure
from towpath_webhook.registration.configurations import Interpreter, Settings, parse_service, parse_url

if TYPE_CHECKING:
    from towpath.setup.install import Installed

_USER_AGENT = f"towpath/{__version__}"

Kubeconfig = Annotated[
    Path, typer.Option(envvar="KUBECONFIG", help="Of an administrator of the Karmada apiserver.")
]
Context = Annotated[str | None, typer.Option(help="Context in it; else the current one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


def install(
    kubeconfig: Kubeconfig,
    context: Context = None,
    webhook_url: Annotated[
        str | None, typer.Option(metavar="https://HOST:PORT", help="Where the webhook answers.")
    ] = None,
    webhook_service: Annotated[
        str | None,
        typer.Option(metavar="NAMESPACE/NAME:PORT", help="The same, as a Service that the apiserver knows."),
    ] = None,
    webhook_ca: Annotated[
        Path | None, typer.Option(help="CAs of its certificate in PEM, if others make that.")
    ] = None,
    interpreter: Annotated[
        Interpreter | None,
        typer.Option(
            help="Who tells Karmada what came of an export; lua for members in pull mode.",
            show_default="webhook",
        ),
    ] = None,
    failure_policy: Annotated[
        Failure | None,
        typer.Option(help="What happens to a write while the webhook is down.", show_default="each its own"),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Install CRDs, permissions and the webhook's registration; what others have put there is kept.

    Without an address the registration stays as it is, and is brought up to date.
    """
    if webhook_url and webhook_service:
        raise UsageError("--webhook-url and --webhook-service: give one")
    address = (
        parse_url(webhook_url) if webhook_url else parse_service(webhook_service) if webhook_service else None
    )
    given = Settings(address, interpreter or Interpreter.WEBHOOK, failure_policy) if address else None
    if given is None and (webhook_ca or failure_policy):
        raise UsageError("--webhook-ca and --failure-policy go with --webhook-url or --webhook-service")
    run(_install(kubeconfig, context, given, webhook_ca, interpreter, dry=dry_run))


async def _install(
    kubeconfig: Path,
    context: str | None,
    given: Settings | None,
    ca: Path | None,
    interpreter: Interpreter | None,
    *,
    dry: bool,
) -> None:
    from towpath.karmada.client import Client
    from towpath.setup import install as installing
    from towpath.setup import webhook

    async with await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as client:
        _tell(await installing.install(client, dry=dry), dry=dry)
        _tell(await installing.share_crds(client, dry=dry), dry=dry)
        settings = given or await webhook.stored(client)
        if settings is None:
            sys.stderr.write("no webhook is registered: give --webhook-url or --webhook-service\n")
            return
        settings = replace(settings, version=__version__, interpreter=interpreter or settings.interpreter)
        bundle = ca.read_bytes() if ca else None
        _tell(await webhook.register(client, settings, ca=bundle, dry=dry), dry=dry)


def uninstall(
    kubeconfig: Kubeconfig,
    context: Context = None,
    crds: Annotated[
        bool, typer.Option("--crds", help="Towpath's CRDs as well: deletes every ServiceExport.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Take Towpath out of Karmada: all that it made, while ServiceExports and traffic policies stay."""
    run(_uninstall(kubeconfig, context, crds=crds, dry=dry_run))


async def _uninstall(kubeconfig: Path, context: str | None, *, crds: bool, dry: bool) -> None:
    from towpath.karmada.client import Client
    from towpath.setup import uninstall as uninstalling

    async with await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as client:
        await uninstalling.uninstall(client, lambda item: _tell([item], dry=dry), crds=crds, dry=dry)


def _tell(items: Iterable[Installed], *, dry: bool) -> None:
    for item in items:
        name = f"{item.namespace}/{item.name}" if item.namespace else item.name
        sys.stdout.write(f"{item.resource.kind.lower()}/{name} {item.how}{' (dry run)' if dry else ''}\n")
