"""When certificates are due, which CAs are trusted, which one signs: by tables of times."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.errors import InvalidObject
from towpath.pki import Identity, issue, make_authority
from towpath_webhook.certificates.rotation import (
    DAY,
    Lifetimes,
    Validity,
    is_another_needed,
    signer,
    still_trusted,
)

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
OVERLAP = Lifetimes().overlap


def at(day: float) -> dt.datetime:
    return START + day * DAY


def life(name: str, begins: float, ends: float) -> Validity:
    return Validity(name.encode(), at(begins), at(ends))


OLD, NEW, NEWER = life("old", 0, 365), life("new", 244, 609), life("newer", 488, 853)
YOUNG = life("young", 0, 30)


@pytest.mark.parametrize(
    ("day", "due"),
    [(-1, True), (0, False), (19.9, False), (20, True), (29, True), (31, True), (90, True)],
    ids=["a clock set back", "new", "not yet", "a third is left", "almost over", "over", "a jump of 60 days"],
)
def test_a_certificate_is_due(day: float, due: bool) -> None:
    assert YOUNG.is_due(at(day)) is due


@pytest.mark.parametrize(
    ("authorities", "day", "another"),
    [
        ([], 0, True),
        ([OLD], 1, False),
        ([OLD], 243, False),
        ([OLD], 244, True),
        ([OLD, NEW], 244, False),
        ([OLD, NEW], 400, False),
        ([OLD, NEW], 488, True),
        ([OLD], 303, True),
        ([NEW], 1, True),
    ],
)
def test_a_further_authority_is_made(authorities: list[Validity], day: float, another: bool) -> None:
    assert is_another_needed(authorities, at(day)) is another


@pytest.mark.parametrize(
    ("authorities", "day", "carried", "trusted"),
    [
        ([OLD], 100, ["old"], ["old"]),
        ([OLD, NEW], 245, ["old"], ["old", "new"]),
        ([OLD, NEW], 245, ["old", "new"], ["old", "new"]),
        ([OLD, NEW], 273.9, ["old", "new"], ["old", "new"]),
        ([OLD, NEW], 274, ["old", "new"], ["new"]),
        ([OLD, NEW], 300, ["old"], ["old", "new"]),
        ([OLD, NEW], 366, ["old"], ["new"]),
        ([OLD, NEW, NEWER], 489, ["new", "newer"], ["new", "newer"]),
        ([OLD], 400, [], ["old"]),
    ],
    ids=[
        "one",
        "just made",
        "carried",
        "almost a period",
        "after a period",
        "a period, but somebody does not carry it",
        "the old one has ended",
        "three",
        "never none, not even one that has ended",
    ],
)
def test_authorities_are_trusted_for_a_period(
    authorities: list[Validity], day: float, carried: list[str], trusted: list[str]
) -> None:
    kept = still_trusted(authorities, at(day), {name.encode() for name in carried}, OVERLAP)
    assert [authority.pem.decode() for authority in kept] == trusted


@pytest.mark.parametrize(
    ("carried", "current", "signs"),
    [
        (["old"], "old", "old"),
        (["old", "new"], "old", "new"),
        (["new"], "old", "new"),
        ([], "old", "old"),
        ([], "new", "new"),
        ([], None, "old"),
        (["other"], "gone", "old"),
    ],
)
def test_the_youngest_that_all_trust_signs(carried: list[str], current: str | None, signs: str) -> None:
    chosen = signer(
        [OLD, NEW], {name.encode() for name in carried}, current.encode() if current is not None else None
    )
    assert chosen.pem.decode() == signs


@given(st.lists(st.floats(-3, 60, allow_nan=False), max_size=80), st.integers(0, 3))
def test_the_served_certificate_is_trusted_at_any_clock(steps: list[float], lag: int) -> None:
    """The whole life over random steps in time; configurations follow ``lag`` looks behind."""
    authorities: list[Validity] = []
    bundles: list[set[bytes]] = []
    current: bytes | None = None
    now = START
    for number, step in enumerate(steps):
        now += step * DAY
        if is_another_needed(authorities, now):
            authorities.append(Validity(f"{number}".encode(), now, now + 365 * DAY))
        carried = bundles[-1 - lag] if len(bundles) > lag else set()
        authorities = still_trusted(authorities, now, carried, OVERLAP)
        bundles.append({authority.pem for authority in authorities})
        chosen = signer(authorities, carried, current)
        assert len(authorities) <= 4
        assert chosen.pem in bundles[-1], "the configurations will trust it"
        alive = {authority.pem for authority in authorities if now < authority.ends}
        if carried & alive and chosen.pem in alive:
            assert chosen.pem in carried, "they trust it already"
        current = chosen.pem


def test_an_identity_is_read_as_it_was_written() -> None:
    made = make_authority("ca", validity=DAY)
    assert Identity.read(made.certificate_pem, made.key_pem).certificate == made.certificate
    other = issue(made, "server", serves=["localhost", "127.0.0.1"], validity=DAY)
    with pytest.raises(InvalidObject, match="does not belong to the certificate"):
        Identity.read(made.certificate_pem, other.key_pem)
    with pytest.raises(InvalidObject, match="One is not PEM"):
        Identity.read(b"nothing", other.key_pem)


@pytest.mark.parametrize(("validity", "before"), [(30 * DAY, 3600), (DAY / 2, 3600), (DAY / 24, 300)])
def test_certificates_begin_a_little_ago(validity: dt.timedelta, before: float) -> None:
    made = make_authority("ca", validity=validity, now=START).certificate
    assert (START - made.not_valid_before_utc).total_seconds() == before
    assert made.not_valid_after_utc == START + validity
