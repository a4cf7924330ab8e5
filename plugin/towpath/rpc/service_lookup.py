"""The exported service that a request names, or the error of the contract."""

from __future__ import annotations

from towpath.derivation.index import Incremental
from towpath.model.keys import Dialect, ServiceKey
from towpath.review.lookup import find, why_not_found
from towpath.rpc.errors import invalid_request, not_found

NO_SUCH_EXPORT = "NO_SUCH_EXPORT"


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
    found = find(world, namespace, name, dialect)
    if found is None:
        raise not_found(NO_SUCH_EXPORT, why_not_found(namespace, name, dialect, list(world.services)))
    return found
