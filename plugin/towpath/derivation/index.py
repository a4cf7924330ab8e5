"""The derivation kept up to date: a change derives only what it touches, and gives the same as ``derive``.

Services are put in and taken out, members come, change and go; each call returns the services that may
have changed by it, and ``derived`` derives one of them when it is asked for. What one service needs of
the others is kept as an index (who claims what), so that the time for one change does not grow with their
number:

* a service touches itself, and those that claim a name or path whose holder changes by it;
* a member's gateway, drain or loss touches the services offered there;
* a member's key, its joining, leaving or serving another dialect touches whoever could be imported there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set

from towpath.derivation.derive import Derived, derive_service
from towpath.model.cluster import Fleet, Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.rules.contention import Claim, Lost, claims_of, holder, lost


class Incremental:
    """A world that changes, and its derivation."""

    def __init__(self) -> None:
        self.services: dict[ServiceKey, ExportedService] = {}
        self.fleet = Fleet({})
        self.holders: dict[Claim, ServiceKey] = {}
        self._claimants: dict[Claim, dict[ServiceKey, ExportedService]] = {}
        self._claims: dict[ServiceKey, frozenset[Claim]] = {}
        self._offered_in: dict[str, set[ServiceKey]] = {}
        self._of_dialect: dict[Dialect, set[ServiceKey]] = {dialect: set() for dialect in Dialect}
        self._derived: dict[ServiceKey, Derived] = {}
        self.policies: dict[ServiceKey, AppliedPolicy] = {}
        self.listeners: list[Callable[[Set[ServiceKey]], None]] = []
        """Hear of every change which services may have changed by it."""

    def derived(self, key: ServiceKey, now: float) -> Derived | None:
        """Return the derivation of a service at this time; None if there is no such service."""
        service = self.services.get(key)
        if service is None:
            return None
        known = self._derived.get(key)
        if known is None or now >= known.look_again:
            known = self._derived[key] = derive_service(service, self.fleet, self.lost(key), now)
        return known

    def lost(self, key: ServiceKey) -> tuple[Lost, ...]:
        """Return what a service claims and others have."""
        return lost(key, self._claims.get(key, ()), self.holders)

    @property
    def known(self) -> Collection[Derived]:
        """What is derived already, of the services as they are now: nothing is worked out for it."""
        return self._derived.values()

    def put_service(self, key: ServiceKey, service: ExportedService | None) -> set[ServiceKey]:
        """Add, replace or (None) remove a service; return the services that may have changed by it."""
        old = self.services.get(key)
        if service == old:
            return set()
        for cluster in old.offers if old else ():
            self._offered_in[cluster].discard(key)
        if service is None:
            del self.services[key]
            self._of_dialect[key.dialect].discard(key)
        else:
            self.services[key] = service
            self._of_dialect[key.dialect].add(key)
            for cluster in service.offers:
                self._offered_in.setdefault(cluster, set()).add(key)
        return self._changed({key, *self._claim(key, service)})

    def put_policy(self, key: ServiceKey, policy: AppliedPolicy | None) -> set[ServiceKey]:
        """Add, replace or (None) remove a traffic policy; return whose conditions may have changed by it."""
        if policy == self.policies.get(key):
            return set()
        if policy is None:
            del self.policies[key]
        else:
            self.policies[key] = policy
        return {key}

    def put_members(self, members: Mapping[str, Member]) -> set[ServiceKey]:
        """Replace the inventory; return the services that may have changed by it."""
        before, self.fleet = self.fleet.members, Fleet(members)
        touched: set[ServiceKey] = set()
        for name in before.keys() | members.keys():
            touched.update(self._touched(name, before.get(name), members.get(name)))
        if before != members:
            touched.update(self.policies)  # each may name any cluster
        return self._changed(touched)

    def _touched(self, name: str, old: Member | None, new: Member | None) -> Iterator[ServiceKey]:
        if old == new:
            return
        yield from self._offered_in.get(name, ())
        was, now = (one.imports if one else frozenset() for one in (old, new))
        moved = old is not None and new is not None and old.key != new.key
        for dialect in was | now if moved else was ^ now:
            yield from self._of_dialect[dialect]

    def _changed(self, touched: set[ServiceKey]) -> set[ServiceKey]:
        for key in touched:
            self._derived.pop(key, None)
        for heard in tuple(self.listeners):
            heard(touched)
        return touched

    def _claim(self, key: ServiceKey, service: ExportedService | None) -> Iterator[ServiceKey]:
        """Make the claims of a service and drop its former ones; yield whom that gives or takes something."""
        before = self._claims.pop(key, frozenset())
        now = claims_of(service) if service else frozenset()
        if now:
            self._claims[key] = now
        for claim in before | now:
            claimants = self._claimants.setdefault(claim, {})
            if service is not None and claim in now:
                claimants[key] = service
            else:
                claimants.pop(key, None)
            if self._hold(claim, key, claimants):
                yield from claimants

    def _hold(self, claim: Claim, key: ServiceKey, claimants: Mapping[ServiceKey, ExportedService]) -> bool:
        """Settle who holds a claim after a change in one claimant; tell whether that is somebody else now."""
        if not claimants:
            del self._claimants[claim]
            self.holders.pop(claim, None)
            return False
        held = self.holders.get(claim)
        # Of many claimants only the one that changed can take the claim from its holder, or give it up.
        rivals: Iterable[ExportedService] = claimants.values()
        if held is not None and held != key:
            rivals = [claimants[one] for one in (held, key) if one in claimants]
        self.holders[claim] = holder(rivals)
        return self.holders[claim] != held
