"""What is at fault when Envoy rejects a response, and that nothing else is kept away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.net.quarantine import AGAIN_SECONDS, MOST_TRIES, Quarantine, mentioned

NAMES = ("egress/shop/web:80", "egress/shop/web:8080", "egress/shop/web:80/each-path", "ingress")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Error adding/updating cluster(s) egress/shop/web:80: no config", NAMES[:1]),
        ("Error adding/updating cluster(s) egress/shop/web:8080: no config", NAMES[1:2]),
        ("error adding listener named 'egress/shop/web:80': address is necessary\n", NAMES[:1]),
        ('\nname: "egress/shop/web:80/each-path"\ntype: EDS\n: Proto constraint failed', NAMES[2:3]),
        ("Error adding/updating listener(s) egress/shop/web:80: a, ingress: b", (NAMES[0], NAMES[3])),
        ("an egress/shop/web:80.", NAMES[:1]),
        ("missing ): (", ()),
        ("my-egress/shop/web:80 and ingress/shop/web:80", ()),
    ],
)
def test_a_name_is_found_as_a_whole(message: str, expected: tuple[str, ...]) -> None:
    assert tuple(mentioned(NAMES, message)) == expected


def tried(good: set[str], bad: set[str], named: set[str]) -> tuple[Quarantine, dict[str, str], int]:
    """Play an Envoy that rejects each response with something bad, and names some. Return what it has."""
    wanted, has, responses = (
        {name: f"{name} as wanted" for name in (*sorted(good | bad),)},
        dict[str, str](),
        0,
    )
    quarantine = Quarantine()
    while (usable := quarantine.without(wanted, has)) != has or quarantine.is_searching:
        responses += 1
        if wrong := bad & {name for name, body in usable.items() if body == wanted[name]}:
            changed = {name: body for name, body in usable.items() if has.get(name) != body}
            quarantine.reject(changed, " ".join(sorted(wrong & named)), now=0.0)
        else:
            has = usable
        quarantine.proceed()
    return quarantine, has, responses


names = st.sets(st.from_regex(r"egress/[a-z]/[a-z]:[0-9]", fullmatch=True), max_size=40)


@given(names, names, names)
def test_all_that_is_good_arrives_and_nothing_else(good: set[str], bad: set[str], named: set[str]) -> None:
    good, bad = good - bad, set(sorted(bad)[:4])
    quarantine, has, _ = tried(good, bad, named)
    assert has.keys() == good
    assert quarantine.refused.keys() == bad


def test_one_of_hundreds_is_found_soon() -> None:
    _, has, responses = tried({f"s-{number}" for number in range(500)}, {"s-x"}, set())
    assert len(has) == 500
    assert responses <= 24


def test_the_search_ends_however_much_is_wrong() -> None:
    bad = {f"s-{number}" for number in range(300)}
    quarantine, has, responses = tried({"good"}, bad, set())
    assert "good" in has or "good" in quarantine.refused
    assert responses <= MOST_TRIES + 12


def test_what_envoy_has_accepted_of_it_stays() -> None:
    quarantine, accepted = Quarantine(), {"a": "first", "b": "first"}
    assert quarantine.reject({"a": "second"}, "a is bad", now=0.0) == ["a"]
    assert quarantine.without({"a": "second", "b": "second"}, accepted) == {"a": "first", "b": "second"}
    assert quarantine.without({"a": "second"}, {}) == {}


@pytest.mark.parametrize(
    ("body", "seconds", "expected"),
    [("bad", 1.0, []), ("bad", AGAIN_SECONDS + 1, ["a"]), ("other", 1.0, ["a"]), ("gone", 1.0, [])],
)
def test_when_it_is_tried_again(body: str, seconds: float, expected: list[str]) -> None:
    quarantine = Quarantine()
    quarantine.reject({"a": "bad"}, "", now=100.0)
    wanted = {} if body == "gone" else {"a": body}
    quarantine.begin(wanted, now=100.0 + seconds)
    assert list(quarantine.without(wanted, {})) == expected
