"""Reading credentials: from a kubeconfig, or from the service account of the pod.

``kubernetes.aio`` does the login: tokens, exec plugins, OIDC, certificates. It is imported on first use: it
costs 0.5 s, and most commands never connect.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from towpath.errors import BadKubeconfig, Unreachable
from towpath.karmada import kubeconfig

if TYPE_CHECKING:
    from kubernetes.aio.client.configuration import Configuration

_MARGIN, _LONGEST_MARGIN = 0.2, 60.0
"""Credentials are renewed when this share of their lifetime is left, or at most so many seconds."""
_TOKEN = "BearerToken"  # noqa: S105 - a key, not a token
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Source:
    """Where credentials come from: a kubeconfig or a list of them, or the pod's service account when None."""

    kubeconfig: str | Path | None
    context: str | None = None

    def __str__(self) -> str:
        return f"kubeconfig {self.kubeconfig}" if self.kubeconfig is not None else "the pod's service account"


@dataclass(frozen=True)
class Login:
    """Credentials as read at one moment. ``seen`` are the files behind them, ``renew_at`` a Unix time."""

    configuration: Configuration
    seen: tuple[tuple[object, ...], ...]
    files: tuple[Path, ...]
    renew_at: float

    @property
    def token(self) -> str:
        """The bearer token, empty if there is none."""
        return str(self.configuration.api_key.get(_TOKEN, ""))

    @property
    def channel(self) -> tuple[object, ...]:
        """Everything that needs connections of its own: all but the token."""
        c = self.configuration
        pems = tuple(content(path) for path in (c.ssl_ca_cert, c.cert_file, c.key_file))
        return (c.host, c.verify_ssl, c.tls_server_name, c.proxy, *pems)


async def read_login(source: Source) -> Login:
    """Read credentials. Raises Unreachable with the reason, BadKubeconfig if it is in the files."""
    from kubernetes.aio import config
    from kubernetes.aio.client.configuration import Configuration

    configuration = Configuration()
    expires: float | None = None
    try:
        if source.kubeconfig is None:
            files: tuple[Path, ...] = (_IN_CLUSTER / "token", _IN_CLUSTER / "ca.crt")
            seen = fingerprint(files)  # before reading: a change in between is found by the next look
            config.load_incluster_config(client_configuration=configuration, try_refresh_token=False)
        else:
            read = kubeconfig.read(source.kubeconfig)
            files, seen = read.files, fingerprint(read.files)
            loader = await config.load_kube_config_from_dict(
                read.document, context=source.context, client_configuration=configuration
            )
            expires = _exec_expiry(loader, configuration)
    except Unreachable:
        raise
    except Exception as error:  # the loader raises whatever its parsers raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadKubeconfig(f"{source}: {reason}") from error
    configuration.proxy = configuration.proxy or _proxy(configuration.host)
    if _TOKEN in configuration.api_key:  # a token file ends with a line break
        configuration.api_key[_TOKEN] = configuration.api_key[_TOKEN].strip()
    return Login(configuration, seen, files, float("inf") if expires is None else _renew_at(expires))


def _exec_expiry(loader: Any, configuration: Configuration) -> float | None:
    """Return when the credentials of an exec plugin expire. Raises Unreachable if it has given none."""
    user = loader._user  # noqa: SLF001 - the loader keeps silent about a plugin that fails
    if user is None or "exec" not in user:
        return None
    if _TOKEN in configuration.api_key:
        expiry: datetime | None = getattr(loader, "exec_plugin_expiry", None)
        return expiry.timestamp() if expiry else None
    if not configuration.cert_file:
        raise Unreachable(f"exec plugin {user['exec']['command']}: It has given no credentials, see the log.")
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(content(configuration.cert_file))
    return certificate.not_valid_after_utc.astimezone(UTC).timestamp()


def _renew_at(expires: float) -> float:
    now = time.time()
    return expires - min(_LONGEST_MARGIN, max(0.0, expires - now) * _MARGIN)


def fingerprint(files: tuple[Path, ...]) -> tuple[tuple[object, ...], ...]:
    """Return what tells whether files have changed; a symbolic link counts as what it points to."""

    def version(path: Path) -> tuple[object, ...]:
        try:
            stat = path.stat()
        except OSError:
            return (str(path),)
        return (str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino)

    return tuple(map(version, files))


def content(path: str | None) -> bytes:
    """Return what a file holds, nothing if there is none."""
    return Path(path).read_bytes() if path else b""


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for an address, None if there is none.

    Looked up once: aiohttp would look for it, and for a netrc file, in a thread before every request.
    """
    where = urlsplit(url)
    return None if proxy_bypass(where.netloc) else getproxies().get(where.scheme)
