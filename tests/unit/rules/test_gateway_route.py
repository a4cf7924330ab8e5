"""How the annotation is read that asks for routes on a member's own gateway."""

from __future__ import annotations

import pytest

from towpath.rules.gateway_route import GatewayRoute, RouteKind, parse_gateway_route


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("HTTPRoute/infra/public", RouteKind.HTTP_ROUTE, ("infra", "public")),
        ("HTTPRoute/infra/public/web", RouteKind.HTTP_ROUTE, ("infra", "public", "web")),
        (" Ingress/contour ", RouteKind.INGRESS, ("contour",)),
    ],
)
def test_both_forms_are_read(text: str, kind: RouteKind, names: tuple[str, ...]) -> None:
    assert parse_gateway_route(text) == GatewayRoute(kind, names)


@pytest.mark.parametrize(
    "text",
    [
        "HTTPRoute",
        "HTTPRoute/public",
        "HTTPRoute/a/b/c/d",
        "HTTPRoute/infra/",
        "HTTPRoute//public",
        "HTTPRoute/infra/Public",
        "httproute/infra/public",
        "Ingress",
        "Ingress/",
        "Ingress/a/b",
        "Ingress/-a",
        "Ingress/a\nb",
        "TCPRoute/infra/public",
    ],
)
def test_another_text_is_not_read(text: str) -> None:
    assert parse_gateway_route(text) is None
