"""A GlobalTrafficPolicy: how clients in a cluster use the imported service of the same name."""

from __future__ import annotations

from enum import StrEnum

from pydantic import StrictInt

from towpath.model.base import Model


class Spread(StrEnum):
    """``spec.lbType``."""

    LOCALITY = "Locality"
    ACTIVE_ACTIVE = "ActiveActive"
    FAIL_OVER = "FailOver"


class TrafficTarget(Model):
    """A cluster to use and its share."""

    cluster_key: str
    weight: StrictInt | None = None


class TrafficPolicy(Model):
    """Spec of a GlobalTrafficPolicy. No targets means every exporting cluster, with ActiveActive."""

    lb_type: Spread = Spread.LOCALITY
    targets: tuple[TrafficTarget, ...] = ()
