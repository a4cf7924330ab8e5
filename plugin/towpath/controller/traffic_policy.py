"""GlobalTrafficPolicies: their conditions, and a follow policy for one that no policy of a user selects."""

from __future__ import annotations

from functools import partial

from towpath.controller.decision import Collect, Decision, PatchStatus
from towpath.controller.deletionguard.decide import COLLECTION_GRACE_SECONDS
from towpath.controller.followpolicy.decide import Follower, FollowPolicies
from towpath.controller.news import Subject
from towpath.controller.rollout.load import Load
from towpath.controller.rollout.throttle import BINDING_GRACE_SECONDS
from towpath.derivation.drift import is_terminating
from towpath.derivation.followpolicy import selects_api, traffic_policy
from towpath.derivation.stages import Write
from towpath.derivation.status import stated
from towpath.derivation.warnings import advise_policy
from towpath.inventory.snapshot import Snapshot
from towpath.karmada import resources
from towpath.karmada.client import Resource
from towpath.karmada.wire import Name
from towpath.model.condition import FALSE
from towpath.model.keys import ServiceKey
from towpath.model.ownership import TRAFFIC_PREFIX
from towpath.propagation.namespaces import is_reserved
from towpath.rules import conditions


class TrafficPolicies:
    """Decides on traffic policies. A new one waits a moment for the exporters that it names."""

    def __init__(self, follow: FollowPolicies, load: Load) -> None:
        self._follow, self._load = follow, load
        self._unresolved: dict[ServiceKey, float] = {}
        self._left_over: dict[ServiceKey, float] = {}
        """Since when each follow policy is there without its traffic policy."""

    def decide(self, snapshot: Snapshot) -> Decision:
        """Decide on the traffic policy of a service."""
        key, policy, stored, now = snapshot.key, snapshot.policy, snapshot.traffic, snapshot.now
        resource, name = resources.traffic_policies(key.dialect), Name(key.namespace, key.name)
        if policy is None or stored is None:
            self._follow.forget((resource, name))
            self._unresolved.pop(key, None)
            return Decision(forgotten=((resource, name),)) + self._collected(snapshot, resource, name)
        self._left_over.pop(key, None)
        decision = Decision()
        if not is_reserved(key.namespace) and not snapshot.in_use.traffic_policy:
            live, own = snapshot.traffic_policy, f"{TRAFFIC_PREFIX}{key.name}"
            follower = Follower(resource, name, snapshot.others, own, live, policy.selected, stored.claim)
            decision = self._follow.decide(follower, traffic_policy(policy, snapshot.derived), now)
        cautions = advise_policy(policy, snapshot.service, snapshot.derived, snapshot.fleet)
        accepted, resolved = conditions.accepted(cautions), conditions.resolved(cautions)
        if resolved.status == FALSE and not stored.status.get("conditions"):
            grace = BINDING_GRACE_SECONDS * self._load.pace
            until = self._unresolved.setdefault(key, now) + grace
            if now < until:
                return decision + Decision(until)
        self._unresolved.pop(key, None)
        make = partial(stated, [accepted, resolved], stored.generation, now=now)
        subject = Subject.of(resource, name, stored.uid)
        return decision + Decision(steps=(PatchStatus(resource, name, make, subject),))

    def _collected(self, snapshot: Snapshot, resource: Resource, name: Name) -> Decision:
        """Delete the follow policy of a traffic policy that is gone, once the garbage collector has not.

        No member loses anything by it, so the deletion guard is not asked.
        """
        key, left, now = snapshot.key, snapshot.traffic_policy, snapshot.now
        is_left = left is not None and selects_api(left, key.dialect.api_version) and not is_terminating(left)
        if left is None or not is_left or snapshot.terminating:
            self._left_over.pop(key, None)
            return Decision()
        due = self._left_over.setdefault(key, now) + COLLECTION_GRACE_SECONDS
        if now < due:
            return Decision(due)
        self._left_over[key] = now
        step = Collect(resource, name, (Write(left, None),))
        return Decision(now + COLLECTION_GRACE_SECONDS, steps=(step,))
