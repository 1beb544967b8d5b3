"""The root of trust: logs by name and key, pinned once by fingerprint."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from tweeling.domain import note
from tweeling.domain.canonical import jcs, parse_json
from tweeling.errors import ConfigError, InvariantError, UndecidedError
from tweeling.verify.plain import plain

_KEY = r"^[A-Za-z0-9+/]{43}=$"


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds control characters")
    return text


class TrustedContract(BaseModel, frozen=True, extra="forbid", strict=True):
    """Where a log's head is held in public."""

    chain_id: Annotated[int, Field(gt=0)]
    contract: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
    log_id: Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]

    @property
    def place(self) -> tuple[int, bytes]:
        """Chain and address, which may be written in two ways."""
        return self.chain_id, bytes.fromhex(self.contract[2:])


class TrustedLog(BaseModel, frozen=True, extra="forbid", strict=True):
    """A log as its operator states it and its partners pin it. key: Ed25519, base64."""

    version: Annotated[int, Field(ge=1, le=1)] = 1
    origin: Annotated[str, Field(pattern=r"^[^\s+]{1,255}$"), AfterValidator(_check_printable)]
    key: Annotated[str, Field(pattern=_KEY)]
    anchor: TrustedContract | None = None

    @classmethod
    def of(cls, origin: str, public: bytes, anchor: TrustedContract | None = None) -> TrustedLog:
        """Make a trust file's content of a log's name, key and contract."""
        return cls(origin=origin, key=base64.b64encode(public).decode(), anchor=anchor)

    @classmethod
    def parse(cls, data: bytes, *, source: str = "trust file") -> TrustedLog:
        """Read a trust file, or raise ConfigError naming the field."""
        try:
            return cls.model_validate(parse_json(data))
        except InvariantError as exc:
            raise ConfigError(plain(str(exc)), source=source) from exc
        except ValidationError as exc:
            problem = exc.errors(include_url=False)[0]
            field = plain(".".join(str(part) for part in problem["loc"])[:200])
            raise ConfigError(problem["msg"], field=field, source=source) from exc

    def encode(self) -> bytes:
        """Write the trust file."""
        return json.dumps(self.model_dump(mode="json"), indent=2).encode() + b"\n"

    @property
    def public(self) -> bytes:
        """The log's key."""
        return base64.b64decode(self.key)

    @property
    def key_id(self) -> bytes:
        """The four bytes by which notes and receipts name the key."""
        return note.key_id(self.origin, self.public)

    @property
    def verifier_key(self) -> str:
        """Name and key as tools for transparency logs take them (a vkey of C2SP signed-note)."""
        return note.verifier_key(self.origin, self.public)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the canonical form, in hex: what two people read to each other."""
        return hashlib.sha256(jcs(self.model_dump(mode="json"))).hexdigest()


class TrustStore:
    """The logs a verifier trusts: a folder of trust files, each named by its fingerprint."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, made when the first log is pinned."""
        self._folder = folder

    def add(self, log: TrustedLog, *, fingerprint: str | None = None) -> None:
        """Pin a log. With a fingerprint that its operator gave by another way, nothing else is taken.

        A log that has moved is pinned once for each contract. One of the same name under another key is refused, and
        so is another log in the same contract: the pinned one has to be removed first, by a person.
        """
        if fingerprint is not None and fingerprint.replace(":", "").lower() != log.fingerprint:
            raise ConfigError(f"its fingerprint is {log.fingerprint}", field="fingerprint", source="trust file")
        for known in self.logs():
            if known.origin == log.origin and not _beside(known, log):
                raise ConfigError(
                    f"{log.origin} is trusted already, as {known.fingerprint}",
                    field="origin",
                    source=str(self._folder),
                    remedy="Remove that one first if its key has truly changed",
                )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = self._place(log).with_suffix(".new")
            fresh.write_bytes(log.encode())
            fresh.replace(self._place(log))
        except OSError as exc:
            raise ConfigError(f"{exc.strerror}", source=str(self._folder)) from exc

    def remove(self, fingerprint: str) -> None:
        """Trust a log no longer."""
        for log in self.logs():
            if log.fingerprint == fingerprint:
                self._place(log).unlink()
                return
        raise ConfigError("no such log is trusted", field="fingerprint", source=str(self._folder))

    def logs(self) -> list[TrustedLog]:
        """Every trusted log, by name; a file that is not what its name says stops everything."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                log = TrustedLog.parse(path.read_bytes(), source=str(path))
            except OSError as exc:
                raise ConfigError(f"{exc.strerror}", source=str(path)) from exc
            if path.stem != log.fingerprint:
                raise ConfigError(f"changed since it was pinned: it is {log.fingerprint} now", source=str(path))
            found.append(log)
        return sorted(found, key=lambda log: log.origin)

    def _place(self, log: TrustedLog) -> Path:
        return self._folder / f"{log.fingerprint}.json"


def find(logs: Sequence[TrustedLog], origin: str, key_id: bytes) -> list[TrustedLog]:
    """Give the log of this name and key, once for each contract that is pinned for it, or raise UndecidedError."""
    found = [log for log in logs if log.origin == origin and log.key_id == key_id]
    if found:
        same = [log for log in found if log.key == found[0].key]
        return [log for log in same if log.anchor is not None] or same[:1]
    named = next((log for log in logs if log.origin == origin), None)
    if named is not None:
        raise UndecidedError(
            f"consistent, but signed by key {key_id.hex()} of {origin}; the key trusted for it is {named.key_id.hex()}"
        )
    raise UndecidedError(
        f"consistent, but log unknown: {origin} (key {key_id.hex()}). Get its trust file and add it by its fingerprint"
    )


def _beside(known: TrustedLog, log: TrustedLog) -> bool:
    """Whether both can be pinned: they are the same, or one log in different places."""
    if known == log:
        return True
    if known.anchor is None or log.anchor is None:
        return known.key == log.key
    return known.key == log.key and known.anchor.place != log.anchor.place
