"""Settings of a hub, read once: one TOML file, and `TWEELING_…` variables over it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from tweeling.config.ledger import LedgerSettings, node_address
from tweeling.config.section import Section, safe
from tweeling.domain.hosts import in_url, is_loopback
from tweeling.errors import ConfigError
from tweeling.wire import topics

__all__ = [
    "BrokerSettings",
    "CustodySettings",
    "HttpSettings",
    "LedgerSettings",
    "Section",
    "Settings",
    "load",
    "node_address",
    "reachable",
    "refuse_environment",
]


class LogSettings(Section):
    """What the hub says on standard error: events with their fields, one a line."""

    format: Literal["text", "json"] = Field(default="text", description="for people, or for a collector of logs")
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is said")


class BrokerTls(Section):
    """Encryption to the broker. Without ca_file, a broker elsewhere is judged by this machine's authorities."""

    cert_file: Path | None = Field(
        default=None,
        description="PEM file: what the embedded broker shows; to another broker, what the hub shows where it asks",
        examples=["tls/hub.pem"],
    )
    key_file: Path | None = Field(
        default=None, description="PEM file: the key of that certificate", examples=["secrets/tls/hub.key"]
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file: the authority that signed another broker's certificate",
        examples=["tls/ca.pem"],
    )


class BrokerSettings(Section):
    """The MQTT broker between nodes and hub."""

    embedded: bool = Field(
        default=False, description="`tweeling up` runs the broker too; false: it connects to one that runs elsewhere"
    )
    host: str = Field(
        default="127.0.0.1",
        description="where the broker listens; 0.0.0.0, with embedded, for every network of this machine",
    )
    port: int = Field(default=18830, ge=1, le=65535, description="its port for MQTT")
    folder: Path = Field(default=Path("broker"), description="users and undelivered messages of an embedded broker")
    credentials: Path = Field(
        default=Path("secrets/broker/hub.json"),
        description="JSON file with username and password, for a broker that is not embedded",
    )
    client_id: str = Field(
        default="tweeling-hub",
        description="names the hub's session at a broker that is not embedded; who knows it can end that session",
    )
    protocol: Literal["auto", "3.1.1", "5"] = Field(
        default="auto", description="the version of MQTT to speak; an embedded broker speaks 3.1.1"
    )
    tls: BrokerTls | None = None

    @property
    def hub_credentials(self) -> Path:
        """The file that says who the hub is at the broker."""
        return self.folder / "credentials" / "hub.json" if self.embedded else self.credentials


class ClockSettings(Section):
    """The time that readings and events carry: origin_sim_ms + (real time - origin_real_ms) * speed.

    For demonstrations only; as it stands here it is the machine's own time.
    """

    origin_sim_ms: int = Field(default=0, description="milliseconds since 1970 in simulated time")
    origin_real_ms: int = Field(default=0, description="the machine's time at that moment")
    speed: float = Field(default=1.0, gt=0, le=100_000, description="simulated seconds a second")


class IngestSettings(Section):
    """How readings are taken in."""

    skew_s: float = Field(default=300, ge=0, description="how far in the future a reading may claim to be")
    historical_after_s: float = Field(default=3600, gt=0, description="older readings are marked historical")
    batch_ms: int = Field(default=20, ge=1, le=1000, description="a commit waits for more at most this long")
    batch_messages: int = Field(default=500, ge=1, le=10_000, description="messages in a commit at most")
    node_rate: float = Field(default=250, gt=0, description="messages a second that a node may send for ever")
    node_burst: float = Field(default=100_000, gt=0, description="messages that a node may send beyond it at once")
    backlog_rate: float = Field(default=0, ge=0, description="messages a second of a backlog; 0 for no limit")
    shards: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description='nodes of each worker process, as hub/node with + for any: [["H1/+"], ["H2/+"]]; none: no workers',
    )

    @field_validator("shards")
    @classmethod
    def _disjoint(cls, shards: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        placed: list[tuple[int, str]] = []
        for number, patterns in enumerate(shards, 1):
            if not patterns:
                raise ValueError(f"shard {number} has no nodes")
            for pattern in patterns:
                topics.of_nodes(pattern)
                for other, known in placed:
                    if topics.overlap(pattern, known):
                        raise ValueError(f"{pattern!r} of shard {number} meets {known!r} of shard {other}")
                placed.append((number, pattern))
        return shards


class CustodySettings(Section):
    """The custody log of this installation."""

    origin: str = Field(
        default="tweeling.local/demo",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{2,120}$",
        description="the log's name, which no other log bears; it stands in every receipt and never changes",
    )
    key_file: Path = Field(default=Path("secrets/log-key.pem"), description="the key that signs checkpoints")
    passphrase_file: Path = Field(default=Path("secrets/log-passphrase"), description="what opens it")
    passphrase: SecretStr | None = Field(
        default=None, description="for the environment, TWEELING_CUSTODY__PASSPHRASE, in place of passphrase_file"
    )
    partners: Path = Field(default=Path("partners.json"), description="public keys of partners")
    public: bool = Field(
        default=True,
        description="whoever reaches the server reads checkpoint, tiles and entries, commitments only, under /log/",
    )


class InfluxSettings(Section):
    """Where in an InfluxDB 2 points are, and with what right."""

    org: str = Field(default="tweeling", min_length=1, description="name of the organisation")
    bucket: str = Field(
        default="tweeling",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$",
        description="bucket of raw points; hourly values and places are in two more, which begin with its name",
    )
    token: SecretStr | None = Field(
        default=None, description="for the environment, TWEELING_STORE__INFLUXDB__TOKEN; a file is safer"
    )
    token_file: Path = Field(
        default=Path("secrets/influxdb-token"), description="file with a token that reads and writes these buckets"
    )


class StoreSettings(Section):
    """Where points are answered from."""

    kind: Literal["duckdb", "victoriametrics", "influxdb", "memory"] = Field(
        default="duckdb", description="embedded, a server, or nothing that survives a restart"
    )
    url: str = Field(
        default="", validate_default=True, description="where a server answers; this machine when it is not given"
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file: the authority that signed the server's certificate",
        examples=["tls/ca.pem"],
    )
    seal_hours: float = Field(default=6, ge=1, description="DuckDB: older points move to their month's sealed file")
    raw_days: int = Field(
        default=90, ge=0, description="DuckDB, InfluxDB: every point stays at least so long; 0 for ever"
    )
    hourly_days: int = Field(
        default=0, ge=0, description="DuckDB, InfluxDB: hourly values stay at least so long; 0 for ever"
    )
    influxdb: InfluxSettings = InfluxSettings()

    @field_validator("url")
    @classmethod
    def _speaks_safely(cls, url: str, info: ValidationInfo) -> str:
        """A server elsewhere is spoken to under TLS: what passes is points, and a token."""
        if not url:
            return _SERVERS.get(info.data.get("kind", ""), "")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise ValueError("should be http://host:port or https://host:port, without a name or password in it")
        return safe(url)

    @model_validator(mode="after")
    def _in_order(self) -> StoreSettings:
        if self.raw_days and self.raw_days * 24 < self.seal_hours:
            raise ValueError(
                f"raw_days = {self.raw_days} ends before seal_hours = {self.seal_hours:g}; keep points longer"
            )
        if self.hourly_days and not self.raw_days:
            raise ValueError("hourly_days needs raw_days: as long as every point stays, there are no hourly values")
        if self.hourly_days and self.hourly_days < self.raw_days:
            raise ValueError(
                f"hourly_days = {self.hourly_days} is less than raw_days = {self.raw_days}; 0 keeps for ever"
            )
        return self


_SERVERS = {"victoriametrics": "http://127.0.0.1:8428", "influxdb": "http://127.0.0.1:8086"}


class HttpTls(Section):
    """Encryption of screens and interfaces. A renewed certificate is taken without a restart."""

    cert_file: Path = Field(
        description="PEM file: the certificate, and those between it and its authority", examples=["tls/hub.pem"]
    )
    key_file: Path = Field(description="PEM file: its key", examples=["secrets/tls/hub.key"])


class HttpSettings(Section):
    """Where screens and interfaces are served."""

    host: str = Field(default="127.0.0.1", description="where they listen; 0.0.0.0 for every network of this machine")
    port: int = Field(default=8050, ge=1, le=65535, description="their port")
    names: tuple[str, ...] = Field(
        default=(), description="names and addresses under which browsers call this hub, beside those of this machine"
    )
    login: Path = Field(default=Path("secrets/login.json"), description="hash of the operator's password")
    tokens: Path = Field(default=Path("secrets/tokens.json"), description="hashes of machine tokens")
    tls: HttpTls | None = None

    @property
    def url(self) -> str:
        """Where people find the hub."""
        name = self.names[0] if self.names else reachable(self.host)
        return f"{'https' if self.tls else 'http'}://{in_url(name)}:{self.port}"


class ForecastSettings(Section):
    """How often forecasts are renewed, in the twin's time."""

    every_h: float = Field(default=1, gt=0, description="hours between two")
    horizon_h: int = Field(default=336, ge=1, le=1344, description="hours that each looks ahead")


class Settings(BaseSettings):
    """Everything a hub is told. Paths are relative to the file's folder."""

    model_config = SettingsConfigDict(
        env_prefix="TWEELING_", env_nested_delimiter="__", extra="forbid", frozen=True, toml_file=None
    )

    data: Path = Field(default=Path(), description="folder of journal, records and time series")
    records: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL; records.db in `data` when absent",
        examples=["postgresql://tweeling@db.example.org/tweeling"],
    )
    log: LogSettings = LogSettings()
    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    clock: ClockSettings = ClockSettings()
    ingest: IngestSettings = IngestSettings()
    ledger: LedgerSettings = LedgerSettings()
    custody: CustodySettings = CustodySettings()
    http: HttpSettings = HttpSettings()
    forecast: ForecastSettings = ForecastSettings()

    @property
    def log_url(self) -> str | None:
        """Where anyone reads the custody log, the prefix of C2SP tlog-tiles; None where nobody may."""
        return f"{self.http.url}/log" if self.custody.public else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; nothing else."""
        del init_settings, dotenv_settings, file_secret_settings
        return env_settings, TomlConfigSettingsSource(settings_cls)


def load(path: Path) -> Settings:
    """Read a hub's settings, or raise ConfigError naming the file, the field and what it should be."""
    try:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "no such file"
            raise ConfigError(what, source=str(path), remedy="`tweeling init` writes one")

        class FromFile(Settings):
            model_config = SettingsConfigDict(toml_file=path)

        settings = FromFile()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"not TOML: {exc}", source=str(path)) from exc
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", source=str(path), remedy="See to its rights") from exc
    except ValidationError as exc:
        raise _explain(exc, path) from exc
    _refuse_plaintext(settings, path)
    return _anchor_paths(settings, path.resolve().parent)


def refuse_environment(field: str, why: str) -> None:
    """Raise ConfigError where the environment sets a field, which only the file may do here."""
    variable = f"TWEELING_{field.upper()}"
    if any(name.upper() == variable for name in os.environ):
        raise ConfigError(
            f"{variable} is set in the environment, {why}", field=field, remedy="Unset it for this command"
        )


def reachable(host: str) -> str:
    """The address under which this machine reaches who listens at `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared, not listened on


def _refuse_plaintext(settings: Settings, path: Path) -> None:
    """Off loopback everything is encrypted, or nothing is served."""
    broker, http = settings.broker, settings.http
    for field, host, tls in (("broker.tls", broker.host, broker.tls), ("http.tls", http.host, http.tls)):
        if tls is None and not is_loopback(host):
            raise ConfigError(
                f"{host} is more than this machine, and nothing travels there in plain text",
                field=field,
                source=str(path),
                remedy=f"Add a table [{field}] (`tweeling certificate make` writes its files), or choose 127.0.0.1",
            )
    if broker.embedded and broker.tls is not None and None in {broker.tls.cert_file, broker.tls.key_file}:
        raise ConfigError(
            "an embedded broker needs cert_file and key_file",
            field="broker.tls",
            source=str(path),
            remedy="`tweeling certificate make` writes both",
        )
    if reachable(http.host) != http.host and not http.names:
        raise ConfigError(
            "browsers elsewhere would be sent away",
            field="http.names",
            source=str(path),
            remedy='Name what they call this hub, such as ["hub.example.org"]',
        )


def _explain(exc: ValidationError, path: Path) -> ConfigError:
    problem = exc.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return ConfigError("unknown setting", field=field, source=str(path), remedy="Remove it or mend its name")
    # The value may be a secret, so only its kind of trouble is told.
    return ConfigError(problem["msg"], field=field, source=str(path))


def _anchor_paths(settings: Settings, folder: Path) -> Settings:
    def absolute(value: Any) -> Any:
        if isinstance(value, Path):
            return value if value.is_absolute() else folder / value
        if isinstance(value, Section):
            changed = {name: absolute(getattr(value, name)) for name in type(value).model_fields}
            return value.model_copy(update=changed)
        return value

    changed = {name: absolute(getattr(settings, name)) for name in Settings.model_fields}
    return settings.model_copy(update=changed)
