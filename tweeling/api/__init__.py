"""The hub over HTTP: log in, ask the twin, bring custody events, and the door to the screens."""

from tweeling.api.app import create_app
from tweeling.api.auth import Auth
from tweeling.api.server import serve

__all__ = ["Auth", "create_app", "serve"]
