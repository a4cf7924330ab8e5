"""Which service a request means, and what to say where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from towpath.derivation.index import Incremental
from towpath.model.keys import Dialect, ServiceKey
from towpath.rpc.errors import Refused, invalid, not_found

NO_SUCH_EXPORT = "NO_SUCH_EXPORT"
_SIMILAR = 0.8
"""From here on two names are alike: high, because they often share their namespace."""


def service_key(world: Incremental, namespace: str, name: str, dialect: str) -> ServiceKey:
    """Return the exported service that is meant: of two dialects, when none is named, the one that counts.

    Raises Refused if the names mean nothing, or nothing is exported by them.
    """
    empty = [field for field, text in (("namespace", namespace), ("name", name)) if not text]
    if empty:
        raise invalid(dict.fromkeys(empty, "namespace and name of the service must be given"))
    if dialect and dialect not in set(Dialect):
        raise invalid({"dialect": f"{dialect!r} is no dialect: there are {' and '.join(Dialect)}"})
    dialects = [Dialect(dialect)] if dialect else list(Dialect)
    services = (world.services.get(ServiceKey(one, namespace, name)) for one in dialects)
    found = min((one for one in services if one is not None), key=lambda one: one.age, default=None)
    if found is None:
        raise _missing(namespace, name, dialect, list(world.services))
    return found.key


def _missing(namespace: str, name: str, dialect: str, exported: Sequence[ServiceKey]) -> Refused:
    return not_found(NO_SUCH_EXPORT, why_not_found(namespace, name, dialect, exported))


def why_not_found(namespace: str, name: str, dialect: str, exported: Sequence[ServiceKey]) -> str:
    """Tell why there is nothing to explain, and what may have been meant."""
    wanted = f"{namespace}/{name}"
    namesakes = [key.dialect.value for key in exported if f"{key.namespace}/{key.name}" == wanted]
    if namesakes:
        return f"there is no ServiceExport {wanted} of {dialect}, but one of {namesakes[0]}"
    names = sorted({f"{key.namespace}/{key.name}" for key in exported})
    elsewhere = [one for one in names if one.endswith(f"/{name}")]
    similar = elsewhere or difflib.get_close_matches(wanted, names, n=1, cutoff=_SIMILAR)
    if similar:
        return f"there is no ServiceExport {wanted}: did you mean {similar[0]}?"
    return f"there is no ServiceExport {wanted} in Karmada; of other names there are {len(names)}"
