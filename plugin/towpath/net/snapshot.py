"""What Envoy is to have at one moment, encoded. What did not change is not encoded again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import ParseError

from towpath.datapath.envoy import Json, Kind
from towpath.net.messages import encode

log = structlog.get_logger()


@dataclass(frozen=True)
class Snapshot:
    """Resources by type and name, as JSON and as they travel."""

    bodies: Mapping[Kind, Mapping[str, Json]] = field(default_factory=dict)
    encoded: Mapping[Kind, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, kind: Kind) -> Mapping[str, Any]:
        """Return the resources of a type."""
        return self.encoded.get(kind, {})


def snapshot(
    bodies: Mapping[Kind, Mapping[str, Json]], last: Snapshot, left_out: Callable[[Kind], None]
) -> Snapshot:
    """Return a snapshot. A resource that cannot be encoded is left out and reported."""
    encoded: dict[Kind, dict[str, Any]] = {}
    for kind, resources in bodies.items():
        before, known = last.bodies.get(kind, {}), last.encoded.get(kind, {})
        encoded[kind] = made = {}
        for name, body in resources.items():
            if name in known and before.get(name) == body:
                made[name] = known[name]
                continue
            try:
                made[name] = encode(kind, body)
            except ParseError as error:
                log.error("resource left out", type=kind.name, name=name, error=str(error))
                left_out(kind)
    return Snapshot(bodies, encoded)
