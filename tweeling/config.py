"""Settings of a hub, read once: one TOML file, and `TWEELING_…` variables over it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from tweeling.errors import ConfigError
from tweeling.wire import topics


class Section(BaseModel, frozen=True, extra="forbid"):
    """A table of the file; an unknown key is an error, not a silence."""


class BrokerSettings(Section):
    """Where the MQTT broker listens, and who the hub is there."""

    host: str = "127.0.0.1"
    port: int = Field(default=18830, ge=1, le=65535)
    credentials: Path = Field(
        default=Path("secrets/broker/hub.json"), description="JSON file with username and password"
    )
    client_id: str = "tweeling-hub"
    protocol: Literal["auto", "3.1.1", "5"] = Field(default="auto", description="the version of MQTT to speak")


class ClockSettings(Section):
    """The time that readings and events carry: origin_sim_ms + (real time - origin_real_ms) * speed."""

    origin_sim_ms: int = 0
    origin_real_ms: int = 0
    speed: float = Field(default=1.0, gt=0, le=100_000)


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


class LedgerSettings(Section):
    """The chain that holds the log's head. Without an address the log goes on and entries stay pending."""

    rpc: str = "http://127.0.0.1:18545"
    chain_id: int = Field(default=31337, gt=0)
    contract: str | None = Field(default=None, pattern=r"^0x[0-9a-fA-F]{40}$")
    key_file: Path = Path("secrets/ledger-key.json")
    passphrase_file: Path = Path("secrets/ledger-passphrase")
    max_age_s: float = Field(default=5, gt=0, description="anchor a checkpoint at the latest after this time")


class CustodySettings(Section):
    """The custody log of this installation."""

    origin: str = Field(default="tweeling.local/demo", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{2,120}$")
    key_file: Path = Path("secrets/log-key.pem")
    passphrase_file: Path = Path("secrets/log-passphrase")
    partners: Path = Field(default=Path("partners.json"), description="public keys of partners")


class StoreSettings(Section):
    """Where points are answered from."""

    kind: Literal["duckdb", "victoriametrics", "memory"] = "duckdb"
    url: str = Field(default="http://127.0.0.1:8428", description="where a server answers")


class HttpSettings(Section):
    """Where screens and interfaces are served."""

    host: str = "127.0.0.1"
    port: int = Field(default=8050, ge=1, le=65535)
    login: Path = Field(default=Path("secrets/login.json"), description="hash of the operator's password")
    tokens: Path = Field(default=Path("secrets/tokens.json"), description="hashes of machine tokens")


class ForecastSettings(Section):
    """How often forecasts are renewed, in the twin's time."""

    every_h: float = Field(default=1, gt=0)
    horizon_h: int = Field(default=336, ge=1, le=1344)


class Settings(BaseSettings):
    """Everything a hub is told. Paths are relative to the file's folder."""

    model_config = SettingsConfigDict(
        env_prefix="TWEELING_", env_nested_delimiter="__", extra="forbid", frozen=True, toml_file=None
    )

    data: Path = Field(default=Path(), description="folder of journal, records and time series")
    records: SecretStr | None = Field(default=None, description="SQLAlchemy URL; records.db in `data` when absent")
    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    clock: ClockSettings = ClockSettings()
    ingest: IngestSettings = IngestSettings()
    ledger: LedgerSettings = LedgerSettings()
    custody: CustodySettings = CustodySettings()
    http: HttpSettings = HttpSettings()
    forecast: ForecastSettings = ForecastSettings()

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
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise ConfigError(what, source=str(path), remedy="`tweeling demo` writes one")
    try:

        class FromFile(Settings):
            model_config = SettingsConfigDict(toml_file=path)

        settings = FromFile()
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"not TOML: {exc}", source=str(path)) from exc
    except ValidationError as exc:
        raise _explain(exc, path) from exc
    return _anchor_paths(settings, path.resolve().parent)


def paths(settings: Settings) -> list[Path]:
    """Every file and folder that settings name."""

    def named(value: object) -> list[Path]:
        if isinstance(value, Path):
            return [value]
        if isinstance(value, BaseModel):
            return [path for name in type(value).model_fields for path in named(getattr(value, name))]
        return []

    return named(settings)


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
