"""`tweeling up`: a hub with its interface and screens, and its broker where that is embedded."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

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
from tweeling.cli.logs import log_to_stderr
from tweeling.cli.notify import Notifier
from tweeling.config import HttpSettings, Settings
from tweeling.errors import ConfigError

log = logging.getLogger("tweeling.hub")

_LOOK_S = 1.0


def serve_hub(path: Path, stop: threading.Event) -> int:
    """Run a hub until it is told to stop; raise UnavailableError if a part of it failed."""
    manager = Notifier(os.environ)
    settings = config.load(path)
    log_to_stderr(settings.log.format, settings.log.level)
    http = settings.http
    with ExitStack() as closing:
        shown = serving(http.tls.cert_file, http.tls.key_file, field="http.tls") if http.tls else None
        # The broker is the last to end: until then the hub acknowledges what it has committed.
        broker = closing.enter_context(EmbeddedBroker(settings.broker)) if settings.broker.embedded else None
        hub = closing.enter_context(bootstrap.hub(settings, stop))
        # Browsers keep one cookie for all ports of a name; with the prefix they take it over TLS and from us only.
        cookie = f"{'__Host-' if shown else ''}tweeling_session_{http.port}"
        auth = Auth.load(http.login, http.tokens, cookie=cookie, secure=shown is not None)
        app = create_app(
            hub.view, hub.custody, auth, points=hub.points, quarantine=hub.quarantine, hosts=names_of(http)
        )
        with serve(app, http.host, http.port, tls=shown, beat=manager.alive):
            # Whoever may read this folder may open a browser that is logged in, for two minutes.
            code = auth.codes.issue(Principal(OPERATOR, Role.OPERATOR))
            secretfile.write(http.login.with_name("login-code"), code + "\n")
            log.info("hub.ready", extra={"url": url_of(http)})
            manager.ready(f"at {url_of(http)}")
            _watch(Renewals(settings, shown, broker), stop)
            manager.stopping()
    log.info("hub.stopped")
    return 0


def url_of(http: HttpSettings) -> str:
    """Where people find the hub."""
    name = http.names[0] if http.names else config.reachable(http.host)
    return f"{'https' if http.tls else 'http'}://{_in_url(name)}:{http.port}"


def names_of(http: HttpSettings) -> frozenset[str]:
    """Every name under which the hub may be called."""
    return LOOPBACK | {_in_url(name) for name in (*http.names, http.host)}


def _in_url(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _watch(renewals: Renewals, stop: threading.Event) -> None:
    while not stop.wait(_LOOK_S):
        renewals.look()


class Renewals:
    """Takes certificates that were renewed on disk, by `tweeling certificate renew` or by any other program."""

    def __init__(self, settings: Settings, shown: ssl.SSLContext | None, broker: EmbeddedBroker | None) -> None:
        self._http, self._shown = settings.http.tls, shown
        self._tls = settings.broker.tls if broker is not None else None
        self._broker = broker
        self._seen = self._http_stamps(), self._broker_stamps()

    def look(self) -> None:
        """Look at the files, and take what changed."""
        before, self._seen = self._seen, (self._http_stamps(), self._broker_stamps())
        if self._seen[0] != before[0] and self._http is not None and self._shown is not None:
            files = self._http.cert_file, self._http.key_file
            try:
                serving(*files, field="http.tls")  # what does not fit together must not touch what is shown now
                self._shown.load_cert_chain(*files)
            except (ConfigError, OSError) as exc:
                log.warning("certificate.unusable", extra={"reason": str(exc)})
            else:
                log.info("certificate.taken", extra={"by": "http"})
        if self._seen[1] != before[1] and self._broker is not None:
            self._broker.reload()
            log.info("certificate.taken", extra={"by": "broker"})

    def _http_stamps(self) -> tuple[int, ...]:
        return _stamps(() if self._http is None else (self._http.cert_file, self._http.key_file))

    def _broker_stamps(self) -> tuple[int, ...]:
        return _stamps(() if self._tls is None else (self._tls.cert_file, self._tls.key_file))


def _stamps(paths: Iterable[Path | None]) -> tuple[int, ...]:
    stamps = []
    for path in paths:
        try:
            stamps.append(path.stat().st_mtime_ns if path is not None else 0)
        except OSError:  # being replaced
            stamps.append(0)
    return tuple(stamps)
