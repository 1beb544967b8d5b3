"""The lasting sessions that a broker may hold for us: those that nobody wants any more are ended.

A broker keeps messages for a session whose owner never comes again, for ever. So a hub whose shards changed must end
the sessions of the old ones; it knows them from a file.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tweeling.adapters import secretfile
from tweeling.adapters.mqtt.session import Address

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0


def end_unwanted(path: Path, address: Address, wanted: Collection[str]) -> None:
    """End every session that `path` names and nobody wants; what cannot be ended now is tried at the next start.

    path keeps client ids, which are keys to their sessions: only its owner may read it.
    """
    left = _known(path) - set(wanted)
    for client_id in sorted(left):
        if _end(address.renamed(client_id)):
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


def _end(address: Address) -> bool:
    """Connect once with a clean session, which is MQTT's way to end a lasting one; say whether it worked."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=address.client_id, clean_session=True, reconnect_on_failure=False
    )
    if address.username:
        client.username_pw_set(address.username, address.password)
    answers: list[bool] = []
    client.on_connect = lambda _client, _data, _flags, reason, _props: answers.append(not reason.is_failure)
    try:
        client.connect(address.host, address.port, 10)
        deadline = time.monotonic() + _PATIENCE_S
        while not answers and time.monotonic() < deadline and client.loop(0.1) == paho.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
    except OSError:
        return False
    return answers == [True]
