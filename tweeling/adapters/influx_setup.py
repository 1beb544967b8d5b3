"""What an InfluxDB 2 needs before it serves as a store: three buckets, and tasks that keep hourly values.

Hourly values are read only of times that the raw bucket no longer keeps, so they must be right when raw points leave
it, not before. One task computes the last two days again every hour, for whoever else looks at them; another computes
the days that are about to leave again every day, and so takes in whatever came late.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.task_create_request import TaskCreateRequest
from influxdb_client.domain.task_update_request import TaskUpdateRequest

from tweeling.adapters.influx_server import Access, InfluxServer
from tweeling.errors import ConfigError, UnavailableError

_DAY_S = 86_400
_LEAST_RAW_DAYS = 5
_LATE_S = 73 * 3600  # so long before a point leaves, its hour is computed for the last time
_AT_ONCE_MS = 7 * _DAY_S * 1000  # hours in one query, so that it is answered in time
_HOURS = """hours = (fn, field) =>
    from(bucket: "{raw}")
        |> range(start: date.truncate(t: {start}, unit: 1h), stop: date.truncate(t: {stop}, unit: 1h))
        |> filter(fn: (r) => r._measurement == "tweeling" and r._field == "value")
        |> aggregateWindow(every: 1h, fn: fn, createEmpty: false, timeSrc: "_start")
        |> set(key: "_field", value: field)
        |> to(bucket: "{hourly}")

"""
_OF_HOURS = [f'hours(fn: {kind}, field: "{kind}")' for kind in ("mean", "min", "max", "last", "count")]
_TASK = (
    'import "date"\n\noption task = {{name: "{name}", every: {every}, offset: 5m}}\n\n'
    + _HOURS
    + "\n".join([*_OF_HOURS, ""])
)


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
            *_bucket(server.client, access.hourly, kept.hourly_days),
            *_bucket(server.client, access.places, 0),
            *_leaving(server, kept),
            *_tasks(server.client, access, kept),
            *_bucket(server.client, access.bucket, kept.raw_days),  # last: what this takes is gone
        ]


def _leaving(server: InfluxServer, kept: Kept) -> list[str]:
    """Compute the hours of points that a shorter retention is about to take; say where there were any.

    The task for late points looks at three days only, so what is older would leave without hourly values.
    """
    access = server.access
    found = server.client.buckets_api().find_bucket_by_name(access.bucket)
    before_s = sum(rule.every_seconds for rule in found.retention_rules) if found else 0
    keeps_s = round(kept.raw_days * _DAY_S)
    if found is None or not keeps_s or 0 < before_s <= keeps_s:
        return []
    now_ms = time.time_ns() // 1_000_000
    # An hour of which some points may be gone by now was computed while it had them; and none stands for longer.
    ages_s = [age for age in (before_s, round(kept.hourly_days * _DAY_S)) if age]
    least_ms = now_ms - min(ages_s) * 1000 + 3_600_000 if ages_s else 0
    try:
        oldest = server.ask(
            f"""from(bucket: "{access.bucket}") |> range(start: {_at(least_ms)}, stop: now())
            |> filter(fn: (r) => r._measurement == "tweeling" and r._field == "value")
            |> first() |> group() |> sort(columns: ["_time"]) |> limit(n: 1) |> keep(columns: ["_time"])"""
        ).times()
        end_ms = now_ms - (keeps_s - _LATE_S) * 1000
        if not len(oldest) or int(oldest[0]) >= end_ms:
            return []
        for start_ms in range(int(oldest[0]), end_ms, _AT_ONCE_MS):
            start, stop = _at(start_ms), _at(min(start_ms + _AT_ONCE_MS, end_ms))
            hours = _HOURS.format(start=start, stop=stop, raw=access.bucket, hourly=access.hourly)
            for each in _OF_HOURS:
                server.ask(f'import "date"\n\n{hours}{each} |> group() |> count() |> keep(columns: ["_value"])')
    except UnavailableError as exc:
        raise ConfigError(
            f"the hourly values of points older than {kept.raw_days:g} days could not be computed, so all points "
            f"are kept as long as before: {exc}",
            field="store.raw_days",
            remedy="Run `tweeling migrate` again, or leave raw_days as it was",
        ) from exc
    return [f"computed hourly values of points older than {kept.raw_days:g} days"]


def _at(ms: int) -> str:
    return f"time(v: {ms * 1_000_000})"


def flux(access: Access, kept: Kept) -> dict[str, str]:
    """The tasks that should be, by name: none where raw points stay for ever."""
    if not kept.raw_days:
        return {}
    names = {"raw": access.bucket, "hourly": access.hourly}
    hours = round(kept.raw_days * 24)
    recent, leaving = f"tweeling hourly {access.bucket}", f"tweeling hourly {access.bucket}, late"
    return {
        recent: _TASK.format(name=recent, every="1h", start="-48h", stop="now()", **names),
        leaving: _TASK.format(name=leaving, every="1d", start=f"-{hours - 1}h", stop=f"-{hours - 73}h", **names),
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
