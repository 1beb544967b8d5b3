"""Whether a broker lets somebody in, found out by trying."""

from __future__ import annotations

import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tweeling.adapters.mqtt.session import Address

_PATIENCE_S = 5.0


def knock(address: Address) -> bool | None:
    """Log in once with a clean session, and leave; None where nobody answers. A session of that name ends thereby."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=address.client_id, clean_session=True, reconnect_on_failure=False
    )
    if address.username:
        client.username_pw_set(address.username, address.password)
    answers: list[bool] = []
    client.on_connect = lambda _client, _data, _flags, reason, _props: answers.append(not reason.is_failure)
    try:
        if address.trust is not None:
            client.tls_set_context(address.trust.context())
        client.connect(address.host, address.port, 10)
        deadline = time.monotonic() + _PATIENCE_S
        while not answers and time.monotonic() < deadline and client.loop(0.1) == paho.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
    except OSError:
        return None
    return answers[0] if answers else None
