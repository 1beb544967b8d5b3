"""The points of a running hub for its auditor, asked in columns."""

from __future__ import annotations

import numpy as np

from tweeling.api import arrow
from tweeling.cli.client import HubClient
from tweeling.domain.points import Points
from tweeling.ports.timeseries import Found, Kept

_MOST = 900_000  # bytes of a request; a hub takes a mebibyte


class RemotePoints:
    """The time-series store of a running hub, as its auditor asks it: a `PointsAudit`."""

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub
        self.precision = float(hub.points_held("-")["precision"])

    def count(self) -> int:
        """See `PointsAudit`."""
        return int(self._hub.points_held("-")["count"])

    def applied(self, source: str) -> int:
        """See `PointsAudit`."""
        return int(self._hub.points_held(source)["applied"])

    def kept(self) -> Kept:
        """See `PointsAudit`."""
        held = self._hub.points_held("-")
        return Kept(int(held["kept_from_ms"]), int(held["removed"]))

    def find(self, points: Points) -> Found:
        """See `PointsAudit`; asked in parts that a request may hold."""
        asked = arrow.encode_points(points)
        if len(asked) <= _MOST:
            return arrow.decode_found(self._hub.find_points(asked, arrow.MEDIA_TYPE))
        half = len(points) // 2
        parts = [self.find(points.slice(*span)) for span in ((0, half), (half, len(points)))]
        return Found(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
