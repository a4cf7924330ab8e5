"""CEL rules of CRDs (``x-kubernetes-validations``), evaluated as the apiserver does it for a new object.

The functions that Kubernetes adds to CEL, and that Towpath's CRDs use, are given to the interpreter. There is
no old object: ``oldSelf.hasValue()`` is false, and rules that need one are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, NamedTuple

import cel


class Rule(NamedTuple):
    """One rule of a schema."""

    expression: str
    message: str = ""
    message_expression: str = ""
    field_path: str = ""
    reason: str = ""


def rules_of(schema: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of one part of a schema that hold for a new object."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"] and not rule.get("optionalOldSelf"):
            continue
        yield Rule(
            rule["rule"],
            rule.get("message", ""),
            rule.get("messageExpression", ""),
            rule.get("fieldPath", ""),
            rule.get("reason", ""),
        )


def broken(rule: Rule, value: Any) -> str | None:
    """Return the message of a rule that a value breaks, None if it holds.

    A rule that cannot be evaluated is broken, as in the apiserver.
    """
    context = cel.Context({"self": value, "oldSelf": {}}, dict(_FUNCTIONS))
    try:
        if _compiled(rule.expression).execute(context) is True:
            return None
    except (ValueError, TypeError, RuntimeError) as error:
        return f"{rule.message or rule.expression} ({error})"
    if rule.message_expression:
        try:
            return str(_compiled(rule.message_expression).execute(context))
        except (ValueError, TypeError, RuntimeError):
            pass  # the apiserver falls back as well
    return rule.message or f"failed rule: {rule.expression}"


@lru_cache(256)
def _compiled(expression: str) -> cel.Program:
    return cel.compile(expression)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(text)
        except AddressValueError:
            continue
    return None


def _is_global_unicast(text: str) -> bool:
    """Tell it as Go's netip does: private addresses are global, too."""
    ip = _address(text)
    return ip is not None and not (
        ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_link_local or ip == _BROADCAST
    )


def _is_link_local_unicast(text: str) -> bool:
    ip = _address(text)
    return ip is not None and ip.is_link_local


def _family(text: str) -> int:
    ip = _address(text)
    return ip.version if ip is not None else 0


_BROADCAST = IPv4Address(2**32 - 1)
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "isIP": lambda text: _address(text) is not None,
    "ip": lambda text: text,  # an address is its text: its functions read it again
    "family": _family,
    "isGlobalUnicast": _is_global_unicast,
    "isLinkLocalUnicast": _is_link_local_unicast,
    "lowerAscii": str.lower,
    "indexOf": lambda items, item: items.index(item) if item in items else -1,
    "hasValue": lambda _: False,
}
