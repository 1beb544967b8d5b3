"""`tweeling up`: a hub with its interface and screens, in one process."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from tweeling import bootstrap, config
from tweeling.adapters import secretfile
from tweeling.api.app import create_app
from tweeling.api.auth import Auth
from tweeling.api.passwords import OPERATOR
from tweeling.api.principals import Principal, Role
from tweeling.api.server import serve

log = logging.getLogger("tweeling.hub")


def serve_hub(path: Path, stop: threading.Event) -> int:
    """Run a hub until it is told to stop; raise UnavailableError if a part of it failed."""
    settings = config.load(path)
    with bootstrap.hub(settings, stop) as hub:
        port = settings.http.port
        auth = Auth.load(settings.http.login, settings.http.tokens, cookie=f"tweeling_session_{port}")
        app = create_app(hub.view, hub.custody, auth, points=hub.points, quarantine=hub.quarantine, copy=hub.copy)
        with serve(app, settings.http.host, port):
            # Whoever may read this folder may open a browser that is logged in, for two minutes.
            code = auth.codes.issue(Principal(OPERATOR, Role.OPERATOR))
            secretfile.write(settings.http.login.with_name("login-code"), code + "\n")
            log.info("hub.ready", extra={"url": f"http://{settings.http.host}:{port}"})
            stop.wait()
    log.info("hub.stopped")
    return 0
