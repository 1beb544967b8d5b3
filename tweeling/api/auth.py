"""Everything by which the server knows who is asking."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tweeling.api.passwords import Passwords
from tweeling.api.sessions import Attempts, Codes, Sessions
from tweeling.api.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Auth:
    """Passwords and sessions of people, tokens of machines. cookie: differs per port, as browsers' cookies do not."""

    passwords: Passwords
    tokens: Tokens
    sessions: Sessions = field(default_factory=Sessions)
    codes: Codes = field(default_factory=Codes)
    attempts: Attempts = field(default_factory=Attempts)
    cookie: str = "tweeling_session"
    secure: bool = False  # the cookie travels over TLS only; set it where TLS is

    @classmethod
    def load(cls, login: Path, tokens: Path, *, cookie: str = "tweeling_session", secure: bool = False) -> Auth:
        """Read both files, or raise ConfigError."""
        return cls(Passwords.load(login), Tokens.load(tokens), cookie=cookie, secure=secure)
