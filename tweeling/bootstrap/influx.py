"""An InfluxDB 2 out of settings: as a store, and what it needs before."""

from __future__ import annotations

from tweeling.adapters import influx_setup, secretfile
from tweeling.adapters.clock import SystemClock
from tweeling.adapters.influx import InfluxStore
from tweeling.adapters.influx_server import Access
from tweeling.config import Settings


def store(settings: Settings) -> InfluxStore:
    """Open the time-series store. Retention goes by the server's time, whatever time readings carry."""
    return InfluxStore(access(settings), raw_days=settings.store.raw_days, now_ms=SystemClock().now_ms)


def migrate(settings: Settings) -> list[str]:
    """Make buckets and tasks, or change them to what the settings say; say what was done. Again, it does nothing.

    Raises ConfigError, UnavailableError.
    """
    kept = influx_setup.Kept(settings.store.raw_days, settings.store.hourly_days)
    return influx_setup.migrate(access(settings), kept)


def access(settings: Settings) -> Access:
    """Where the server is, and a token for it, or ConfigError where there is none or others may read it."""
    given = settings.store.influxdb
    if given.token is not None:
        token, token_from = given.token.get_secret_value(), "TWEELING_STORE__INFLUXDB__TOKEN"
    else:
        token = secretfile.read(given.token_file, field="store.influxdb.token_file").decode("ascii", "replace")
        token_from = str(given.token_file)
    return Access(settings.store.url, given.org, given.bucket, token, token_from, settings.store.ca_file)
