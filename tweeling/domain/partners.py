"""Partners and the public keys by which they sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from tweeling.domain import signature
from tweeling.domain.canonical import parse_json
from tweeling.errors import ConfigError, InvariantError

_Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2}){32,33}$")]
_FILE: TypeAdapter[dict[str, dict[str, _Hex]]] = TypeAdapter(dict[str, dict[str, _Hex]])
_ALGORITHMS = {name.lower(): name for name in (signature.ED25519, signature.ES256K)}


class Partners:
    """The registered keys: `{party: {algorithm: hex of the public key}}`, one of each algorithm a party."""

    def __init__(self, keys: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Take keys by party and algorithm."""
        self._keys = keys or {}

    @classmethod
    def parse(cls, data: bytes) -> Partners:
        """Read a partners file, or raise ConfigError naming the field."""
        try:
            keys = _FILE.validate_python(parse_json(data))
        except InvariantError as exc:
            raise ConfigError(str(exc), source="partners file") from exc
        except ValidationError as exc:
            problem = exc.errors(include_url=False)[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise ConfigError(problem["msg"], field=field, source="partners file") from exc
        for party, known in keys.items():
            if unknown := known.keys() - _ALGORITHMS.values():
                field = f"{party}.{min(unknown)}"
                raise ConfigError("unknown algorithm", field=field, source="partners file", remedy="Ed25519 or ES256K")
        return cls(keys)

    def key(self, party: str, algorithm: str) -> tuple[str, bytes]:
        """Give the algorithm's proper name and a party's key for it, or raise InvariantError."""
        name = _ALGORITHMS.get(algorithm.lower())
        if name is None:
            raise InvariantError("unknown algorithm: Ed25519 or ES256K", field="signature.algorithm")
        known = self._keys.get(party, {}).get(name)
        if known is None:
            raise InvariantError(f"no {name} key of {party[:60]!r} is registered", field="signature.key_id")
        return name, bytes.fromhex(known)
