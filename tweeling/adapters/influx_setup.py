"""What an InfluxDB 2 needs before it serves as a store: three buckets, and tasks that keep hourly values.

Hourly values are read only of times that the raw bucket no longer keeps, so they must be right when raw points leave
it, not before. One task computes the last two days again every hour, for whoever else looks at them; another computes
the days that are about to leave again every day, and so takes in whatever came late.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.task_create_request import TaskCreateRequest
from influxdb_client.domain.task_update_request import TaskUpdateRequest

from tweeling.adapters.influx_server import Access, InfluxServer
from tweeling.errors import ConfigError

_DAY_S = 86_400
_LEAST_RAW_DAYS = 5
_HOURLY = """import "date"

option task = {{name: "{name}", every: {every}, offset: 5m}}

hours = (fn, field) =>
    from(bucket: "{raw}")
        |> range(start: date.truncate(t: {start}, unit: 1h), stop: date.truncate(t: {stop}, unit: 1h))
        |> filter(fn: (r) => r._measurement == "tweeling" and r._field == "value")
        |> aggregateWindow(every: 1h, fn: fn, createEmpty: false, timeSrc: "_start")
        |> set(key: "_field", value: field)
        |> to(bucket: "{hourly}")

hours(fn: mean, field: "mean")
hours(fn: min, field: "min")
hours(fn: max, field: "max")
hours(fn: last, field: "last")
hours(fn: count, field: "count")
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many days raw points and hourly values are kept, 0 for ever."""

    raw_days: float = 90
    hourly_days: float = 0

    def check(self) -> None:
        """Raise ConfigError where hourly values could not follow."""
        if self.raw_days and self.raw_days < _LEAST_RAW_DAYS:
            raise ConfigError(
                f"{self.raw_days:g} days are too few for hourly values to take in what comes late",
                field="store.raw_days",
                remedy=f"Keep raw points for {_LEAST_RAW_DAYS} days at least, or 0 for ever",
            )


def migrate(access: Access, kept: Kept) -> list[str]:
    """Make buckets and tasks, or change them to what they should be; say what was done. Again, it does nothing.

    Needs a token that may write buckets and tasks of the organisation. Raises ConfigError, UnavailableError.
    """
    kept.check()
    server = InfluxServer(access)
    with closing(server), server.translated():
        return [
            *_bucket(server.client, access.bucket, kept.raw_days),
            *_bucket(server.client, access.hourly, kept.hourly_days),
            *_bucket(server.client, access.places, 0),
            *_tasks(server.client, access, kept),
        ]


def flux(access: Access, kept: Kept) -> dict[str, str]:
    """The tasks that should be, by name: none where raw points stay for ever."""
    if not kept.raw_days:
        return {}
    names = {"raw": access.bucket, "hourly": access.hourly}
    hours = round(kept.raw_days * 24)
    recent, leaving = f"tweeling hourly {access.bucket}", f"tweeling hourly {access.bucket}, late"
    return {
        recent: _HOURLY.format(name=recent, every="1h", start="-48h", stop="now()", **names),
        leaving: _HOURLY.format(name=leaving, every="1d", start=f"-{hours - 1}h", stop=f"-{hours - 73}h", **names),
    }


def _bucket(client: InfluxDBClient, name: str, days: float) -> list[str]:
    seconds = round(days * _DAY_S)
    kept = f"{days:g} days" if days else "ever"
    rules = [BucketRetentionRules(type="expire", every_seconds=seconds)] if seconds else []
    buckets = client.buckets_api()
    found = buckets.find_bucket_by_name(name)
    if found is None:
        buckets.create_bucket(bucket_name=name, retention_rules=rules)
        return [f"made bucket {name}, kept for {kept}"]
    if sum(rule.every_seconds for rule in found.retention_rules) == seconds:
        return []
    found.retention_rules = [BucketRetentionRules(type="expire", every_seconds=seconds)]
    buckets.update_bucket(found)
    return [f"bucket {name} is kept for {kept} now"]


def _tasks(client: InfluxDBClient, access: Access, kept: Kept) -> list[str]:
    tasks = client.tasks_api()
    wanted = flux(access, kept)
    done = []
    for name in (f"tweeling hourly {access.bucket}", f"tweeling hourly {access.bucket}, late"):
        found = tasks.find_tasks(name=name)
        if name not in wanted:
            for task in found:
                tasks.delete_task(task.id)
                done.append(f"removed task {name!r}")
        elif not found:
            tasks.create_task(task_create_request=TaskCreateRequest(org=access.org, flux=wanted[name], status="active"))
            done.append(f"made task {name!r}")
        elif found[0].flux.strip() != wanted[name].strip():
            tasks.update_task_request(found[0].id, TaskUpdateRequest(flux=wanted[name], status="active"))
            done.append(f"changed task {name!r}")
    return done
