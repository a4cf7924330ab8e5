"""Who may see the page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.support.certificates import replaced
from towpath.errors import UsageError
from towpath.page.access import COOKIE, SESSION_SECONDS, LocalOnly, Token, is_loopback

TOKEN = "correct-horse-battery"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return tmp_path / "token"


def allows(access: Token, *, cookie: str = "", **headers: str) -> bool:
    sent = {**headers, **({"Cookie": f"{COOKIE}={cookie}"} if cookie else {})}
    return access.allows(make_mocked_request("GET", "/", headers=sent))


@pytest.mark.parametrize(
    ("header", "is_allowed"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (f"Bearer {TOKEN}x", False),
        ("Bearer ", False),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        ("Bearer ö", False),
    ],
)
def test_a_program_sends_the_token(path: Path, header: str, is_allowed: bool) -> None:
    assert allows(Token(path), Authorization=header) is is_allowed


def test_a_browser_gets_a_cookie_for_the_token(path: Path) -> None:
    access = Token(path)
    assert access.session("wrong-wrong-wrong-wrong") is None
    cookie = access.session(TOKEN)
    assert cookie
    assert TOKEN not in cookie
    assert allows(access, cookie=cookie)
    assert allows(Token(path), cookie=cookie), "another replica refuses it"


def test_a_cookie_ends_and_cannot_be_prolonged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Token(path)
    cookie = access.session(TOKEN) or ""
    until, _, signature = cookie.partition(".")
    assert not allows(access, cookie=f"{int(until) + 1}.{signature}")
    for forged in ("", ".", f".{signature}", f"{until}.", f"{until}", f"x.{signature}", f"{until}.ö"):
        assert not allows(access, cookie=forged)
    later = time.time() + SESSION_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert not allows(access, cookie=cookie)


def test_a_new_token_ends_every_session(path: Path) -> None:
    access = Token(path)
    cookie = access.session(TOKEN) or ""
    replaced(path, b"another-token-of-many-letters")
    assert not allows(access, cookie=cookie)
    assert not allows(access, Authorization=f"Bearer {TOKEN}")
    assert allows(access, Authorization="Bearer another-token-of-many-letters")


@pytest.mark.parametrize("content", [b"", b"short", None])
def test_a_damaged_file_leaves_the_token_as_it_was(path: Path, content: bytes | None) -> None:
    access = Token(path)
    if content is None:
        path.unlink()
    else:
        replaced(path, content)
    assert allows(access, Authorization=f"Bearer {TOKEN}")
    assert not allows(access, Authorization=f"Bearer {(content or b'').decode()}")


@pytest.mark.parametrize("content", ["", "  \n", "fifteen-letters", "ö" * 20])
def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(UsageError, match="openssl rand -hex 32"):
        Token(tmp_path / "token")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="token: No such file"):
        Token(tmp_path / "token")


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("127.0.0.1:8480", True),
        ("localhost:8480", True),
        ("[::1]:8480", True),
        ("127.8.9.1", True),
        ("evil.example.com:8480", False),
        ("localhost.evil.example.com", False),
        ("10.0.0.1:8480", False),
    ],
)
def test_a_name_that_points_here_is_refused(host: str, is_allowed: bool) -> None:
    assert LocalOnly().allows(make_mocked_request("GET", "/", headers={"Host": host})) is is_allowed


@pytest.mark.parametrize("host", ["", "::", "10.0.0.1", "example.com"])
def test_other_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
