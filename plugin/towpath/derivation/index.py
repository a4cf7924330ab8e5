"""The derivation kept up to date: a change derives only what it touches, and gives the same as ``derive``.

Services are put in and taken out, members come, change and go; each call returns the services that may
have changed by it, and ``derived`` derives one of them when it is asked for. What one service needs of
the others is kept as an index (who claims what), so that the time for one change does not grow with their
number:

* a service touches itself, and those that claim a name or path whose holder changes by it;
* a member's gateway, drain or loss touches the services offered there;
* a member's key, its joining, leaving, serving another dialect or getting the data path touches whoever
  could be imported there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from dataclasses import replace

from towpath.derivation.derive import Derived, derive_service
from towpath.model.claim import Claim, ClaimRecord
from towpath.model.cluster import Fleet, Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.rules.contention import (
    Lost,
    claims_of,
    holder,
    lost,
    may_record_later,
    occupied_by,
    records,
)
from towpath.rules.nesting import ClaimedPaths, nested
from towpath.rules.reasons import Caution


class Incremental:
    """A world that changes, and its derivation."""

    def __init__(self) -> None:
        self.services: dict[ServiceKey, ExportedService] = {}
        self.fleet = Fleet({})
        self.holders: dict[Claim, ServiceKey] = {}
        self._paths = ClaimedPaths()
        self._claimants: dict[Claim, dict[ServiceKey, ExportedService]] = {}
        self._claims: dict[ServiceKey, frozenset[Claim]] = {}
        self._occupied: dict[ServiceKey, frozenset[Claim]] = {}
        self._offered_in: dict[str, set[ServiceKey]] = {}
        self._of_dialect: dict[Dialect, set[ServiceKey]] = {dialect: set() for dialect in Dialect}
        self._derived: dict[ServiceKey, Derived] = {}
        self.policies: dict[ServiceKey, AppliedPolicy] = {}
        self.time_passes: Callable[[float], None] = lambda _: None
        """Hears the time before anything is derived at it, and may put members that look different then."""
        self.listeners: list[Callable[[Set[ServiceKey]], None]] = []
        """Hear of every change which services may have changed by it."""

    def derived(self, key: ServiceKey, now: float) -> Derived | None:
        """Return the derivation of a service at this time; None if there is no such service."""
        service = self.services.get(key)
        if service is None:
            return None
        known = self._derived.get(key)
        if known is None or now >= known.look_again:
            self.time_passes(now)
            known = self._derived[key] = derive_service(service, self.fleet, self.lost(key), now)
        return known

    def lost(self, key: ServiceKey) -> tuple[Lost, ...]:
        """Return what a service claims and others have."""
        return lost(key, self._claims.get(key, ()), self.holders)

    def records(
        self, key: ServiceKey, now: float, known: tuple[ClaimRecord, ...] = ()
    ) -> tuple[ClaimRecord, ...]:
        """Return what the status of a service should record. ``known`` is recorded elsewhere."""
        service = self.services.get(key)
        if service is None:
            return ()
        if known:
            service = replace(service, claimed=(*known, *(service.claimed or ())))
        holding = {claim: self.services[held] for claim, held in self.lost(key)}
        return records(service, self._claims.get(key, ()), holding, now)

    def may_record_later(self, key: ServiceKey) -> bool:
        """Tell whether a new import of a service may be written before its first record."""
        service = self.services.get(key)
        return service is not None and may_record_later(service, self._claims[key], self._claimed_by)

    def _claimed_by(self, claim: Claim) -> Collection[ServiceKey]:
        return self._claimants.get(claim, ())

    def nested(self, service: ExportedService, claims: Iterable[Claim]) -> tuple[Caution, ...]:
        """Return warnings about paths of a service above or below those of other namespaces."""
        return nested(service, claims, self.holders, self._paths)

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
        claims = self._claims.get(key)
        touched = {*self._claim(key, service)}
        is_recorded = _is_only_recorded(old, service)
        if is_recorded:
            touched |= self._rivals(key)
        if not is_recorded or claims != self._claims.get(key):
            touched.add(key)
        return self._changed(touched)

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
        was, now = (member.imports if member else frozenset() for member in (old, new))
        moved = old is not None and new is not None and _place(old) != _place(new)
        for dialect in was | now if moved else was ^ now:
            yield from self._of_dialect[dialect]

    def _changed(self, touched: set[ServiceKey]) -> set[ServiceKey]:
        for key in touched:
            self._derived.pop(key, None)
        for listener in tuple(self.listeners):
            listener(touched)
        return touched

    def _claim(self, key: ServiceKey, service: ExportedService | None) -> Iterator[ServiceKey]:
        """Make the claims of a service and drop its former ones; yield whom that gives or takes something."""
        before = self._occupied.pop(key, frozenset())
        now = occupied_by(service) if service else frozenset()
        if service is None:
            self._claims.pop(key, None)
        else:
            self._claims[key], self._occupied[key] = claims_of(service), now
        for claim in before | now:
            claimants = self._claimants.get(claim)
            if claimants is None:
                claimants = self._claimants[claim] = {}
                self._paths.add(claim.name)
            if service is not None and claim in now:
                claimants[key] = service
            else:
                claimants.pop(key, None)
            if self._hold(claim, key, claimants):
                yield from claimants

    def _rivals(self, key: ServiceKey) -> set[ServiceKey]:
        """Return who claims what this one and others claim: they record it one after another."""
        return {
            rival
            for claim in self._claims.get(key, ())
            if len(claimants := self._claimants[claim]) > 1
            for rival in claimants
        }

    def _hold(self, claim: Claim, key: ServiceKey, claimants: Mapping[ServiceKey, ExportedService]) -> bool:
        """Settle who holds a claim after a change in one claimant; tell whether that is somebody else now."""
        if not claimants:
            del self._claimants[claim]
            self._paths.remove(claim.name)
            self.holders.pop(claim, None)
            return False
        held = self.holders.get(claim)
        # Of many claimants only the one that changed can take the claim from its holder, or give it up.
        rivals: Iterable[ExportedService] = claimants.values()
        if held is not None and held != key:
            rivals = [claimants[claimant] for claimant in (held, key) if claimant in claimants]
        self.holders[claim] = holder(claim, rivals)
        return self.holders[claim] != held


def _place(member: Member) -> tuple[str, bool]:
    """Return what of a member counts for every import that it gets."""
    return member.key, member.data_path


def _is_only_recorded(old: ExportedService | None, new: ExportedService | None) -> bool:
    """Tell whether a change is nothing but the record of claims in the status, or what stands for it."""
    if old is None or new is None or (old.claimed, old.shown) == (new.claimed, new.shown):
        return False
    return replace(old, claimed=new.claimed, untouched=new.untouched, shown=new.shown) == new
