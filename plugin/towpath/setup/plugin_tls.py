"""Certificates by which the plugin and its clients, webhook and page, recognize each other over TCP.

A CA of their own signs the server certificate of the plugin and the client certificates. The CA outlives many
of them and is used again, so that a process that has read its new certificate and one that has not still
trust each other. Pure: the clock is an argument.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from towpath.errors import InvalidObject
from towpath.pki import Identity, issue, make_authority
from towpath.setup.credentials import CredentialFile

CA, CA_KEY = "plugin-ca.crt", "plugin-ca.key"
CLIENTS = ("webhook", "page")
CA_VALIDITY = dt.timedelta(days=3650)
VALIDITY = dt.timedelta(days=365)


def issue_certificates(host: str, stored: Mapping[str, bytes], now: dt.datetime) -> list[CredentialFile]:
    """Return the certificates for a plugin at ``host``; ``stored`` are the files that there are already."""
    authority = _stored_authority(stored, now) or make_authority(
        "towpath-plugin-ca", validity=CA_VALIDITY, now=now
    )
    server = issue(authority, "towpath-plugin", validity=VALIDITY, serves=(host,), now=now)
    files = [*_files(CA, CA_KEY, authority), *_files("plugin.crt", "plugin.key", server)]
    for name in CLIENTS:
        client = issue(authority, f"towpath-{name}", validity=VALIDITY, now=now)
        files += _files(f"{name}.crt", f"{name}.key", client)
    return files


def _stored_authority(stored: Mapping[str, bytes], now: dt.datetime) -> Identity | None:
    """Return the CA that there is, None if it is damaged or ends before what it would sign."""
    try:
        authority = Identity.read(stored[CA], stored[CA_KEY])
    except (KeyError, InvalidObject):
        return None
    return authority if authority.certificate.not_valid_after_utc >= now + VALIDITY else None


def _files(certificate: str, key: str, identity: Identity) -> list[CredentialFile]:
    expires = identity.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        CredentialFile(certificate, identity.certificate_pem, expires),
        CredentialFile(key, identity.key_pem, expires),
    ]
