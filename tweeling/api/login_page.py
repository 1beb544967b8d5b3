"""The login page: no script needed, Dutch first."""

from __future__ import annotations

import html
from importlib import resources
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse

_TEXTS = {
    "nl": {
        "lang": "nl",
        "title": "Inloggen · Tweeling",
        "claim": "De levende tweeling van circulaire hubs",
        "password": "Wachtwoord",
        "submit": "Inloggen",
        "hint": "Het wachtwoord staat in de terminal waarin Tweeling is gestart.",
        "wrong": "Dit wachtwoord klopt niet.",
        "spent": "Deze inlogcode is gebruikt of verlopen. Log in met het wachtwoord.",
        "wait": "Te veel pogingen. Probeer het over {seconds} s opnieuw.",
        "other": "English",
        "other_lang": "en",
    },
    "en": {
        "lang": "en",
        "title": "Log in · Tweeling",
        "claim": "The live twin of circular hubs",
        "password": "Password",
        "submit": "Log in",
        "hint": "The password is shown in the terminal that Tweeling was started in.",
        "wrong": "This password is not right.",
        "spent": "This login code has been used or is too old. Log in with the password.",
        "wait": "Too many attempts. Try again in {seconds} s.",
        "other": "Nederlands",
        "other_lang": "nl",
    },
}

_FOLDER = resources.files("tweeling.api") / "pages"
_PAGE = (_FOLDER / "login.html").read_text(encoding="utf-8")
FILES = {
    name: (media, (_FOLDER / name).read_bytes())
    for name, media in {"login.css": "text/css", "login.js": "text/javascript", "mark.svg": "image/svg+xml"}.items()
}
"""What the page asks for beside itself: media type and bytes."""


def render(target: str, lang: str, *, problem: str | None = None, status: int = 200, seconds: int = 0) -> HTMLResponse:
    """The page that leads on to `target`; problem: a key of the texts."""
    words = _TEXTS.get(lang, _TEXTS["nl"])
    shown = words | {"next": local(target), "problem": "", "hidden": "hidden"}
    if problem is not None:
        shown |= {"problem": words[problem].format(seconds=seconds), "hidden": ""}
    page = _PAGE
    for name, text in shown.items():
        page = page.replace(f"[[{name}]]", html.escape(text))
    return HTMLResponse(page, status, {"Retry-After": str(seconds)} if seconds else None)


def language(lang: str, target: str, accepted: str) -> str:
    """The language asked for, else that of the page it leads on to, else the first of ours in Accept-Language."""
    named = (one for one in _TEXTS if f"lang={one}" in target)
    preferred = (part.strip()[:2].lower() for part in accepted.split(","))
    return next((one for one in (lang, *named, *preferred) if one in _TEXTS), "nl")


def local(target: str) -> str:
    """A path on this server, whatever was asked for: an open redirect serves a phisher."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    printable = target.isascii() and target.isprintable()
    if parts.scheme or parts.netloc or "\\" in target or not target.startswith("/") or not printable:
        return "/"
    return "/" if target.startswith("//") else target
