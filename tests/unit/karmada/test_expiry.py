"""When credentials end."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest

from towpath.karmada.expiry import of_certificate, of_token
from towpath.pki import make_authority


def token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{body}.signature"


@pytest.mark.parametrize("extra", [{}, {"sub": "a"}, {"sub": "system:serviceaccount:ä:ö"}])
def test_a_token_says_when_it_expires(extra: dict[str, str]) -> None:
    assert of_token(token({"exp": 1_800_000_000, **extra})) == 1_800_000_000


@pytest.mark.parametrize(
    "text", ["", "opaque", "a.b", "a.%%%.c", "a.bm8.c", token({}), token([1]), token({"exp": "soon"})]
)
def test_a_token_that_does_not_say_has_no_time(text: str) -> None:
    assert of_token(text) is None


def test_a_certificate_says_when_it_expires() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = make_authority("test", validity=dt.timedelta(days=2), now=now)

    assert of_certificate(made.certificate_pem) == (now + dt.timedelta(days=2)).timestamp()


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_has_no_time(pem: bytes) -> None:
    assert of_certificate(pem) is None
