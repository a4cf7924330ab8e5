"""What has happened, told from two pictures: members come, go and are lost, services change state. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from towpath.page.picture import Member, Picture, Service
from towpath.page.row import Row

LENGTH = 200
"""Changes that are remembered."""
MOST_AT_ONCE = 40
"""Changes of one moment that are told one by one. A lost cluster can change every service."""


class Change(Row, frozen=True):
    """Something that has happened. ``kind`` is member or service, or empty for a change of many.

    ``tone`` is good, bad, waiting or plain.
    """

    number: int
    at: str
    kind: str
    id: str
    name: str
    tone: str
    text: str


def changes(before: Picture, now: Picture, at: str, first: int) -> tuple[Change, ...]:
    """Return what has changed, numbered from ``first``."""
    found = list(islice(chain(_members(before, now), _services(before, now)), MOST_AT_ONCE + 1))
    if len(found) > MOST_AT_ONCE:
        found[MOST_AT_ONCE:] = [("", "", "Others", "plain", "more has changed at this moment")]
    return tuple(Change(number, at, *parts) for number, parts in enumerate(found, first))


_Parts = tuple[str, str, str, str, str]


def _members(before: Picture, now: Picture) -> Iterator[_Parts]:
    old, new = ({member.name: member for member in each.members} for each in (before, now))
    for name in sorted(old.keys() | new.keys()):
        for tone, text in _of_member(old.get(name), new.get(name)):
            yield "member", name, name, tone, text


def _of_member(old: Member | None, new: Member | None) -> Iterator[tuple[str, str]]:
    if new is None:
        yield "plain", "left the cluster set"
    elif old is None:
        yield "plain", "joined the cluster set"
    else:
        if bool(old.lost_since) != bool(new.lost_since):
            yield ("bad", "lost: Karmada cannot reach it") if new.lost_since else ("good", "reachable again")
        if old.drained != new.drained:
            yield ("waiting", "drained") if new.drained else ("good", "no longer drained")
        if old.gateway != new.gateway:
            yield (
                ("plain", f"gateway is {new.gateway}") if new.gateway else ("bad", "has no gateway any more")
            )
        elif old.gateway_ip != new.gateway_ip:
            address = (
                ("plain", f"gateway has the address {new.gateway_ip}")
                if new.gateway_ip
                else ("bad", f"no address of {new.gateway}")
            )
            yield address


_TONES = {"OK": "good", "LeftOut": "plain", "Pending": "waiting", "Broken": "bad"}


def _services(before: Picture, now: Picture) -> Iterator[_Parts]:
    for key in sorted(before.services.keys() | now.services.keys()):
        old, new = before.services.get(key), now.services.get(key)
        if old is new:
            continue
        for tone, text in _of_service(old, new, before.places, now.places):
            shown = new or old
            yield "service", key, f"{shown.namespace}/{shown.name}" if shown else key, tone, text


def _of_service(
    old: Service | None, new: Service | None, were: tuple[str, ...], are: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    if new is None:
        yield "plain", "no longer exported"
        return
    if old is None:
        yield "plain", f"exported, {_standing(new)}"
        return
    if (old.state, _reason(old)) != (new.state, _reason(new)):
        yield _TONES.get(new.state, "plain"), _standing(new)
    had, has = {were[place] for place in old.exporters}, {are[place] for place in new.exporters}
    if had != has:
        gained, gone = ", ".join(sorted(has - had)), ", ".join(sorted(had - has))
        parts = (f"exported by {gained}" if gained else "", f"no longer exported by {gone}" if gone else "")
        yield "plain", ", ".join(filter(None, parts))


def _reason(service: Service) -> str:
    return service.first.reason if service.first else ""


def _standing(service: Service) -> str:
    """Return the state of a service, with the link that decides it."""
    first = service.first
    if first is None:
        return "in sync"
    place = f"{first.step} in {first.cluster}" if first.cluster else first.step
    return f"{_WORDS.get(service.state, service.state)}: {place}: {first.reason}"


_WORDS = {"LeftOut": "in sync, left out", "Pending": "pending", "Broken": "broken"}
