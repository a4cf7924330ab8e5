"""When the certificates of a webhook end, as its metrics report it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from towpath.pki import Identity, issue, make_authority
from towpath_webhook.certificates.keeper import FilePair, OwnAuthority
from towpath_webhook.certificates.rotation import Lifetimes
from towpath_webhook.certificates.tls import ServerTls
from towpath_webhook.registration.configurations import Object
from towpath_webhook.registration.store import Store, StoredState

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)


class Memory:
    """What Karmada stores for the webhook, before any installation."""

    def __init__(self) -> None:
        self.authorities: tuple[Identity, ...] = ()

    async def read(self) -> StoredState:
        return StoredState(None, self.authorities, None, ())

    async def write_authorities(self, authorities: Sequence[Identity], _secret: Object | None) -> None:
        self.authorities = tuple(authorities)


async def test_an_own_authority_reports_both_ends() -> None:
    lifetimes = Lifetimes(authority=300 * DAY, serving=20 * DAY)
    keeper = OwnAuthority(ServerTls(), cast("Store", Memory()), lifetimes=lifetimes, clock=lambda: NOW)
    await keeper.start()

    assert keeper.expiries == {
        "authority": (NOW + 300 * DAY).timestamp(),
        "serving": (NOW + 20 * DAY).timestamp(),
    }


async def test_a_pair_of_files_reports_its_end(tmp_path: Path) -> None:
    authority = make_authority("test", validity=90 * DAY, now=NOW)
    made = issue(authority, "webhook", validity=9 * DAY, serves=("localhost",), now=NOW)
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    cert.write_bytes(made.certificate_pem)
    key.write_bytes(made.key_pem)
    keeper = FilePair(ServerTls(), None, cert=cert, key=key)
    await keeper.start()

    assert keeper.expiries == {"serving": (NOW + 9 * DAY).timestamp()}
