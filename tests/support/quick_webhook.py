"""The webhook as a process of its own, in a hurry: it renews every six seconds. Run with ``python -m``."""

from __future__ import annotations

import argparse
import datetime as dt
from contextlib import suppress
from pathlib import Path

import uvloop

from towpath.cli.logs import LogFormat, log_as
from towpath.cli.running import run
from towpath.karmada.client import Client
from towpath_webhook.assembly import application
from towpath_webhook.certificates.keeper import CertificateKeeper, FilePair, OwnAuthority
from towpath_webhook.certificates.rotation import Lifetimes
from towpath_webhook.certificates.tls import ServerTls
from towpath_webhook.http.server import serve
from towpath_webhook.registration.store import Store

TIMES = Lifetimes(
    authority=dt.timedelta(hours=1),
    serving=dt.timedelta(seconds=9),
    overlap=dt.timedelta(minutes=5, seconds=3),  # a CA begins five minutes before it is made
    interval_seconds=0.5,
)


async def _serve(kubeconfig: Path, port: int, files: Path | None) -> None:
    async with await Client.connect(kubeconfig, user_agent="towpath-webhook") as client:
        context, store = ServerTls(), Store(client)
        certificates: CertificateKeeper = OwnAuthority(context, store, lifetimes=TIMES)
        if files is not None:
            cert, key, ca = (files / name for name in ("tls.crt", "tls.key", "ca.crt"))
            certificates = FilePair(context, store, cert=cert, key=key, ca=ca, lifetimes=TIMES)
        async with application() as app:
            await serve(app, "127.0.0.1", port, certificates, drain_seconds=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--files", type=Path)
    given = parser.parse_args()
    log_as(LogFormat.JSON)
    with suppress(KeyboardInterrupt):
        run(_serve(given.kubeconfig, given.port, given.files), loop=uvloop.new_event_loop)
