"""Finding the exported service that a request names, and the message if it does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from towpath.derivation.index import Incremental
from towpath.model.keys import Dialect, ServiceKey
from towpath.rpc.errors import invalid_request, not_found

NO_SUCH_EXPORT = "NO_SUCH_EXPORT"
_SIMILARITY = 0.8
"""From this ratio on two names count as similar: high, because they often share their namespace."""


def service_key(world: Incremental, namespace: str, name: str, dialect: str) -> ServiceKey:
    """Return the key of an exported service. Without a dialect, the export that takes effect is found.

    Raises StatusError if a field is invalid, or no such service is exported.
    """
    fields = {"namespace": namespace, "name": name}
    missing = {
        field: f"{field}: The field is required. Set it." for field, text in fields.items() if not text
    }
    if missing:
        raise invalid_request(missing)
    if dialect and dialect not in set(Dialect):
        message = f"dialect: {dialect!r} is not a dialect. Use {' or '.join(Dialect)}."
        raise invalid_request({"dialect": message})
    dialects = [Dialect(dialect)] if dialect else list(Dialect)
    services = (world.services.get(ServiceKey(each, namespace, name)) for each in dialects)
    found = min((s for s in services if s is not None), key=lambda service: service.age, default=None)
    if found is None:
        raise not_found(NO_SUCH_EXPORT, why_not_found(namespace, name, dialect, list(world.services)))
    return found.key


def why_not_found(namespace: str, name: str, dialect: str, exported: Sequence[ServiceKey]) -> str:
    """Return the message for a ServiceExport that does not exist, with a similar one if there is one."""
    wanted = f"{namespace}/{name}"
    namesakes = [key.dialect.value for key in exported if f"{key.namespace}/{key.name}" == wanted]
    if namesakes:
        return f"ServiceExport {wanted} of {dialect} does not exist. Use the one of {namesakes[0]}."
    names = sorted({f"{key.namespace}/{key.name}" for key in exported})
    namesakes_elsewhere = [each for each in names if each.endswith(f"/{name}")]
    similar = namesakes_elsewhere or difflib.get_close_matches(wanted, names, n=1, cutoff=_SIMILARITY)
    if similar:
        return f"ServiceExport {wanted} does not exist. Did you mean {similar[0]}?"
    return f"ServiceExport {wanted} does not exist. Karmada has {len(names)} ServiceExports of other names."
