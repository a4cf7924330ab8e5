"""Keeps the serving certificate, and the CAs in the webhook configurations, valid while the webhook runs.

There are two sources of a certificate. ``OwnAuthority`` creates CAs, keeps them in a Secret of Karmada that
all replicas share, and issues the serving certificate. ``FilePair`` reads the certificate from files that
somebody else renews, for example cert-manager. Both read everything again every ten seconds, so nothing can
be missed: a clock that jumps, a folder that is replaced, a configuration that was edited.

A new certificate is served once all configurations have trusted its CA for a whole interval, because by then
apiservers have received them. A failed pass changes nothing, and is logged once.

Of a configuration the webhook writes only ``caBundle``: its credentials permit no more (docs/security.md).
Other differences are logged, and `towpath install` repairs them."""

from __future__ import annotations

import asyncio
import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from cryptography.x509 import load_pem_x509_certificate

from towpath import __version__
from towpath.errors import Conflict, NotFound, TowpathError, UsageError
from towpath.pki import Identity, issue, make_authority
from towpath_webhook.certificates import rotation
from towpath_webhook.certificates.rotation import Lifetimes, Validity
from towpath_webhook.certificates.tls import ServerTls
from towpath_webhook.registration import configurations
from towpath_webhook.registration.configurations import Settings
from towpath_webhook.registration.store import Store, StoredState

log = structlog.get_logger()

Clock = Callable[[], dt.datetime]
LOCAL_NAMES = ("localhost", "127.0.0.1")
_RETRY_SECONDS = 1.0
"""Time between two passes while there is no certificate to serve with."""


def wall_clock() -> dt.datetime:
    """Return the present time."""
    return dt.datetime.now(dt.UTC)


def _ignore(_: Settings) -> None:
    """Take no notice of the settings."""


class CertificateKeeper(ABC):
    """Keeps a certificate in ``tls`` for as long as ``run`` runs. ``on_settings`` receives the settings of
    each pass."""

    def __init__(self, tls: ServerTls, store: Store | None, lifetimes: Lifetimes, clock: Clock) -> None:
        self.tls = tls
        self.on_settings: Callable[[Settings], None] = _ignore
        self._store, self._lifetimes, self._clock = store, lifetimes, clock
        self._carried: frozenset[bytes] | None = None  # in the previous pass; None: unknown
        self.expiries: dict[str, float] = {}
        """The Unix times at which the served certificate and the last CA expire, by the label in a metric."""
        self._logged_error = self._logged_damage = ""
        self._logged_drift: dict[str, bool] = {}

    @property
    def reads_settings(self) -> bool:
        """Whether ``on_settings`` receives the settings of the registration."""
        return self._store is not None

    async def start(self) -> None:
        """Return once there is a certificate to serve with."""
        while not await self._try_reconcile():  # noqa: ASYNC110 - it polls Karmada
            await asyncio.sleep(min(_RETRY_SECONDS, self._lifetimes.interval_seconds))

    async def run(self) -> None:
        """Reconcile at each interval until cancelled."""
        while True:
            await asyncio.sleep(self._lifetimes.interval_seconds)
            await self._try_reconcile()

    @abstractmethod
    async def reconcile(self) -> bool:
        """Do everything that is due. Return whether there is a certificate to serve with."""

    async def _try_reconcile(self) -> bool:
        try:
            has_certificate = await self.reconcile()
        except TowpathError as error:
            if str(error) != self._logged_error:
                self._logged_error = str(error)
                log.warning("certificates not reconciled", error=self._logged_error)
            return False
        except Exception:
            log.exception("unhandled exception while reconciling certificates")
            return False
        self._logged_error = ""
        return has_certificate

    async def _read_state(self) -> tuple[StoredState | None, frozenset[bytes] | None]:
        """Read the state in Karmada, and the CAs that every configuration has had for an interval.

        The CAs are None if there are no configurations.
        """
        if self._store is None:
            return None, None
        state = await self._store.read()
        if state.damage not in {"", self._logged_damage}:
            log.warning("stored CA or settings invalid", error=state.damage)
        self._logged_damage = state.damage
        if state.settings is not None:
            self.on_settings(state.settings)
        if not state.configurations:
            self._carried = None
            return state, None
        now = frozenset.intersection(*map(configurations.trusted_authorities, state.configurations))
        before, self._carried = self._carried, now
        return state, frozenset() if before is None else now & before

    async def _write_bundle(self, state: StoredState, bundle: bytes) -> None:
        """Write the CAs into every configuration that has others."""
        if self._store is None or state.settings is None:
            return
        self._log_drift(state, state.settings, bundle)
        for live in state.configurations:
            updated = configurations.with_bundle(live, bundle)
            if updated is None:
                continue
            try:
                await self._store.replace(updated)
            except (Conflict, NotFound):
                continue  # another writer was first: the next pass sees its result
            log.info("CA bundle updated", kind=live["kind"])

    def _log_drift(self, state: StoredState, settings: Settings, bundle: bytes) -> None:
        """Log each configuration that begins to differ from the settings in more than its CAs."""
        if settings.version != __version__:
            return  # the table of another version of Towpath is unknown
        wanted = {config["kind"]: config for config in configurations.configurations(settings, bundle)}
        for live in state.configurations:
            kind = live["kind"]
            trusting = configurations.with_bundle(live, bundle) or live
            is_drifted = kind not in wanted or configurations.repaired(trusting, wanted[kind]) is not None
            if is_drifted and not self._logged_drift.get(kind):
                log.warning("configuration edited: run `towpath install` to repair it", kinds=(kind,))
            self._logged_drift[kind] = is_drifted


class OwnAuthority(CertificateKeeper):
    """Certificates of Towpath's own CAs, for ``names`` and for those of the settings."""

    def __init__(
        self,
        tls: ServerTls,
        store: Store,
        *,
        names: Sequence[str] = LOCAL_NAMES,
        lifetimes: Lifetimes | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        super().__init__(tls, store, lifetimes or Lifetimes(), clock)
        self._authorities: Store = store
        self._names = tuple(names)
        self._signer: Identity | None = None
        self._serving: Identity | None = None
        self._served_names: tuple[str, ...] = ()

    async def reconcile(self) -> bool:
        """Create, store, distribute and use CAs as they are due."""
        state, carried = await self._read_state()
        assert state is not None  # noqa: S101 - there is a store
        now = self._clock()
        authorities = self._known_authorities(state)
        if rotation.is_another_needed(list(map(_validity, authorities)), now):
            validity = self._lifetimes.authority
            authorities.append(make_authority("towpath-webhook", validity=validity, now=now))
        self.expiries["authority"] = _validity(authorities[-1]).ends.timestamp()
        by_pem = {_validity(authority).pem: authority for authority in authorities}
        all_trusted = by_pem.keys() if carried is None else carried
        kept = rotation.still_trusted(
            list(map(_validity, authorities)), now, all_trusted, self._lifetimes.overlap
        )
        trusted = [by_pem[validity.pem] for validity in kept]
        if list(map(_validity, state.authorities)) != kept:
            try:
                await self._authorities.write_authorities(trusted, state.secret)
            except Conflict:
                # Another replica was first: the next pass uses its CAs.
                return self._serving is not None
            log.info("CAs stored", number=len(trusted), until=str(kept[-1].ends))
        await self._write_bundle(state, b"".join(authority.certificate_pem for authority in trusted))
        current = _validity(self._signer).pem if self._signer else None
        signer = by_pem[rotation.signer(kept, all_trusted, current).pem]
        candidates = state.candidates
        self._serve(
            signer, (*self._names, *(state.settings.names if state.settings else ()), *candidates), now
        )
        return True

    def _known_authorities(self, state: StoredState) -> list[Identity]:
        """Return the CAs of the Secret, and the present signer if somebody removed it from there."""
        stored = {authority.certificate for authority in state.authorities}
        is_removed = self._signer is not None and self._signer.certificate not in stored
        return [*([self._signer] if self._signer and is_removed else []), *state.authorities]

    def _serve(self, signer: Identity, names: tuple[str, ...], now: dt.datetime) -> None:
        names = tuple(dict.fromkeys(names))
        if (
            self._serving is not None
            and self._signer is not None
            and signer.certificate == self._signer.certificate
            and names == self._served_names
            and not _validity(self._serving).is_due(now)
        ):
            return
        # Never longer than the CA: a client would accept neither.
        validity = min(self._lifetimes.serving, signer.certificate.not_valid_after_utc - now)
        issued = issue(signer, "towpath-webhook", validity=validity, serves=names, now=now)
        self.tls.load(issued.certificate_pem, issued.key_pem, "issued certificate")
        self._signer, self._serving, self._served_names = signer, issued, names
        self.expiries["serving"] = _validity(issued).ends.timestamp()
        log.info("certificate issued", names=list(names), until=str(_validity(issued).ends))


def _validity(identity: Identity) -> Validity:
    certificate = identity.certificate
    pem = configurations.split_pem(identity.certificate_pem)[0]
    return Validity(pem, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


class FilePair(CertificateKeeper):
    """A certificate from files; with ``ca`` all configurations are kept trusting the CAs in that file."""

    def __init__(
        self,
        tls: ServerTls,
        store: Store | None,
        *,
        cert: Path,
        key: Path,
        ca: Path | None = None,
        lifetimes: Lifetimes | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        super().__init__(tls, store, lifetimes or Lifetimes(), clock)
        self._cert, self._key, self._ca = cert, key, ca
        self._description = f"certificate {cert} with key {key}"
        self._pair: tuple[bytes, bytes] | None = None
        self._served_authorities: list[bytes] = []
        self._needed_at: dict[bytes, dt.datetime] = {}  # CAs, and when each was last needed

    async def start(self) -> None:
        """Load the files. Raises UsageError if they cannot be used: retrying would not replace them."""
        self._load(self._read_pair(), self._read_authorities())
        await self._try_reconcile()

    async def reconcile(self) -> bool:
        """Load the pair if it has changed and every configuration trusts its CA."""
        pair = self._read_pair()
        authorities = self._read_authorities()
        state, carried = await self._read_state() if authorities else (None, None)
        if state is not None:
            await self._write_bundle(state, self._bundle(authorities))
        if pair != self._pair and (carried is None or carried.issuperset(authorities)):
            self._load(pair, authorities)
        return True

    def _bundle(self, authorities: Sequence[bytes]) -> bytes:
        """Return the CAs of the file, those of the served certificate, and those that recently were
        either."""
        now = self._clock()
        self._needed_at |= dict.fromkeys([*self._served_authorities, *authorities], now)
        overlap = self._lifetimes.overlap
        self._needed_at = {pem: at for pem, at in self._needed_at.items() if now < at + overlap}
        return b"".join(pem + b"\n" for pem in self._needed_at)

    def _read_pair(self) -> tuple[bytes, bytes]:
        return _content(self._cert), _content(self._key)

    def _read_authorities(self) -> list[bytes]:
        return configurations.split_pem(_content(self._ca)) if self._ca else []

    def _load(self, pair: tuple[bytes, bytes], authorities: list[bytes]) -> None:
        self.tls.load(*pair, self._description)
        self._pair, self._served_authorities = pair, authorities
        self.expiries["serving"] = load_pem_x509_certificate(pair[0]).not_valid_after_utc.timestamp()
        log.info("certificate loaded", file=str(self._cert))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
