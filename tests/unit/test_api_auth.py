from __future__ import annotations

import stat
from pathlib import Path

import pytest
from support_screens import CHEAP

from tweeling.api import login_page, passwords, tokens
from tweeling.api.passwords import Passwords
from tweeling.api.principals import Principal, Role
from tweeling.api.sessions import Attempts, Codes, Sessions
from tweeling.api.tokens import Tokens
from tweeling.errors import ConfigError

ANNA = Principal("anna", Role.OPERATOR)


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_password_is_kept_as_a_hash_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "login.json"
    password = passwords.generate()
    passwords.save(path, {"operator": password}, cost=CHEAP)

    assert password not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = Passwords.load(path)
    assert loaded.check("operator", password)
    assert not loaded.check("operator", password + "x")
    assert not loaded.check("somebody", password)


def test_generated_passwords_differ_and_are_long() -> None:
    made = {passwords.generate() for _ in range(50)}
    assert len(made) == 50
    assert all(len(text) == 23 for text in made)


def test_a_secret_that_others_may_read_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "login.json"
    passwords.save(path, {"operator": "x"}, cost=CHEAP)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        Passwords.load(path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"passwords": {"operator": "plain"}}'])
def test_a_damaged_password_file_names_itself(tmp_path: Path, text: str) -> None:
    path = tmp_path / "login.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        Passwords.load(path)


def test_a_token_is_shown_once_and_replaced_when_issued_again(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    assert Tokens.load(path).find("anything") is None
    first = tokens.issue(path, "P01", Role.CAPTURE)
    other = tokens.issue(path, "grafana", Role.QUERY)
    second = tokens.issue(path, "P01", Role.CAPTURE)

    known = Tokens.load(path)
    assert known.find(second) == Principal("P01", Role.CAPTURE)
    assert known.find(other) == Principal("grafana", Role.QUERY)
    assert known.find(first) is None
    assert second not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_token_opens_the_screens(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        tokens.issue(tmp_path / "tokens.json", "anna", Role.OPERATOR)


def test_a_session_ends_when_idle_and_at_the_longest() -> None:
    clock = Hand()
    sessions = Sessions(clock=clock, idle_s=10, longest_s=25)
    key = sessions.open(ANNA)
    for clock.at in (9, 18, 24):
        assert sessions.find(key) == ANNA
    clock.at = 25
    assert sessions.find(key) is None
    idle = sessions.open(ANNA)
    clock.at = 35
    assert sessions.find(idle) is None


def test_sessions_beyond_the_most_push_out_the_one_longest_unseen() -> None:
    clock = Hand()
    sessions = Sessions(clock=clock, most=2)
    first = sessions.open(ANNA)
    clock.at = 1
    second = sessions.open(ANNA)
    clock.at = 2
    assert sessions.find(first)
    third = sessions.open(ANNA)
    assert [bool(sessions.find(key)) for key in (first, second, third)] == [True, False, True]


def test_a_closed_session_is_gone() -> None:
    sessions = Sessions()
    key = sessions.open(ANNA)
    sessions.close(key)
    assert sessions.find(key) is None
    assert sessions.find("") is None


def test_a_code_opens_once_and_not_for_long() -> None:
    clock = Hand()
    codes = Codes(clock=clock, lasts_s=60)
    code, late = codes.issue(ANNA), codes.issue(ANNA)
    assert codes.redeem(code) == ANNA
    assert codes.redeem(code) is None
    clock.at = 60
    assert codes.redeem(late) is None


def test_attempts_run_out_and_come_back() -> None:
    clock = Hand()
    attempts = Attempts(clock=clock, burst=3, every_s=10)
    assert [attempts.take("a") for _ in range(4)] == [0, 0, 0, 10]
    assert attempts.take("b") == 0
    clock.at = 10
    assert attempts.take("a") == 0
    assert attempts.take("a") == 10
    attempts.forgive("a")
    assert attempts.take("a") == 0


@pytest.mark.parametrize(
    "target",
    [
        *("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "evil", "/a\nb", "///x"),
        *("", "http://[", "//[", "http://[::1"),
    ],
)
def test_login_leads_nowhere_but_here(target: str) -> None:
    assert login_page.local(target) == "/"


def test_login_leads_back_to_the_page_that_was_asked_for() -> None:
    assert login_page.local("/?lang=en&zone=H1-A") == "/?lang=en&zone=H1-A"


def test_the_login_page_speaks_both_languages_and_leaves_no_hole() -> None:
    dutch, english = (bytes(login_page.render("/", lang).body).decode() for lang in ("nl", "en"))
    assert "Wachtwoord" in dutch
    assert "Password" in english
    assert "[[" not in dutch + english
    assert login_page._TEXTS["nl"].keys() == login_page._TEXTS["en"].keys()
