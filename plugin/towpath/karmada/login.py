"""Reading credentials: from a kubeconfig, or from the service account of the pod.

Certificates, tokens and passwords are read here. ``kubernetes.aio`` runs exec plugins and logs in by OIDC. It
is imported for these alone, since it takes half a second and 12 MiB.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from towpath.errors import BadKubeconfig, Unreachable
from towpath.karmada import expiry, kubeconfig
from towpath.karmada.access import Access
from towpath.karmada.kubeconfig import Chosen

_MARGIN, _LONGEST_MARGIN = 0.2, 60.0
"""Credentials are renewed when this share of their lifetime is left, or at most so many seconds."""
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PLUGINS = ("exec", "auth-provider")
"""Fields of a user by which something else is asked for credentials."""


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

    access: Access
    seen: tuple[tuple[object, ...], ...]
    files: tuple[Path, ...]
    renew_at: float


async def read_login(source: Source) -> Login:
    """Read credentials. Raises Unreachable with the reason, BadKubeconfig if it is in the files."""
    expires: float | None = None
    try:
        if source.kubeconfig is None:
            files: tuple[Path, ...] = (_IN_CLUSTER / "token", _IN_CLUSTER / "ca.crt")
            seen = fingerprint(files)  # before reading: a change in between is found by the next look
            access = _of_pod(os.environ)
        else:
            read = kubeconfig.read(source.kubeconfig)
            files, seen = read.files, fingerprint(read.files)
            chosen = kubeconfig.chosen(read.document, source.context)
            if any(chosen.user.get(field) for field in _PLUGINS):
                access, expires = await _by_plugin(read.document, source.context, chosen)
            else:
                access = _access(chosen)
    except (OSError, ValueError) as error:
        raise BadKubeconfig(f"{source}: {_reason(error)}") from error
    access = replace(access, proxy=access.proxy or _proxy(access.server))
    return Login(access, seen, files, float("inf") if expires is None else _renew_at(expires))


def _of_pod(environment: Mapping[str, str]) -> Access:
    """Return the access of the pod's service account. Raises OSError or ValueError."""
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not host or not port:
        raise ValueError("This is not a pod: KUBERNETES_SERVICE_HOST is not set. Pass --kubeconfig.")
    token, ca = (_IN_CLUSTER / "token").read_text().strip(), (_IN_CLUSTER / "ca.crt").read_bytes()
    if not token or not ca:
        raise ValueError(f"{_IN_CLUSTER}: The token or the CA is empty.")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(server, f"Bearer {token}", ca)


def _access(chosen: Chosen) -> Access:
    """Return the access that a kubeconfig holds. Raises OSError or ValueError."""
    cluster, user = chosen
    server = str(cluster["server"]).rstrip("/")
    is_secure = server.startswith("https")
    return Access(
        server,
        _authorization(user),
        _pem(cluster, "certificate-authority") if is_secure else b"",
        _pem(user, "client-certificate") if is_secure else b"",
        _pem(user, "client-key") if is_secure else b"",
        is_verified=not cluster.get("insecure-skip-tls-verify"),
        server_name=str(cluster.get("tls-server-name") or ""),
        proxy=str(cluster.get("proxy-url") or ""),
    )


def _authorization(user: Mapping[str, Any]) -> str:
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = Path(user["tokenFile"]).read_text()
    if token:
        return f"Bearer {token.strip()}"  # a token file ends with a line break
    if user.get("username") and user.get("password"):
        pair = f"{user['username']}:{user['password']}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""


def _pem(entry: Mapping[str, Any], field: str) -> bytes:
    """Return what a field or the file that it names holds, nothing if there is neither."""
    if data := entry.get(f"{field}-data"):
        try:
            return base64.b64decode(data)
        except ValueError as error:
            raise ValueError(f"{field}-data: Invalid value: must be base64.") from error
    return Path(entry[field]).read_bytes() if entry.get(field) else b""


async def _by_plugin(
    document: dict[str, Any], context: str | None, chosen: Chosen
) -> tuple[Access, float | None]:
    """Return the access that an exec plugin or a provider gives, and when it ends. Raises Unreachable."""
    from kubernetes.aio import config
    from kubernetes.aio.client.configuration import Configuration

    found = Configuration()
    try:
        loader = await config.load_kube_config_from_dict(
            document, context=context, client_configuration=found
        )
    except Exception as error:  # the loader raises whatever its parsers raise
        raise ValueError(_reason(error)) from error
    access = replace(
        _access(chosen),
        authorization=str(found.api_key.get("BearerToken", "")).strip(),
        certificate=_content(found.cert_file),
        key=_content(found.key_file),
    )
    return access, _exec_expiry(loader, chosen.user, access)


def _exec_expiry(loader: Any, user: Mapping[str, Any], given: Access) -> float | None:
    """Return when the credentials of an exec plugin expire. Raises Unreachable if it has given none."""
    if not user.get("exec"):
        return None
    if given.token:
        expires: datetime | None = getattr(loader, "exec_plugin_expiry", None)
        return expires.timestamp() if expires else None
    if not given.certificate:  # the loader keeps silent about a plugin that fails
        raise Unreachable(f"exec plugin {user['exec']['command']}: It has given no credentials, see the log.")
    return expiry.of_certificate(given.certificate)


def _content(path: str | None) -> bytes:
    return Path(path).read_bytes() if path else b""


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


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


def _proxy(url: str) -> str:
    """Return the proxy that the environment names for an address, empty if there is none.

    Looked up once: aiohttp would look for it, and for a netrc file, in a thread before every request.
    """
    where = urlsplit(url)
    return "" if proxy_bypass(where.netloc) else getproxies().get(where.scheme, "")
