"""The agent's configuration file, read once. What is wrong in it is named: file, field, and what it should be."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tweeling.domain.hosts import is_loopback
from tweeling.domain.ids import HubId, NodeId
from tweeling.errors import ConfigError
from tweeling_edge.drivers import registry
from tweeling_edge.settings import DriverSettings, Section, beside, validated


class Tls(Section):
    """Encryption to the broker; without ca_file the machine's own authorities are trusted."""

    ca_file: Path | None = Field(None, description="a PEM file with the authority that signed the broker's certificate")
    cert_file: Path | None = Field(None, description="a PEM file with this node's certificate")
    key_file: Path | None = Field(None, description="a PEM file with this node's key")

    _resolve = field_validator("ca_file", "cert_file", "key_file")(beside)


class Broker(Section):
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

    _resolve = field_validator("credentials")(beside)

    @model_validator(mode="after")
    def _encrypted_off_loopback(self) -> Broker:
        if self.tls is None and not self.allow_plaintext and not is_loopback(self.host):
            raise ValueError(f"{self.host} is another machine and there is no [broker.tls]")
        return self


class OutboxSettings(Section):
    """Where readings wait, and how many may."""

    path: Path = Field(description="the outbox file; its folder must be writable")
    max_mb: float = Field(256, gt=0, description="megabytes after which old readings are thinned")
    max_rows: int = Field(2_000_000, ge=100, description="samples after which old readings are thinned, at least 100")

    _resolve = field_validator("path")(beside)


class ClockSettings(Section):
    """A time that runs faster than the machine's; for demonstrations."""

    origin_sim_ms: int = Field(ge=0, description="milliseconds since 1970 in simulated time")
    origin_real_ms: int = Field(ge=0, description="the machine's time at that moment, in milliseconds since 1970")
    speed: float = Field(gt=0, le=1_000_000, description="simulated seconds a second, above 0")


class Config(Section):
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
    drivers: tuple[DriverSettings, ...] = Field((), description="tables [[drivers]], each with its kind")


def load(path: Path) -> Config:
    """Read a configuration file, or raise ConfigError."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError("cannot be read", source=str(path), remedy=f"{exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"is not TOML: {exc}", source=str(path)) from exc
    tables = raw.pop("drivers", [])
    config = validated(Config, raw, source=str(path), base=path.parent)
    if not isinstance(tables, list):
        raise ConfigError("is no list of tables", source=str(path), field="drivers", remedy="Write [[drivers]]")
    drivers = [
        registry.settings(table, source=str(path), base=path.parent, field=f"drivers[{number}]")
        for number, table in enumerate(tables)
    ]
    return config.model_copy(update={"drivers": tuple(drivers)})
