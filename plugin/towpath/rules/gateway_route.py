"""The gateway that a member has of its own, and how routes on it are asked for ("route rule").

A Karmada Cluster names it by the annotation ``towpath.io/gateway-route``: a Gateway of the Gateway API as
``HTTPRoute/<namespace>/<gateway>``, with ``/<listener>`` where it has several, or the controller of Ingresses
as ``Ingress/<class>``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_FEWEST, _MOST = 2, 3
"""Names that an HTTPRoute's parent has: namespace, Gateway, and perhaps a listener."""


class RouteKind(StrEnum):
    """The kind of the routes that a gateway reads."""

    HTTP_ROUTE = "HTTPRoute"
    INGRESS = "Ingress"

    @property
    def api_version(self) -> str:
        """``apiVersion`` of a route."""
        return "networking.k8s.io/v1" if self is RouteKind.INGRESS else "gateway.networking.k8s.io/v1"


class GatewayRoute(NamedTuple):
    """``names`` are the namespace, the Gateway and perhaps its listener, or the class of an Ingress."""

    kind: RouteKind
    names: tuple[str, ...]


@lru_cache(4096)
def parse_gateway_route(text: str) -> GatewayRoute | None:
    """Read the annotation. None if it is neither form."""
    word, *names = text.strip().split("/")
    if not all(map(_NAME.fullmatch, names)):
        return None
    if word == RouteKind.HTTP_ROUTE and _FEWEST <= len(names) <= _MOST:
        return GatewayRoute(RouteKind.HTTP_ROUTE, tuple(names))
    if word == RouteKind.INGRESS and len(names) == 1:
        return GatewayRoute(RouteKind.INGRESS, tuple(names))
    return None
