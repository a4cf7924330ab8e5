"""The permissions of plugin and webhook, verb by verb, as the apiserver judges them."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.setup.checks.evidence import Evidence, Level, Permission, Result
from towpath.text import several

CHECK = "permissions"


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield the verbs that are missing; nothing before an installation."""
    if evidence.installed is None:
        return
    missing: dict[tuple[str, str], list[str]] = {}
    for permission in evidence.permissions:
        if not permission.allowed:
            missing.setdefault((permission.user, permission.resource), []).append(permission.verb)
    for (user, resource), verbs in missing.items():
        text = f"Missing permission: {several(verbs)} {resource}. Run `towpath install`."
        yield Result(CHECK, Level.FAIL, user, text)
    if evidence.permissions and not missing:
        yield Result(CHECK, Level.OK, _users(evidence.permissions), f"{len(evidence.permissions)} verbs.")


def _users(permissions: tuple[Permission, ...]) -> str:
    return several({permission.user for permission in permissions})
