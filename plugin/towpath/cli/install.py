"""``towpath install`` and ``towpath uninstall``: everything that Towpath needs in Karmada."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from towpath import __version__
from towpath.cli import kubeconfig as options
from towpath.cli.running import run
from towpath.errors import UsageError
from towpath_webhook.admission.hooks import FailurePolicy
from towpath_webhook.registration.configurations import Interpreter, Settings, parse_service, parse_url

if TYPE_CHECKING:
    from towpath.karmada.client import Client, Resource
    from towpath.setup.install import Installed

_USER_AGENT = f"towpath/{__version__}"

DryRun = Annotated[bool, typer.Option("--dry-run", help="Report what would be done, and write nothing.")]


def install(
    kubeconfig: options.Admin,
    context: options.Context = None,
    webhook_url: Annotated[
        str | None,
        typer.Option(metavar="https://HOST:PORT", help="URL of the webhook.", show_default=False),
    ] = None,
    webhook_service: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME:PORT",
            help="Service of the webhook, if the apiserver can resolve Services.",
            show_default=False,
        ),
    ] = None,
    webhook_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CAs of the webhook's certificate, in PEM. Towpath issues the certificate without it.",
            show_default=False,
        ),
    ] = None,
    interpreter: Annotated[
        Interpreter | None,
        typer.Option(
            help="How Karmada learns the status and health of exports. Use lua if members in pull mode "
            "cannot reach the webhook.",
            show_default="webhook",
        ),
    ] = None,
    failure_policy: Annotated[
        FailurePolicy | None,
        typer.Option(
            help="What happens to a write while the webhook is down.", show_default="differs by webhook"
        ),
    ] = None,
    write_kubeconfig: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write plugin.kubeconfig and webhook.kubeconfig with new credentials to this folder.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Install CRDs, permissions and the webhook's registration. Objects of others are kept.

    Without --webhook-url or --webhook-service, a registration that exists is brought up to date.
    """
    if webhook_url and webhook_service:
        raise UsageError("--webhook-url and --webhook-service: Pass only one of them.")
    address = (
        parse_url(webhook_url) if webhook_url else parse_service(webhook_service) if webhook_service else None
    )
    given = Settings(address, interpreter or Interpreter.WEBHOOK, failure_policy) if address else None
    if given is None and (webhook_ca or failure_policy):
        raise UsageError(
            "--webhook-ca and --failure-policy: Pass --webhook-url or --webhook-service as well."
        )
    run(_install(kubeconfig, context, given, webhook_ca, interpreter, write_kubeconfig, dry=dry_run))


async def _install(
    kubeconfig: str,
    context: str | None,
    given: Settings | None,
    ca: Path | None,
    interpreter: Interpreter | None,
    folder: Path | None,
    *,
    dry: bool,
) -> None:
    from towpath.karmada.client import Client
    from towpath.setup import install as installing
    from towpath.setup import webhook

    async with await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as client:
        _report(await installing.install(client, dry=dry), dry=dry)
        _report(await installing.share_crds(client, dry=dry), dry=dry)
        if folder is not None and not dry:
            await _write_kubeconfigs(client, folder)
        settings = given or await webhook.stored(client)
        if settings is None:
            sys.stderr.write("The webhook is not registered. Pass --webhook-url or --webhook-service.\n")
            return
        settings = replace(settings, version=__version__, interpreter=interpreter or settings.interpreter)
        bundle = ca.read_bytes() if ca else None
        _report(await webhook.register(client, settings, ca=bundle, dry=dry), dry=dry)


async def _write_kubeconfigs(client: Client, folder: Path) -> None:
    from towpath.setup.credentials import write_kubeconfigs

    installed, written = await write_kubeconfigs(client, folder)
    _report(installed, dry=False)
    for path, expires in written:
        sys.stdout.write(f"{path} written, valid until {expires}\n")


def uninstall(
    kubeconfig: options.Admin,
    context: options.Context = None,
    crds: Annotated[
        bool,
        typer.Option("--crds", help="Delete Towpath's CRDs as well, and with them every ServiceExport."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting CRDs.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove Towpath from Karmada. ServiceExports, traffic policies and CRDs stay."""
    run(_uninstall(kubeconfig, context, crds=crds, yes=yes, dry=dry_run))


async def _uninstall(kubeconfig: str, context: str | None, *, crds: bool, yes: bool, dry: bool) -> None:
    from towpath.karmada.client import Client
    from towpath.setup import uninstall as uninstalling

    async with await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as client:
        if crds and not (yes or dry):
            _confirm(await uninstalling.users_objects(client))
        kept = await uninstalling.uninstall(client, lambda item: _report([item], dry=dry), crds=crds, dry=dry)
    if not crds:
        said = _counted(kept) or "no objects of users"
        sys.stderr.write(f"Kept: the CRDs and {said}. To delete them, run `towpath uninstall --crds`.\n")


def _confirm(kept: Mapping[Resource, int]) -> None:
    """Ask before objects of users are deleted. Raises UsageError where nobody can answer."""
    lost = _counted(kept) or "no objects"
    if not sys.stdin.isatty():
        raise UsageError(f"--crds: This deletes {lost} of users. Pass --yes to confirm.")
    if not typer.confirm(f"Deleting the CRDs deletes {lost} of users. Continue?", err=True):
        raise typer.Exit(1)


def _counted(kept: Mapping[Resource, int]) -> str:
    return ", ".join(f"{count} {resource}" for resource, count in kept.items() if count)


def _report(items: Iterable[Installed], *, dry: bool) -> None:
    for item in items:
        name = f"{item.namespace}/{item.name}" if item.namespace else item.name
        sys.stdout.write(f"{item.resource.kind.lower()}/{name} {item.how}{' (dry run)' if dry else ''}\n")
