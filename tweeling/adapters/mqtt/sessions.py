"""The lasting sessions that a broker may hold for us: those that nobody wants any more are ended.

A broker keeps messages for a session whose owner never comes again, for ever. So a hub whose shards changed must end
the sessions of the old ones; it knows them from a file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from pathlib import Path

from tweeling.adapters import secretfile
from tweeling.adapters.mqtt.knock import knock
from tweeling.adapters.mqtt.session import Address

log = logging.getLogger(__name__)


def end_unwanted(path: Path, address: Address, wanted: Collection[str]) -> None:
    """End every session that `path` names and nobody wants; what cannot be ended now is tried at the next start.

    path keeps client ids, which are keys to their sessions: only its owner may read it.
    """
    left = _known(path) - set(wanted)
    for client_id in sorted(left):
        if knock(address.renamed(client_id)):  # a clean session is MQTT's way to end a lasting one
            left.discard(client_id)
            log.info("session.ended", extra={"left": len(left)})
        else:
            log.warning("session.kept", extra={"reason": "the broker does not answer; tried again at the next start"})
            break
    secretfile.write(path, json.dumps(sorted(left | set(wanted))))


def _known(path: Path) -> set[str]:
    try:
        return set(json.loads(path.read_text()))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError) as exc:
        log.warning("session.unknown", extra={"file": str(path), "reason": str(exc)})
        return set()
