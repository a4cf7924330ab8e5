"""GlobalTrafficPolicies: their conditions, and a follow policy for one that no policy of a user selects."""

from __future__ import annotations

from functools import partial

from towpath.controller.decision import Decision, PatchStatus
from towpath.controller.events import Subject
from towpath.controller.followpolicy.decide import Follower, FollowPolicies
from towpath.derivation.followpolicy import traffic_policy
from towpath.derivation.status import stated
from towpath.derivation.warnings import advise_policy
from towpath.inventory.snapshot import Snapshot
from towpath.karmada import resources
from towpath.karmada.reflector import Name
from towpath.model.ownership import TRAFFIC_PREFIX
from towpath.rules import conditions


def decide(snapshot: Snapshot, follow: FollowPolicies) -> Decision:
    """Decide on the traffic policy of a service."""
    key, policy, stored, now = snapshot.key, snapshot.policy, snapshot.traffic, snapshot.now
    resource, name = resources.traffic_policies(key.dialect), Name(key.namespace, key.name)
    if policy is None or stored is None:
        follow.forget((resource, name))
        return Decision(forgotten=((resource, name),))
    live = snapshot.traffic_policy
    follower = Follower(
        resource, name, policy.uid, f"{TRAFFIC_PREFIX}{key.name}", live, policy.selected, stored.claim
    )
    followed = follow.decide(follower, traffic_policy(policy, snapshot.derived), now)
    cautions = advise_policy(policy, snapshot.service, snapshot.derived, snapshot.fleet)
    wanted = [conditions.accepted(cautions), conditions.resolved(cautions)]
    make = partial(stated, wanted, stored.generation, now=now)
    subject = Subject(key.dialect.api_version, "GlobalTrafficPolicy", key.namespace, key.name, stored.uid)
    return followed + Decision(steps=(PatchStatus(resource, name, make, subject),))
