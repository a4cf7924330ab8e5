"""flomesh Clusters: the condition that says whether one stands for a member."""

from __future__ import annotations

from functools import partial

from towpath.controller.decision import Decision, PatchStatus
from towpath.controller.news import Subject
from towpath.derivation.status import stated
from towpath.karmada import resources
from towpath.karmada.decode import StoredCluster
from towpath.karmada.wire import Name
from towpath.model.cluster import Member
from towpath.model.keys import GatewayKey
from towpath.rules import conditions


def decide(key: GatewayKey, stored: StoredCluster | None, member: Member | None, now: float) -> Decision:
    """Decide on one flomesh Cluster, None if it does not exist. ``member`` is the member of its name."""
    resource, name = resources.flomesh_clusters(key.dialect), Name("", key.name)
    if stored is None:
        return Decision(forgotten=((resource, name),))
    make = partial(stated, [conditions.managed(member)], stored.generation, now=now)
    subject = Subject.of(resource, name, stored.uid)
    return Decision(steps=(PatchStatus(resource, name, make, subject),))
