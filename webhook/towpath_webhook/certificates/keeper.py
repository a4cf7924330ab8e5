"""Looking after certificates and configurations while the webhook runs: look, decide, write what differs.

Two ways to have a certificate. ``OwnAuthority`` makes CAs, keeps them in a Secret of Karmada, which all
replicas share, and issues its own certificate with them. ``FilePair`` takes it from files, which somebody
else replaces: cert-manager, say. Both read everything anew with each look, ten seconds apart, so there is
nothing that can be missed: a clock that jumps, a folder that is swapped, a configuration that was edited.

A new certificate is served once all configurations have trusted its CA for a whole look: by then apiservers
have heard of it. A look that fails changes nothing, and is told once.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from towpath import __version__
from towpath.errors import Conflict, NotFound, TowpathError, UsageError
from towpath.pki import Identity, issue, make_authority
from towpath_webhook.certificates import rotation
from towpath_webhook.certificates.rotation import Life, Times
from towpath_webhook.certificates.tls import Context
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Object, Settings
from towpath_webhook.registration.store import Seen, Store

log = structlog.get_logger()

Clock = Callable[[], dt.datetime]
LOCAL = ("localhost", "127.0.0.1")
_RETRY = 1.0
"""Seconds between two looks while there is no certificate to serve with."""


def wall_clock() -> dt.datetime:
    """Return what time it is."""
    return dt.datetime.now(dt.UTC)


class Certificates(ABC):
    """A certificate to serve with in ``context``, looked after for as long as ``keep`` runs."""

    def __init__(self, context: Context, store: Store | None, times: Times, clock: Clock) -> None:
        self.context = context
        self._store, self._times, self._clock = store, times, clock
        self._carried: frozenset[bytes] | None = None  # at the look before; None: not known
        self._complaint = self._damage = ""
        self._drifted: tuple[str, ...] = ()

    async def begin(self) -> None:
        """Return once there is a certificate to serve with."""
        while not await self._looked():  # noqa: ASYNC110 - it looks elsewhere
            await asyncio.sleep(min(_RETRY, self._times.look))

    async def keep(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(self._times.look)
            await self._looked()

    @abstractmethod
    async def look(self) -> bool:
        """Look once and do what is due. Returns whether there is a certificate to serve with."""

    async def _looked(self) -> bool:
        try:
            found = await self.look()
        except TowpathError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("certificates not looked after", error=self._complaint)
            return False
        except Exception:
            log.exception("a bug of ours, in looking after certificates")
            return False
        self._complaint = ""
        return found

    async def _see(self) -> tuple[Seen | None, frozenset[bytes] | None]:
        """Read what lies in Karmada, and the CAs that all trusted for a look; None if nobody asks us."""
        if self._store is None:
            return None, None
        seen = await self._store.see()
        if seen.damage not in {"", self._damage}:
            log.warning("what lies in Karmada is damaged", what=seen.damage)
        self._damage = seen.damage
        if not seen.configurations:
            self._carried = None
            return seen, None
        now = frozenset.intersection(*map(configurations.carried, seen.configurations))
        before, self._carried = self._carried, now
        return seen, frozenset() if before is None else now & before

    async def _repair(self, seen: Seen, bundle: bytes) -> None:
        """Let every configuration trust the bundle: more of it an admission policy does not let us write."""
        if self._store is None or seen.settings is None:
            return
        self._report_drift(seen.configurations, seen.settings, bundle)
        for live in seen.configurations:
            right = configurations.trusting(live, bundle)
            if right is None:
                continue
            try:
                await self._store.put_back(right)
            except (Conflict, NotFound):
                continue  # somebody was quicker: the next look will tell
            log.info("configuration trusts other CAs", kind=live["kind"])

    def _report_drift(self, found: Sequence[Object], settings: Settings, bundle: bytes) -> None:
        """Log which configurations somebody has edited, when that changes."""
        wanted = {c["kind"]: c for c in configurations.configurations(settings, bundle)}
        drifted = tuple(
            live["kind"]
            for live in found
            # What another version of Towpath has installed is no drift.
            if settings.version == __version__
            and live["kind"] in wanted
            and configurations.repaired(configurations.trusting(live, bundle) or live, wanted[live["kind"]])
        )
        if drifted and drifted != self._drifted:
            log.warning("configuration differs from what was installed: run `towpath install`", kinds=drifted)
        self._drifted = drifted


class OwnAuthority(Certificates):
    """Certificates of our own making, for ``names`` and for those of the settings."""

    def __init__(
        self,
        context: Context,
        store: Store,
        *,
        names: Sequence[str] = LOCAL,
        times: Times | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        super().__init__(context, store, times or Times(), clock)
        self._own: Store = store
        self._names = tuple(names)
        self._signer: Identity | None = None
        self._serving: Identity | None = None
        self._served: tuple[str, ...] = ()

    async def look(self) -> bool:
        """Make, keep, trust and use CAs as they are due."""
        seen, carried = await self._see()
        assert seen is not None  # noqa: S101 - there is a store
        now = self._clock()
        authorities = self._known(seen)
        if rotation.is_another_needed(list(map(_life, authorities)), now):
            authorities.append(make_authority("towpath-webhook", validity=self._times.authority, now=now))
        by_pem = {_life(authority).pem: authority for authority in authorities}
        all_trusted = by_pem.keys() if carried is None else carried
        kept = rotation.still_trusted(list(map(_life, authorities)), now, all_trusted, self._times.overlap)
        trusted = [by_pem[life.pem] for life in kept]
        if [_life(one) for one in seen.authorities] != kept:
            try:
                await self._own.keep(trusted, seen.secret)
            except Conflict:
                return (
                    self._serving is not None
                )  # another replica was quicker: the next look takes what it made
            log.info("authorities kept", trusted=len(trusted), until=str(kept[-1].ends))
        await self._repair(seen, b"".join(one.certificate_pem for one in trusted))
        current = _life(self._signer).pem if self._signer else None
        signer = by_pem[rotation.signer(kept, all_trusted, current).pem]
        self._serve(
            signer, (*self._names, *(seen.settings.names if seen.settings else ()), *seen.candidates), now
        )
        return True

    def _known(self, seen: Seen) -> list[Identity]:
        """Return the CAs of the Secret, and the one that signs now if somebody took it out."""
        missing = self._signer is not None and self._signer.certificate not in {
            one.certificate for one in seen.authorities
        }
        return [*([self._signer] if self._signer and missing else []), *seen.authorities]

    def _serve(self, signer: Identity, names: tuple[str, ...], now: dt.datetime) -> None:
        names = tuple(dict.fromkeys(names))
        if (
            self._serving is not None
            and self._signer is not None
            and signer.certificate == self._signer.certificate
            and names == self._served
            and not _life(self._serving).is_due(now)
        ):
            return
        # Never longer than the CA: a client would take neither.
        validity = min(self._times.serving, signer.certificate.not_valid_after_utc - now)
        made = issue(signer, "towpath-webhook", validity=validity, serves=names, now=now)
        self.context.present(made.certificate_pem, made.key_pem, "the certificate just made")
        self._signer, self._serving, self._served = signer, made, names
        log.info("certificate", names=list(names), until=str(_life(made).ends))


def _life(identity: Identity) -> Life:
    certificate = identity.certificate
    pem = configurations.blocks(identity.certificate_pem)[0]
    return Life(pem, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


class FilePair(Certificates):
    """A certificate from files, and with ``ca`` the CAs that all configurations are kept trusting."""

    def __init__(
        self,
        context: Context,
        store: Store | None,
        *,
        cert: Path,
        key: Path,
        ca: Path | None = None,
        times: Times | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        super().__init__(context, store, times or Times(), clock)
        self._cert, self._key, self._ca = cert, key, ca
        self._told = f"certificate {cert} with key {key}"
        self._pair: tuple[bytes, bytes] | None = None
        self._given: list[bytes] = []  # the CAs that came with it
        self._trusted: dict[bytes, dt.datetime] = {}  # CAs, and when each was last needed

    async def begin(self) -> None:
        """Take what is there. Raises UsageError if it cannot be used: nobody would replace it unasked."""
        self._take(self._read(), self._authorities())
        await self._looked()

    async def look(self) -> bool:
        """Take the pair if it is another one and everybody trusts its CA."""
        pair = self._read()
        given = self._authorities()
        seen, carried = await self._see() if given else (None, None)
        if seen is not None:
            await self._repair(seen, self._bundle(given))
        if pair != self._pair and (carried is None or carried.issuperset(given)):
            self._take(pair, given)
        return True

    def _bundle(self, given: Sequence[bytes]) -> bytes:
        """Return the CAs of the file, those of what is served, and those that were either not long ago."""
        now = self._clock()
        self._trusted |= dict.fromkeys([*self._given, *given], now)
        self._trusted = {pem: at for pem, at in self._trusted.items() if now < at + self._times.overlap}
        return b"".join(pem + b"\n" for pem in self._trusted)

    def _read(self) -> tuple[bytes, bytes]:
        return _content(self._cert), _content(self._key)

    def _authorities(self) -> list[bytes]:
        return configurations.blocks(_content(self._ca)) if self._ca else []

    def _take(self, pair: tuple[bytes, bytes], given: list[bytes]) -> None:
        self.context.present(*pair, self._told)
        self._pair, self._given = pair, given
        log.info("certificate", file=str(self._cert))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
