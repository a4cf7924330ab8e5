"""When credentials end, as far as they say it themselves. Pure."""

from __future__ import annotations

import base64
import json


def of_token(token: str) -> float | None:
    """Return the Unix time at which a JSON Web Token expires, None if it is another token or does not say."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims and signature
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    return float(expires) if isinstance(expires, int | float) else None


def of_certificate(pem: bytes) -> float | None:
    """Return the Unix time at which a certificate in PEM expires, None if there is none."""
    from cryptography import x509  # 10 MiB, which a program that has a token does not need

    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    except ValueError:
        return None
