"""The hub over HTTP: log in, ask the twin, bring custody events, and the door to the screens."""
