"""Finding the exported service that a question names, and the message if it does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from towpath.derivation.index import Incremental
from towpath.model.keys import Dialect, ServiceKey

_SIMILARITY = 0.8
"""From this ratio on two names count as similar: high, because they often share their namespace."""


def find(world: Incremental, namespace: str, name: str, dialect: str = "") -> ServiceKey | None:
    """Return the key of an exported service. Without a dialect, the export that takes effect is found."""
    dialects = [Dialect(dialect)] if dialect else list(Dialect)
    services = (world.services.get(ServiceKey(each, namespace, name)) for each in dialects)
    found = min((s for s in services if s is not None), key=lambda service: service.age, default=None)
    return found.key if found else None


def in_order(world: Incremental, namespace: str = "") -> list[ServiceKey]:
    """Return the exported services of a namespace, or of all, by namespace and name."""
    keys = (key for key in world.services if namespace in {"", key.namespace})
    return sorted(keys, key=lambda key: (key.namespace, key.name, key.dialect))


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
