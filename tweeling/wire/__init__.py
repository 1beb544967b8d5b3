"""The published language between a gateway and a hub: topics, envelopes, acknowledgements, presence.

Everything here is versioned and small enough to run on a gateway. `docs/wire-format.md` shows it byte by byte.
"""

VERSION = 1
