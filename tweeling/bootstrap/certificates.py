"""How long the certificates that a hub shows are good for, as a part of its health."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tweeling.adapters import certificates
from tweeling.config import Settings
from tweeling.domain.now import PartNow
from tweeling.errors import ConfigError


def shown_certificates(settings: Settings) -> list[Path]:
    """The certificates that this hub and its own broker show, each file once."""
    held = [settings.http.tls.cert_file] if settings.http.tls is not None else []
    if settings.broker.embedded and settings.broker.tls is not None and settings.broker.tls.cert_file is not None:
        held.append(settings.broker.tls.cert_file)
    return list(dict.fromkeys(held))


def certificate_health(settings: Settings) -> Sequence[PartNow]:
    """Whether they need to be renewed soon; nothing where nothing is encrypted."""
    return [_health(path) for path in shown_certificates(settings)]


def _health(path: Path) -> PartNow:
    try:
        held = certificates.look(path)
    except ConfigError as exc:
        return PartNow("certificate", False, str(exc))
    days = held.days_left(datetime.now(UTC))
    until = f"{path.name} {'is good' if days >= 0 else 'was good'} until {held.ends:%Y-%m-%d}"
    if days < 0:
        return PartNow("certificate", False, f"{until}, and nodes and browsers refuse it now; renew it")
    soon = days < certificates.RENEW_DAYS
    return PartNow("certificate", not soon, f"{until}, {days} days more; renew it" if soon else until)
