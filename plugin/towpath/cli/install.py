"""``towpath install`` and ``towpath uninstall``: everything that Towpath needs in Karmada."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from towpath import __version__
from towpath.cli import credentials
from towpath.cli import kubeconfig as options
from towpath.cli.running import run
from towpath.errors import UsageError
from towpath.model.installation import PathScope
from towpath_webhook.admission.hooks import FailurePolicy
from towpath_webhook.registration.configurations import Interpreter, Settings, parse_service, parse_url

if TYPE_CHECKING:
    from towpath.karmada.client import Client, Resource
    from towpath.setup.install import Installed

_USER_AGENT = f"towpath/{__version__}"


class Registration(StrEnum):
    """What an installation does with the present registration of the webhook."""

    UPDATE = "update"
    KEEP = "keep"
    REMOVE = "remove"


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
    paths: Annotated[
        PathScope | None,
        typer.Option(
            help="Which paths ServiceExports may have: any, or those that begin with /<namespace>/. The "
            "setting lasts over later runs.",
            show_default="shared",
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
    data_path: Annotated[
        bool,
        typer.Option(
            "--data-path",
            help="Have Karmada run towpath-net in every member, except for those with the label "
            "towpath.io/data-path: none.",
        ),
    ] = False,
    image: Annotated[
        str | None,
        typer.Option(
            help="Towpath's image in the members.", show_default="docker.io/towpath/towpath:VERSION"
        ),
    ] = None,
    write_secret: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="Write them to this Secret, in the cluster whose pod runs the command.",
            show_default=False,
        ),
    ] = None,
    registration: Annotated[
        Registration,
        typer.Option(
            help="What becomes of a registration of the webhook without --webhook-url or --webhook-service."
        ),
    ] = Registration.UPDATE,
    plugin_host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Write certificates for --grpc-listen of the plugin at this host as well.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Install CRDs, permissions and the webhook's registration. Objects of others are kept.

    Without --webhook-url or --webhook-service, a registration that exists is brought up to date, or what
    --registration says.
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
    if image and not data_path:
        raise UsageError("--image: Pass --data-path as well.")
    if plugin_host and not (write_kubeconfig or write_secret):
        raise UsageError("--plugin-host: Pass --write-kubeconfig or --write-secret as well.")
    if given and registration is not Registration.UPDATE:
        raise UsageError("--registration: Remove --webhook-url and --webhook-service.")
    wanted = credentials.Wanted(write_kubeconfig, write_secret, plugin_host)
    run(
        _install(
            kubeconfig, context, given, webhook_ca, interpreter, registration, wanted, paths, dry=dry_run
        )
    )
    if data_path:
        run(_install_data_path(kubeconfig, context, image, dry=dry_run))


async def _install(
    kubeconfig: str,
    context: str | None,
    given: Settings | None,
    ca: Path | None,
    interpreter: Interpreter | None,
    registration: Registration,
    wanted: credentials.Wanted,
    paths: PathScope | None,
    *,
    dry: bool,
) -> None:
    from towpath.karmada.client import Client
    from towpath.setup import install as installing
    from towpath.setup import webhook

    async with (
        await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as client,
        credentials.opened(wanted) as places,
    ):
        await _rehearse(client, paths, issues_tokens=bool(places.stores))
        _report(await installing.install(client, paths=paths, dry=dry), dry=dry)
        _report(await installing.share_crds(client, dry=dry), dry=dry)
        if not dry:
            _report(await credentials.write(client, places), dry=dry)
        if registration is Registration.REMOVE:
            _report(await webhook.unregister(client, dry=dry), dry=dry)
        if registration is not Registration.UPDATE:
            return
        settings = given or await webhook.stored(client)
        if settings is None:
            sys.stderr.write("The webhook is not registered. Pass --webhook-url or --webhook-service.\n")
            return
        settings = replace(settings, version=__version__, interpreter=interpreter or settings.interpreter)
        bundle = ca.read_bytes() if ca else None
        _report(await webhook.register(client, settings, ca=bundle, dry=dry), dry=dry)


async def _rehearse(client: Client, paths: PathScope | None, *, issues_tokens: bool) -> None:
    """Have the apiserver refuse before anything is changed. Raises Unsuitable or Unreachable."""
    from towpath.errors import ApiError
    from towpath.setup import install as installing
    from towpath.setup import requirements

    await requirements.require(client, issues_tokens=issues_tokens)
    try:
        await installing.install(client, paths=paths, dry=True)
    except ApiError as error:
        raise requirements.refusal(error) from error


async def _install_data_path(kubeconfig: str, context: str | None, image: str | None, *, dry: bool) -> None:
    from towpath.karmada.client import Client
    from towpath.setup.data_path import IMAGE, install_data_path

    async with await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as client:
        _report(await install_data_path(client, image or IMAGE, dry=dry), dry=dry)


def uninstall(
    kubeconfig: options.Admin,
    context: options.Context = None,
    crds: Annotated[
        bool,
        typer.Option("--crds", help="Delete Towpath's CRDs as well, and with them every ServiceExport."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting CRDs.")] = False,
    delete_secret: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="Delete the Secret of `towpath install --write-secret` as well.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Remove Towpath from Karmada. ServiceExports, traffic policies and CRDs stay."""
    secret = credentials.parse_name(delete_secret, "--delete-secret") if delete_secret else None
    run(_uninstall(kubeconfig, context, crds=crds, yes=yes, dry=dry_run))
    if secret and not dry_run:
        run(credentials.delete(secret))


async def _uninstall(kubeconfig: str, context: str | None, *, crds: bool, yes: bool, dry: bool) -> None:
    from towpath.karmada.client import Client
    from towpath.setup import uninstall as uninstalling

    async with await Client.connect(kubeconfig, context=context, user_agent=_USER_AGENT) as client:
        if crds and not (yes or dry):
            _confirm(await uninstalling.users_objects(client))
        kept = await uninstalling.uninstall(client, lambda item: _report([item], dry=dry), crds=crds, dry=dry)
    if not crds:
        objects = _counted(kept) or "no objects of users"
        sys.stderr.write(f"Kept: the CRDs and {objects}. To delete them, run `towpath uninstall --crds`.\n")


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
