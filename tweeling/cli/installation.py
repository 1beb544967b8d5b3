"""An installation on disk: where everything is. A demo's, too: its clock goes on where it stopped."""

from __future__ import annotations

import json
import os
import pwd
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from tweeling.adapters import secretfile
from tweeling.adapters.certificates import CertificateFiles
from tweeling.errors import ConfigError

WEEKS = 156
_AHEAD_S = 6.0  # a killed demo has told at most this much, in real seconds, beyond what is written down
_LOCAL = ZoneInfo("Europe/Amsterdam")

RECORDER = ("replay", "recorder")
"""Hub and node under which recordings are replayed, apart from the region's own."""


MAINTAINER = "maintainer"
"""The name of the token that may replay the quarantine."""


class Ports(NamedTuple):
    """Where the demo's parts listen, all on loopback."""

    http: int
    mqtt: int
    chain: int


class Story(BaseModel, frozen=True, extra="forbid"):
    """What makes this demo itself. live_ms: where history ends; sim_ms: no reading so far is later than this."""

    seed: int
    start_ms: int
    live_ms: int
    sim_ms: int
    speed: float


@dataclass(frozen=True, slots=True)
class Installation:
    """Every file, by name."""

    folder: Path

    @property
    def config(self) -> Path:
        """The hub's settings."""
        return self.folder / "tweeling.toml"

    @property
    def secrets(self) -> Path:
        """What nobody else may read."""
        return self.folder / "secrets"

    @property
    def password(self) -> Path:
        """The generated password, in clear, for whoever owns this folder."""
        return self.secrets / "password"

    @property
    def login(self) -> Path:
        """The password's hash, which is all that the hub reads."""
        return self.secrets / "login.json"

    @property
    def logs(self) -> Path:
        """What the children say."""
        return self.folder / "log"

    @property
    def broker(self) -> Path:
        """The embedded broker's configuration, users and undelivered messages."""
        return self.folder / "broker"

    @property
    def certificates(self) -> CertificateFiles:
        """What `tweeling certificate` makes."""
        public, private = self.folder / "tls", self.secrets / "tls"
        return CertificateFiles(public / "ca.pem", private / "ca.key", public / "hub.pem", private / "hub.key")

    def node(self, hub: str, node: str) -> Path:
        """The folder that a gateway needs."""
        return self.folder / "nodes" / f"{hub}.{node}"

    @property
    def is_demo(self) -> bool:
        """Whether `tweeling demo` made it."""
        return self._story.exists()

    def check_owner(self) -> None:
        """Raise ConfigError when it is another user's: what we write there, its hub could not read."""
        try:
            owner = self.folder.stat().st_uid
        except OSError:
            return  # whoever opens its files says so
        if owner != os.geteuid():
            try:
                name = pwd.getpwuid(owner).pw_name
            except KeyError:
                name = f"#{owner}"
            raise ConfigError(
                f"belongs to the user {name}",
                field="--data",
                source=str(self.folder),
                remedy=f"Run this as that user: sudo -u {name} tweeling …",
            )

    @property
    def trust(self) -> Path:
        """The trust file that a partner pins."""
        return self.folder / "trust.json"

    def edge(self, hub: str) -> Path:
        """The configuration of a hub's edge agent."""
        return self.folder / "edge" / f"{hub}.toml"

    def token(self, name: str) -> Path:
        """A machine's token, in clear, for the process that bears it."""
        return self.secrets / f"{name}.token"

    def partner_key(self, party: str) -> Path:
        """A simulated party's private key."""
        return self.secrets / "partners" / f"{party}.pem"

    @property
    def _story(self) -> Path:
        return self.folder / "demo.json"

    def story(self, *, seed: int, speed: float) -> Story:
        """Read what this demo is, or begin a new one: three years up to last Monday morning, then live."""
        if self._story.exists():
            try:
                story = Story.model_validate_json(self._story.read_bytes())
                # A demo that opens on a closed yard shows nothing; the edge agents tell what they slept through.
                return story.model_copy(update={"speed": speed, "sim_ms": working_hour(story.sim_ms)})
            except ValidationError as exc:
                raise ConfigError(
                    "is no demo", source=str(self._story), remedy="Choose another --data, or remove the folder"
                ) from exc
        live = monday_morning(datetime.now(UTC))
        live_ms = round(live.timestamp() * 1000)
        start_ms = round((live - timedelta(weeks=WEEKS)).timestamp() * 1000)
        story = Story(seed=seed, start_ms=start_ms, live_ms=live_ms, sim_ms=live_ms, speed=speed)
        self.keep(story)
        return story

    def keep(self, story: Story) -> None:
        """Write the story down."""
        secretfile.write(self._story, story.model_dump_json(indent=1) + "\n")


class Clockwork:
    """The demo's time, written down ahead of itself so that it never runs backwards, not even after a kill."""

    def __init__(self, installation: Installation, story: Story) -> None:
        self._installation = installation
        self.story = story
        self.origin_real_ms = time.time_ns() // 1_000_000
        self._ahead_ms = 0
        self.reserve()

    def now_ms(self) -> int:
        """The simulated time."""
        real_ms = time.time_ns() // 1_000_000 - self.origin_real_ms
        return self.story.sim_ms + round(real_ms * self.story.speed)

    def reserve(self) -> None:
        """Promise that the next run starts later than anything this one tells in the next seconds."""
        # The machine's clock may be set back; what was told is told.
        self._ahead_ms = max(self._ahead_ms, self.now_ms() + round(_AHEAD_S * 1000 * self.story.speed))
        self._installation.keep(self.story.model_copy(update={"sim_ms": self._ahead_ms}))

    def stop(self) -> None:
        """Every child has ended: the next run may start just here."""
        self._installation.keep(self.story.model_copy(update={"sim_ms": self.now_ms()}))


def monday_morning(now: datetime) -> datetime:
    """Find the last Monday, 07:00 on the wall in Amsterdam, before a moment."""
    local = now.astimezone(_LOCAL)
    monday = (local - timedelta(days=local.weekday())).replace(hour=7, minute=0, second=0, microsecond=0)
    return monday if monday <= local else monday - timedelta(days=7)


def working_hour(time_ms: int) -> int:
    """Keep a time at which hubs work for a few hours to come, else find the next weekday's seven o'clock."""
    local = datetime.fromtimestamp(time_ms / 1000, _LOCAL)
    if local.weekday() < 5 and 7 <= local.hour < 16:
        return time_ms
    morning = local.replace(hour=7, minute=0, second=0, microsecond=0)
    while morning <= local or morning.weekday() >= 5:
        morning += timedelta(days=1)
    return round(morning.timestamp() * 1000)


def toml(tables: dict[str, dict[str, object]], comment: str) -> str:
    """Write plain tables as TOML; JSON's strings and numbers are TOML's."""
    lines = [f"# {comment}"]
    for name, table in tables.items():
        lines += ["", f"[{name}]"] if name else [""]
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"
