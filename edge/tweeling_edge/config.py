"""The agent's configuration file, read once. What is wrong in it is named: file, field, and what it should be."""

from __future__ import annotations

import ipaddress
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator

from tweeling.domain.ids import HubId, NodeId
from tweeling.errors import ConfigError


class _Section(BaseModel, frozen=True, extra="forbid"):
    """A table of the file."""


def _beside(path: Path | None, info: ValidationInfo) -> Path | None:
    """Relative paths count from the configuration file."""
    if path is None:
        return None
    base: Path = (info.context or {}).get("base", Path())
    return (base / path.expanduser()).resolve()


class Tls(_Section):
    """Encryption to the broker; without ca_file the machine's own authorities are trusted."""

    ca_file: Path | None = Field(None, description="a PEM file with the authority that signed the broker's certificate")
    cert_file: Path | None = Field(None, description="a PEM file with this node's certificate")
    key_file: Path | None = Field(None, description="a PEM file with this node's key")

    _resolve = field_validator("ca_file", "cert_file", "key_file")(_beside)


class Broker(_Section):
    """Where messages go."""

    host: str = Field("127.0.0.1", min_length=1, description="the broker's host name or address")
    port: int = Field(1883, ge=1, le=65535, description="the broker's MQTT port, 1..65535")
    credentials: Path | None = Field(
        None, description='a file with {"username": …, "password": …}, readable by its owner only (chmod 600)'
    )
    keepalive_s: int = Field(
        30, ge=8, le=3600, description="seconds; a dead line is noticed within 1.5 times this, 8..3600"
    )
    protocol: Literal["auto", "3.1.1", "5"] = Field(
        "auto", description='the version of MQTT: "3.1.1", "5", or "auto" (5 where the broker speaks it)'
    )
    tls: Tls | None = Field(None, description="a table [broker.tls]; required off this machine")
    allow_plaintext: bool = Field(default=False, description="true only on a network you trust as this machine")

    _resolve = field_validator("credentials")(_beside)

    @model_validator(mode="after")
    def _encrypted_off_loopback(self) -> Broker:
        if self.tls is None and not self.allow_plaintext and not _is_loopback(self.host):
            raise ValueError(f"{self.host} is another machine and there is no [broker.tls]")
        return self


class OutboxSettings(_Section):
    """Where readings wait, and how many may."""

    path: Path = Field(description="the outbox file; its folder must be writable")
    max_mb: float = Field(256, gt=0, description="megabytes after which old readings are thinned")
    max_rows: int = Field(2_000_000, ge=100, description="samples after which old readings are thinned, at least 100")

    _resolve = field_validator("path")(_beside)


class ClockSettings(_Section):
    """A time that runs faster than the machine's; for demonstrations."""

    origin_sim_ms: int = Field(ge=0, description="milliseconds since 1970 in simulated time")
    origin_real_ms: int = Field(ge=0, description="the machine's time at that moment, in milliseconds since 1970")
    speed: float = Field(gt=0, le=1_000_000, description="simulated seconds a second, above 0")


class Columns(_Section):
    """Which columns of the file hold what; a unit column is optional."""

    sensor: str = Field("sensor", min_length=1, description="the column that names the sensor")
    time: str = Field("time", min_length=1, description="the column that holds the time")
    value: str = Field("value", min_length=1, description="the column that holds the value")
    unit: str | None = Field(None, description="the column that holds the unit, if there is one")


class ReplaySettings(_Section):
    """Plays a recorded series (CSV)."""

    kind: Literal["replay"] = "replay"
    file: Path = Field(description="a CSV file with a header line")
    columns: Columns = Field(Columns(), description="a table: sensor, time, value and perhaps unit = column names")
    unit: str = Field("", max_length=16, description="the SenML unit of every value without one, such as % or /")
    attribute: str = Field(
        "fillingLevel", pattern=r"^[A-Za-z][A-Za-z0-9:._-]{0,63}$", description="what is measured, such as fillingLevel"
    )
    zone: str = Field("UTC", description="the time zone of times without one, such as Europe/Amsterdam")
    speed: float | Literal["max"] = Field("max", description='a factor above 0, or "max": as fast as acknowledged')
    times: Literal["historical", "live"] = Field(
        "historical", description="historical (keep the recorded times) or live (as if it happened now)"
    )
    sensors: tuple[str, ...] = Field((), description="the sensors to play; none means all")

    _resolve = field_validator("file")(_beside)

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ValueError(f"no time zone {zone!r}") from exc
        return zone

    @model_validator(mode="after")
    def _speed_makes_sense(self) -> ReplaySettings:
        if self.speed == "max" and self.times == "live":
            raise ValueError('as live, a speed of "max" would put every reading at one moment')
        if self.speed != "max" and self.speed <= 0:
            raise ValueError("a speed is above 0")
        return self


class SimulateSettings(_Section):
    """Lives a hub of the demo region."""

    kind: Literal["simulate"] = "simulate"
    seed: int = Field(2026, description="any whole number; the same one tells the same story")
    start_ms: int = Field(ge=0, description="when the story starts, in milliseconds since 1970")
    from_ms: int | None = Field(None, ge=0, description="where to begin the first time; without it, now")
    every_s: float = Field(600, gt=0, description="simulated seconds between two readings of a sensor")
    tick_s: float = Field(1, gt=0, le=3600, description="real seconds between two looks at the world, 0..3600")


DriverSettings = Annotated[ReplaySettings | SimulateSettings, Field(discriminator="kind")]


class Config(_Section):
    """Everything the agent is told."""

    hub: HubId = Field(description="the hub's name: letters, digits, - and _, such as H1")
    node: NodeId = Field(description="this gateway's name within its hub: letters, digits, - and _")
    encoding: Literal["json", "cbor"] = Field("json", description="json, or cbor where every byte costs")
    pack: int = Field(100, ge=1, le=120, description="readings in an envelope at most, 1..120")
    messages: int = Field(20, ge=5, le=100, description="envelopes under way at most, 5..100")
    backlog: int = Field(5000, ge=100, description="recorded readings that wait at a time, at least 100")
    broker: Broker = Field(description="a table [broker]")
    outbox: OutboxSettings = Field(description="a table [outbox]")
    clock: ClockSettings | None = Field(None, description="a table [clock], for demonstrations only")
    drivers: tuple[DriverSettings, ...] = Field((), description='tables [[drivers]] with kind = "replay" or "simulate"')


class Credentials(BaseModel, frozen=True, extra="ignore"):
    """What the broker knows this node by."""

    username: str = Field(min_length=1)
    password: SecretStr


def load(path: Path) -> Config:
    """Read a configuration file, or raise ConfigError."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError("cannot be read", source=str(path), remedy=f"{exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"is not TOML: {exc}", source=str(path)) from exc
    return validated(Config, raw, source=str(path), base=path.parent)


_M = TypeVar("_M", bound=BaseModel)


def validated(model: type[_M], raw: object, *, source: str, base: Path) -> _M:
    """Check raw settings, or raise ConfigError naming the first field that is wrong and what it should be."""
    try:
        return model.model_validate(raw, context={"base": base})
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_input=False)[0]
        field, expected = _place(model, problem["loc"])
        what = {"missing": "is missing", "extra_forbidden": "is no setting"}.get(problem["type"], problem["msg"])
        raise ConfigError(
            what.removeprefix("Value error, "),
            source=source,
            field=field,
            remedy=f"It should be {expected}" if expected else "",
        ) from exc


def credentials(path: Path) -> Credentials:
    """Read a credential file that only its owner can read, or raise ConfigError; its content is never shown."""
    source = str(path)
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError("can be read by others", source=source, remedy=f"Run: chmod 600 {path}")
        return Credentials.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise ConfigError(
            f"cannot be read: {exc.strerror}",
            source=source,
            field="broker.credentials",
            remedy='It should be a file with {"username": "…", "password": "…"}',
        ) from exc
    except ValidationError:
        # The cause would quote the file.
        raise ConfigError(
            "is no credential file", source=source, remedy='Write {"username": "…", "password": "…"}'
        ) from None


def _place(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, str]:
    """The dotted name of a place in the settings, and what belongs there."""
    name, expected = "", ""
    models = [model]
    for part in loc:
        if isinstance(part, int):
            name += f"[{part}]"
            continue
        tagged = [
            known for known in models if "kind" in known.model_fields and known.model_fields["kind"].default == part
        ]
        if tagged:
            models = tagged
            continue
        name += f".{part}" if name else part
        fields = [known.model_fields[part] for known in models if part in known.model_fields]
        expected = (
            (fields[0].description or "")
            if fields
            else (f"one of {', '.join(models[0].model_fields)}" if models else expected)
        )
        models = _models(fields[0].annotation) if fields else models
    return name, expected


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
