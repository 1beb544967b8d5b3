"""`tweeling up`: a hub with its interface and screens, and its broker where that is embedded."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tweeling import bootstrap, config
from tweeling.adapters import secretfile
from tweeling.adapters.tls import serving
from tweeling.api.app import create_app
from tweeling.api.auth import Auth
from tweeling.api.guard import LOOPBACK
from tweeling.api.passwords import OPERATOR
from tweeling.api.principals import Principal, Role
from tweeling.api.server import serve
from tweeling.cli.broker import EmbeddedBroker
from tweeling.cli.installation import Installation
from tweeling.cli.logs import log_to_stderr
from tweeling.cli.notify import Notifier
from tweeling.config import HttpSettings, Settings
from tweeling.domain.hosts import in_url
from tweeling.errors import ConfigError

log = logging.getLogger("tweeling.hub")

_LOOK_S = 1.0


def serve_hub(path: Path, stop: threading.Event) -> int:
    """Run a hub until it is told to stop; raise UnavailableError if a part of it failed."""
    manager = Notifier(os.environ)
    settings = config.load(path)
    Installation(settings.data).check_owner()
    log_to_stderr(settings.log.format, settings.log.level)
    http = settings.http
    with ExitStack() as closing:
        shown = serving(http.tls.cert_file, http.tls.key_file, field="http.tls") if http.tls else None
        # The broker is the last to end: until then the hub acknowledges what it has committed.
        broker = closing.enter_context(EmbeddedBroker(settings.broker)) if settings.broker.embedded else None
        renewals = Renewals(settings, shown, broker)
        hub = closing.enter_context(bootstrap.hub(settings, stop))
        # Browsers keep one cookie for all ports of a name; with the prefix they take it over TLS and from us only.
        cookie = f"{'__Host-' if shown else ''}tweeling_session_{http.port}"
        auth = Auth.load(http.login, http.tokens, cookie=cookie, secure=shown is not None)
        app = create_app(
            hub.view,
            hub.custody,
            auth,
            log=hub.log if settings.custody.public else None,
            points=hub.points,
            quarantine=hub.quarantine,
            corrections=hub.corrections,
            copy=hub.copy,
            hosts=names_of(http),
        )
        with serve(app, http.host, http.port, tls=shown, beat=manager.alive):
            # Whoever may read this folder may open a browser that is logged in, for two minutes.
            code = auth.codes.issue(Principal(OPERATOR, Role.OPERATOR))
            secretfile.write(http.login.with_name("login-code"), code + "\n")
            log.info("hub.ready", extra={"url": http.url})
            manager.ready(f"at {http.url}")
            while not stop.wait(_LOOK_S):
                renewals.look()
            manager.stopping()
    log.info("hub.stopped")
    return 0


def names_of(http: HttpSettings) -> frozenset[str]:
    """Every name under which the hub may be called."""
    return LOOPBACK | {in_url(name) for name in (*http.names, http.host)}


class Renewals:
    """Takes certificates that were renewed on disk, by `tweeling certificate renew` or by any other program."""

    def __init__(self, settings: Settings, shown: ssl.SSLContext | None, broker: EmbeddedBroker | None) -> None:
        self._shown: list[_Shown] = []
        if shown is not None and (http := settings.http.tls) is not None:
            self._shown.append(_Shown("http", http.cert_file, http.key_file, shown.load_cert_chain))
        tls = settings.broker.tls
        if broker is not None and tls is not None and tls.cert_file is not None and tls.key_file is not None:
            self._shown.append(_Shown("broker", tls.cert_file, tls.key_file, lambda *_: broker.reload()))
        self._seen = [each.stamps() for each in self._shown]

    def look(self) -> None:
        """Look at the files, and take what changed; what does not fit together must not touch what is shown now."""
        before, self._seen = self._seen, [each.stamps() for each in self._shown]
        for each, then, now in zip(self._shown, before, self._seen, strict=True):
            if then == now:
                continue
            try:
                serving(each.cert_file, each.key_file, field=f"{each.by}.tls")
                each.take(each.cert_file, each.key_file)
            except (ConfigError, OSError) as exc:
                log.warning("certificate.unusable", extra={"by": each.by, "reason": str(exc)})
            else:
                log.info("certificate.taken", extra={"by": each.by})


class _Shown(NamedTuple):
    """A certificate that somebody of ours shows."""

    by: str
    cert_file: Path
    key_file: Path
    take: Callable[[Path, Path], None]

    def stamps(self) -> tuple[int, ...]:
        return tuple(_stamp(path) for path in (self.cert_file, self.key_file))


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # being replaced
        return 0
