"""Which callers are trusted: those that know the token of the registration, or have shown a client
certificate.

The answers of the plugin depend on objects of all tenants, so callers without proof get only what the object
in their request determines. Karmada's interpreter cannot show a client certificate, and an apiserver only
after it has been configured to. Therefore ``towpath install`` puts a random token into the URLs of the
webhook configurations, which only administrators may read: ``/<token>/validate/serviceexports``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from towpath_webhook.http.dispatch import Endpoint


class Route(NamedTuple):
    """The endpoint of a request, and its path without a token: that of metrics and logs."""

    path: str
    endpoint: Endpoint


class Routes:
    """Finds the endpoint for a path. ``trusted`` endpoints ask the plugin, ``untrusted`` ones do not."""

    def __init__(self, trusted: Mapping[str, Endpoint], untrusted: Mapping[str, Endpoint]) -> None:
        self._trusted = {path: Route(path, endpoint) for path, endpoint in trusted.items()}
        self._untrusted = {path: Route(path, endpoint) for path, endpoint in untrusted.items()}
        self._by_path = self._trusted
        self._token: str | None = None

    def require_token(self, token: str) -> None:
        """Trust only callers that know the token; with an empty token, only those with a certificate."""
        if token == self._token:
            return
        self._token = token
        with_token = {f"/{token}{path}": route for path, route in self._trusted.items()} if token else {}
        self._by_path = {**self._untrusted, **with_token}

    def without_token(self, path: str) -> str:
        """Return a path as it may be logged."""
        return path.replace(self._token, "TOKEN") if self._token else path

    def find(self, path: str, *, has_certificate: bool) -> Route | None:
        """Return the route of a path, None if there is none. An outdated token is no error: it is not
        trusted."""
        route = self._by_path.get(path)
        if route is not None and not has_certificate:
            return route
        plain = path if path in self._untrusted else path[path.find("/", 1) :]
        return (self._trusted if has_certificate else self._untrusted).get(plain)
