"""What every table of the settings is."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel

from tweeling.domain.hosts import on_loopback


class Section(BaseModel, frozen=True, extra="forbid"):
    """A table of the file; an unknown key is an error, not a silence."""


def safe(url: str) -> str:
    """An address that is asked under TLS, or on this machine; else ValueError."""
    if urlsplit(url).scheme != "https" and not on_loopback(url):
        raise ValueError("should begin with https:// for a server on another machine")
    return url
