"""A device that answers over HTTP with JSON: one request at each look, and from its answer any number of readings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator

from tweeling.errors import UnavailableError
from tweeling_edge.drivers import Look, Site, jsonpath
from tweeling_edge.drivers.http_get import Getter, basic, check_headers
from tweeling_edge.drivers.jsonpath import JsonPath
from tweeling_edge.drivers.polling import Polled, PollSettings
from tweeling_edge.drivers.sensors import Sensor
from tweeling_edge.drivers.times import known_zone, time_ms
from tweeling_edge.settings import Section, beside, secret

_SECRETS = frozenset({"authorization", "cookie", "proxy-authorization"})


class Picked(Sensor):
    """One reading of the answer."""

    path: str = Field(description="the JSONPath of the value, such as $.channels[0].level")
    time: str | None = Field(None, description="the JSONPath of the device's own time; without it, the time of asking")

    _paths = field_validator("path", "time")(jsonpath.checked)


class HttpPollSettings(PollSettings):
    """Asks a device over HTTP."""

    kind: Literal["http-poll"] = "http-poll"
    url: str = Field(description="the address to GET, http://… on this network or https://…, without user and password")
    name: str = Field("", max_length=100, description="what logs and counts call it; host and path where it is empty")
    timeout_s: float = Field(10, ge=0.1, le=120, description="seconds for the whole answer, 0.1..120")
    max_kb: int = Field(256, ge=1, le=4096, description="kilobytes of an answer at most, 1..4096")
    headers: dict[str, str] = Field({}, description="headers that are no secret; secret ones go into `credentials`")
    credentials: Path | None = Field(
        None,
        description='a file with {"token": …}, {"username": …, "password": …} or {"headers": {…}}, '
        "readable by its owner only (chmod 600)",
    )
    ca_file: Path | None = Field(None, description="a PEM file with the authority that signed the device's certificate")
    allow_plaintext: bool = Field(default=False, description="true lets http:// leave the local network, unencrypted")
    zone: str = Field("UTC", description="the time zone of times without one, such as Europe/Amsterdam")
    readings: tuple[Picked, ...] = Field(min_length=1, description="tables [[drivers.readings]], one for each reading")

    _resolve = field_validator("credentials", "ca_file")(beside)
    _known_zone = field_validator("zone")(known_zone)

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            raise ValueError("is no http:// or https:// address")
        if "@" in parts.netloc:
            raise ValueError("holds user and password, which belong in `credentials`")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("holds characters that must be written as %XX")
        return url

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        check_headers(headers)
        if found := _SECRETS & {name.lower() for name in headers}:
            raise ValueError(f"{', '.join(sorted(found))} is a secret, and belongs in `credentials`")
        return headers

    @model_validator(mode="after")
    def _each_once(self) -> HttpPollSettings:
        names = [reading.name for reading in self.readings]
        if len(set(names)) != len(names):
            raise ValueError("two readings have one name")
        return self


class HttpCredentials(Section):
    """What a device knows us by; one of the three."""

    token: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    headers: dict[str, SecretStr] = Field(default={})

    @model_validator(mode="after")
    def _one_way(self) -> HttpCredentials:
        named = self.username is not None and self.password is not None
        if [self.token is not None, named, bool(self.headers)].count(True) != 1:
            raise ValueError("one of token, username and password, headers")
        check_headers(self.as_headers())
        return self

    def as_headers(self) -> dict[str, str]:
        """The headers that say it; not for printing."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        if self.username is not None and self.password is not None:
            return {"Authorization": basic(self.username, self.password.get_secret_value())}
        return {name: value.get_secret_value() for name, value in self.headers.items()}


class HttpPoll(Polled):
    """Gets one document a look; what is missing in it is lost, the rest is read."""

    Settings = HttpPollSettings

    def __init__(self, settings: HttpPollSettings, site: Site) -> None:
        """Raise ConfigError where credentials or authority cannot be used."""
        parts = urlsplit(settings.url)
        super().__init__(settings.name or f"http-poll:{parts.netloc}{parts.path}", settings, site)
        own: dict[str, str] = {}
        if settings.credentials is not None:
            example = '{"token": "…"}, {"username": "…", "password": "…"} or {"headers": {…}}'
            own = secret(
                HttpCredentials, settings.credentials, field="drivers.credentials", example=example
            ).as_headers()
        self._getter = Getter(
            settings.url,
            headers=settings.headers | own,
            timeout_s=settings.timeout_s,
            max_bytes=settings.max_kb << 10,
            ca_file=settings.ca_file,
            allow_plaintext=settings.allow_plaintext,
        )
        self._zone = ZoneInfo(settings.zone)
        self._readings = [
            (reading, JsonPath.parse(reading.path), None if reading.time is None else JsonPath.parse(reading.time))
            for reading in settings.readings
        ]

    def look(self) -> Iterator[Look]:
        """Ask once. Raises UnavailableError where there is no answer, or none that is JSON."""
        body = self._getter.get()
        try:
            document = jsonpath.loads(body)
        except ValueError as exc:
            raise UnavailableError(f"{self._getter.place}: the answer is no JSON: {exc}") from exc
        for reading, path, time in self._readings:
            yield self._picked(document, reading, path, time)

    def _picked(self, document: Any, reading: Picked, path: JsonPath, time: JsonPath | None) -> Look:
        try:
            said = path.find(document)
            at = None if time is None else time_ms(time.find(document), self._zone)
        except jsonpath.NotFoundError as exc:
            return Look(reading.name, wrong=str(exc), remedy="See `path` and `time` beside what the device answers")
        except ValueError as exc:
            return Look(reading.name, wrong=str(exc), remedy="See `time`")
        return reading.look(reading.name, said, at)
