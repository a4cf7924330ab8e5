"""What a viewer is sent: the whole state, or what differs from the one that it has. Pure.

A slow viewer skips states: the difference to the newest one is as small as that to the next, and nothing is
queued for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from towpath.page.history import Change
from towpath.page.picture import EMPTY, Picture
from towpath.page.row import Row
from towpath.page.traffic import Flows


class Source(Row, frozen=True):
    """How the stream of the plugin stands: ``since`` when (RFC 3339), and why it is not connected."""

    connected: bool = False
    since: str = ""
    problem: str = ""


class State(NamedTuple):
    """Everything that is shown at one moment. Numbers grow."""

    number: int = 0
    picture: Picture = EMPTY
    source: Source = Source()
    history: tuple[Change, ...] = ()


def frame(before: State | None, now: State) -> bytes:
    """Return what turns one state into the other as JSON, or all of it if there is none before."""
    if before is None or before.picture.places != now.picture.places:
        return _encode({"whole": True, **_whole(now)})
    different: dict[str, Any] = {"number": now.number}
    old, new = before.picture, now.picture
    if members := [m for was, m in zip(old.members, new.members, strict=True) if was != m]:
        different["members"] = members
    if services := [s for key, s in new.services.items() if _is_other(old.services.get(key), s)]:
        different["services"] = services
    if gone := [key for key in old.services if key not in new.services]:
        different["gone"] = gone
    different |= _traffic(old, new)
    if before.source != now.source:
        different["source"] = now.source
    last = before.history[-1].number if before.history else 0
    if changes := [change for change in now.history if change.number > last]:
        different["changes"] = changes
    return _encode(different)


def _traffic(old: Picture, new: Picture) -> dict[str, Any]:
    different: dict[str, Any] = {}
    if old.traffic != new.traffic:
        different["traffic"] = new.traffic
    if old.flows is new.flows:
        return different
    if flows := {pair: rate for pair, rate in new.flows.items() if old.flows.get(pair) != rate}:
        different["flows"] = _listed(flows)
    if gone := [pair for pair in old.flows if pair not in new.flows]:
        different["goneFlows"] = gone
    return different


def _listed(flows: Flows) -> list[tuple[int, int, float, float | None]]:
    return [(*pair, *rate) for pair, rate in flows.items()]


def _is_other(old: object, new: object) -> bool:
    return old is not new and old != new


def _whole(state: State) -> dict[str, Any]:
    return {
        "number": state.number,
        "members": state.picture.members,
        "services": list(state.picture.services.values()),
        "traffic": state.picture.traffic,
        "flows": _listed(state.picture.flows),
        "source": state.source,
        "changes": state.history,
    }


def _encode(content: dict[str, Any]) -> bytes:
    return msgspec.json.encode(content)
