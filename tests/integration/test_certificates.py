"""The webhook's certificates: made once by several, renewed, rotated under load, and trusted all the time."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509

from tests.caller import Caller, trust_configuration
from tests.conftest import Plane
from tests.support.quick_webhook import TIMES
from tests.support.waiting import until
from towpath import __version__
from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.local.ports import free_ports
from towpath.model.ownership import MANAGED_BY_LABEL, TOWPATH
from towpath.pki import Identity, issue, make_authority
from towpath.setup.webhook import register, unregister
from towpath_webhook.admission.hooks import FailurePolicy
from towpath_webhook.certificates.keeper import CertificateKeeper, FilePair, OwnAuthority, wall_clock
from towpath_webhook.certificates.rotation import DAY, Lifetimes
from towpath_webhook.certificates.tls import ServerTls
from towpath_webhook.registration import configurations as registration
from towpath_webhook.registration.configurations import (
    Settings,
    configurations,
    split_pem,
    trusted_authorities,
)
from towpath_webhook.registration.store import (
    CONFIGURATIONS,
    NAMESPACE,
    SECRET,
    SETTINGS,
    Store,
)

NOWHERE = Settings("https://127.0.0.1:1", failure_policy=FailurePolicy.IGNORE, version=__version__)
Now = Callable[[], dt.datetime]


@pytest.fixture
async def store(plane: Plane, karmada: Client) -> AsyncIterator[Store]:
    """Return what the webhook's own user sees and may do; nothing is there before and after."""

    async def clear() -> None:
        await unregister(karmada)
        await karmada.delete(resources.SECRETS, SECRET, NAMESPACE)

    await clear()
    async with await Client.connect(plane.env.webhook, user_agent="towpath-webhook") as client:
        yield Store(client)
    await clear()


@asynccontextmanager
async def serving(plane: Plane, *more: str) -> AsyncIterator[str]:
    """Run a webhook that is in a hurry; gives its address."""
    port = free_ports(1)[0]
    argv = ("-m", "tests.support.quick_webhook", f"--kubeconfig={plane.env.webhook}", f"--port={port}", *more)
    process = await asyncio.create_subprocess_exec(sys.executable, *argv)
    try:
        await until(lambda: listens(port), bool)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


def shown(certificates: CertificateKeeper) -> x509.Certificate:
    """Return the certificate that the next client would be shown."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    asking = anyone.wrap_bio(back, there)
    answering = certificates.tls.context.wrap_bio(there, back, server_side=True)
    for side in (asking, answering) * 2:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return x509.load_der_x509_certificate(asking.getpeercert(binary_form=True) or b"")


async def trusted_by(karmada: Client, resource: Resource) -> frozenset[bytes]:
    return trusted_authorities(await karmada.get(resource, registration.NAME))


async def ca_of(store: Store) -> list[bytes]:
    return split_pem(await store.bundle())


async def registered(karmada: Client, store: Store, settings: Settings = NOWHERE) -> list[dict[str, Any]]:
    """Register without a probe of the server; return the expected configurations."""
    metadata = {"name": SETTINGS, "namespace": NAMESPACE, "labels": {MANAGED_BY_LABEL: TOWPATH}}
    settings_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings.dump()}
    await karmada.json("POST", resources.CONFIG_MAPS.path(NAMESPACE), body=settings_map)
    wanted = configurations(settings, await store.bundle())
    for configuration in wanted:
        await karmada.json("POST", CONFIGURATIONS[configuration["kind"]].path(), body=configuration)
    return wanted


async def test_several_webhooks_make_one_ca(store: Store) -> None:
    several = [OwnAuthority(ServerTls(), store) for _ in range(5)]
    await asyncio.gather(*(webhook.start() for webhook in several))

    (ca,) = await ca_of(store)
    authority = x509.load_pem_x509_certificate(ca)
    certificates = [shown(webhook) for webhook in several]
    for certificate in certificates:
        certificate.verify_directly_issued_by(authority)
    assert len({certificate.serial_number for certificate in certificates}) == 5, "each has its own key"
    names = certificates[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


async def test_the_certificate_holds_the_name_of_the_registration(karmada: Client, store: Store) -> None:
    certificates = OwnAuthority(ServerTls(), store)
    await certificates.start()
    await registered(karmada, store, Settings("https://towpath.example:8443", version=__version__))
    await certificates.reconcile()
    names = shown(certificates).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "towpath.example" in names.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize("kind", list(CONFIGURATIONS))
async def test_of_a_drifted_configuration_only_the_trust_is_put_right(
    karmada: Client, store: Store, kind: str
) -> None:
    certificates = OwnAuthority(ServerTls(), store)
    await certificates.start()
    await registered(karmada, store)
    path = CONFIGURATIONS[kind].path("", registration.NAME)
    before = (await karmada.json("GET", path))["webhooks"]
    await certificates.reconcile()
    drifted = await karmada.json("GET", path)
    assert drifted["webhooks"] == before, "nothing is written when nothing is wrong"
    drifted["webhooks"][0]["timeoutSeconds"] = 9
    drifted["webhooks"][0]["clientConfig"]["caBundle"] = base64.b64encode(OTHER.certificate_pem).decode()
    await karmada.json("PUT", path, body=drifted)

    with structlog.testing.capture_logs() as logs:
        await certificates.reconcile()
        await certificates.reconcile()

    after = (await karmada.json("GET", path))["webhooks"]
    assert after[0].pop("timeoutSeconds") == 9, "an edit is an administrator's, and so is undoing it"
    assert after == [{k: v for k, v in before[0].items() if k != "timeoutSeconds"}, *before[1:]]
    assert [line["kinds"] for line in logs if "towpath install" in line["event"]] == [(kind,)], (
        "reported once"
    )


OTHER = make_authority("other", validity=DAY)


async def test_a_configuration_that_was_deleted_stays_deleted(karmada: Client, store: Store) -> None:
    certificates = OwnAuthority(ServerTls(), store)
    await certificates.start()
    await registered(karmada, store)
    for resource in CONFIGURATIONS.values():
        await karmada.delete(resource, registration.NAME)
    await certificates.reconcile()
    for resource in CONFIGURATIONS.values():
        with pytest.raises(NotFound):
            await karmada.get(resource, registration.NAME)


async def test_a_configuration_of_another_owner_is_left_alone(karmada: Client, store: Store) -> None:
    certificates = OwnAuthority(ServerTls(), store)
    await certificates.start()
    await registered(karmada, store)
    resource = CONFIGURATIONS[registration.MUTATING]
    theirs = await karmada.get(resource, registration.NAME)
    theirs["metadata"]["labels"] = {"of": "somebody"}
    theirs["webhooks"] = theirs["webhooks"][:1]
    theirs = await karmada.json("PUT", resource.path("", registration.NAME), body=theirs)
    await certificates.reconcile()
    assert await karmada.get(resource, registration.NAME) == theirs
    await karmada.request("DELETE", resource.path("", registration.NAME))


@pytest.mark.parametrize("damage", ["deleted", "emptied", "garbled"])
async def test_a_secret_that_is_lost_is_put_back(karmada: Client, store: Store, damage: str) -> None:
    certificates = OwnAuthority(ServerTls(), store)
    await certificates.start()
    await registered(karmada, store)
    before, serial = await ca_of(store), shown(certificates).serial_number
    secret = await karmada.get(resources.SECRETS, SECRET, NAMESPACE)
    if damage == "deleted":
        await karmada.delete(resources.SECRETS, SECRET, NAMESPACE)
    else:
        secret["data"] = {"ca.crt": base64.b64encode(b"?").decode()} if damage == "garbled" else {}
        await karmada.json("PUT", resources.SECRETS.path(NAMESPACE, SECRET), body=secret)
    for _ in range(3):
        await certificates.reconcile()
    assert await ca_of(store) == before
    assert shown(certificates).serial_number == serial, "no caller notices"


async def test_rotation_notices_a_clock_that_jumps(store: Store) -> None:
    assert Lifetimes().interval_seconds <= 60
    ahead = dt.timedelta()
    certificates = OwnAuthority(
        ServerTls(), store, lifetimes=Lifetimes(interval_seconds=0.05), clock=lambda: wall_clock() + ahead
    )
    await certificates.start()
    before = shown(certificates)
    keeping = asyncio.create_task(certificates.run())
    for jump in (60 * DAY, 300 * DAY, -400 * DAY):
        ahead += jump
        now = wall_clock() + ahead

        async def look() -> x509.Certificate:
            return shown(certificates)

        after = await until(look, lambda seen, old=before: seen.serial_number != old.serial_number)  # type: ignore[misc]
        assert after.not_valid_before_utc <= now < after.not_valid_after_utc
        before = after
    keeping.cancel()
    assert len(await ca_of(store)) == 3, "also a CA for each time, as none is carried by anybody"


async def test_a_new_ca_signs_only_after_all_trust_it(karmada: Client, store: Store) -> None:
    ahead = dt.timedelta()
    certificates = OwnAuthority(ServerTls(), store, clock=lambda: wall_clock() + ahead)
    await certificates.start()
    await registered(karmada, store)
    await certificates.reconcile()
    (old,) = await ca_of(store)
    ahead = 250 * DAY
    trusted, signed = [], []
    for _ in range(4):
        await certificates.reconcile()
        found = [await karmada.get(resource, registration.NAME) for resource in CONFIGURATIONS.values()]
        trusted.append({len(trusted_authorities(configuration)) for configuration in found})
        signed.append(_is_by(shown(certificates), old))
    assert trusted == [{2}] * 4, "old and new, in all three"
    assert signed == [True, True, False, False]
    ahead = 285 * DAY
    for _ in range(2):
        await certificates.reconcile()
    assert old not in await ca_of(store)
    found = [await karmada.get(resource, registration.NAME) for resource in CONFIGURATIONS.values()]
    left = set(await ca_of(store))
    assert all(trusted_authorities(configuration) == left for configuration in found)


def _is_by(certificate: x509.Certificate, pem: bytes) -> bool:
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(pem))
    except Exception:  # of several kinds
        return False
    return True


async def test_rotation_of_certificates_and_ca_fails_no_call(
    plane: Plane, karmada: Client, store: Store, caller: Caller, tmp_path: Path
) -> None:
    """500 calls a second at two webhooks, by a client that trusts the CA of the configuration."""
    async with serving(plane) as first, serving(plane) as second:
        await register(karmada, Settings(f"https://{first}", version=__version__))
        (old,) = await ca_of(store)
        trust = trust_configuration(
            plane.karmada, CONFIGURATIONS[registration.MUTATING].path("", registration.NAME), tmp_path
        )
        async with caller.calling([first, second], *trust) as report:
            seen = await store.read()
            new = make_authority("towpath-webhook", validity=TIMES.authority)  # as a third webhook would
            await store.write_authorities([*seen.authorities, new], seen.secret)
            await until(report.certificates, lambda shown: shown >= 4)
            for resource in CONFIGURATIONS.values():
                await until(partial(trusted_by, karmada, resource), lambda trusted: old not in trusted)
        assert old not in await ca_of(store)
    assert report.failed == 0, report
    assert report.issuers >= 2, report
    assert report.serials >= 4, report
    assert report.handshakes > 20, report
    assert report.calls > 200, report


class Mount:
    """A folder as a kubelet mounts a Secret: files are links into ``..data``, which is swapped at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._swaps = 0

    def swap(self, pair: Identity, ca: bytes, key: bytes | None = None) -> None:
        self._swaps += 1
        version = self.folder / f"..{self._swaps}"
        version.mkdir(parents=True)
        for name, content in (
            ("tls.crt", pair.certificate_pem),
            ("tls.key", key or pair.key_pem),
            ("ca.crt", ca),
        ):
            (version / name).write_bytes(content)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data", name))
        fresh = self.folder / "..fresh"
        fresh.symlink_to(version.name)
        fresh.replace(self.folder / "..data")


def pair_by(authority: Identity) -> Identity:
    return issue(authority, "webhook", serves=["127.0.0.1"], validity=DAY)


async def test_swapped_files_are_taken_over_only_if_they_match(tmp_path: Path) -> None:
    mount, authority = Mount(tmp_path / "mount"), make_authority("theirs", validity=DAY)
    first, second, third = (pair_by(authority) for _ in range(3))
    mount.swap(first, authority.certificate_pem)
    cert, key = mount.folder / "tls.crt", mount.folder / "tls.key"
    certificates = FilePair(ServerTls(), None, cert=cert, key=key, lifetimes=Lifetimes(interval_seconds=0.05))
    await certificates.start()
    assert shown(certificates) == first.certificate
    keeping = asyncio.create_task(certificates.run())
    with structlog.testing.capture_logs() as logs:
        mount.swap(second, authority.certificate_pem, key=first.key_pem)

        async def complaints() -> list[str]:
            return [line["error"] for line in logs if "error" in line]

        (complaint,) = await until(complaints, bool)
        assert "The key does not belong to the certificate." in complaint
        assert shown(certificates) == first.certificate, "the old pair stays"
        mount.swap(third, authority.certificate_pem)

        async def look() -> x509.Certificate:
            return shown(certificates)

        await until(look, lambda seen: seen == third.certificate)
        assert len(await complaints()) == 1, "reported once"
    keeping.cancel()


async def test_no_call_fails_while_files_with_another_ca_are_mounted(
    plane: Plane, karmada: Client, store: Store, caller: Caller, tmp_path: Path
) -> None:
    mount, old, new = Mount(tmp_path / "mount"), *(make_authority(n, validity=DAY) for n in ("old", "new"))
    mount.swap(pair_by(old), old.certificate_pem)
    async with serving(plane, f"--files={mount.folder}") as address:
        await register(karmada, Settings(f"https://{address}", version=__version__), ca=old.certificate_pem)
        mutating = CONFIGURATIONS[registration.MUTATING]
        trust = trust_configuration(plane.karmada, mutating.path("", registration.NAME), tmp_path)
        async with caller.calling([address], *trust) as report:
            mount.swap(pair_by(new), new.certificate_pem)
            await until(report.certificates, lambda shown: shown == 2)
            both = {*split_pem(old.certificate_pem), *split_pem(new.certificate_pem)}
            assert await trusted_by(karmada, mutating) == both
    assert (report.failed, report.issuers, report.serials) == (0, 2, 2), report


async def test_the_log_contains_no_key(karmada: Client, store: Store) -> None:
    with structlog.testing.capture_logs() as logs:
        certificates = OwnAuthority(ServerTls(), store)
        await certificates.start()
        await registered(karmada, store)
        secret = await karmada.get(resources.SECRETS, SECRET, NAMESPACE)
        secret["data"] = {"ca.key": secret["data"]["ca.key"]}
        await karmada.json("PUT", resources.SECRETS.path(NAMESPACE, SECRET), body=secret)
        await certificates.reconcile()
    output = json.dumps(logs)
    assert "0 certificates and 1 keys" in output
    assert "PRIVATE" not in output
    assert secret["data"]["ca.key"][:40] not in output
