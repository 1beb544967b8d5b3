"""The compiled contracts that ship with the package, and their refusals in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from tweeling.errors import RejectedError, Trouble

LEDGER: Final = "CustodyLedger"
REGISTRY: Final = "PartnerRegistry"


class Artifact(NamedTuple):
    """What solc made of a contract in contracts/src."""

    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime: bytes


class ContractRefusedError(RejectedError):
    """A contract's own error: its name and its fields, bytes as 0x text."""

    def __init__(self, name: str, fields: Mapping[str, object]) -> None:
        super().__init__(f"{name}({', '.join(f'{key}={value}' for key, value in fields.items())})")
        self.name = name
        self.fields = dict(fields)

    @property
    def trouble(self) -> Trouble:
        """What it means for a log, in a word."""
        return _TROUBLES.get(self.name, Trouble.REFUSED)


_TROUBLES: Final = {"CustodyLedgerNotOperator": Trouble.OPERATOR, "CustodyLedgerRetired": Trouble.RETIRED}


@cache
def artifact(contract: str = LEDGER) -> Artifact:
    """Read a contract's artefact."""
    value = json.loads(_text(contract))
    return Artifact(value["abi"], _bytes(value["bytecode"]), _bytes(value["runtime"]))


def version(code: bytes, contract: str = LEDGER) -> int | None:
    """Which of the contracts that were ever shipped has this code: 1 for the first of them, None for none."""
    digest, shipped = hashlib.sha256(code).hexdigest(), _shipped()[contract]
    return shipped.index(digest) + 1 if digest in shipped else None


def refusal(data: str) -> RejectedError:
    """Say which custom error a revert's data is, whatever a node sends as such."""
    try:
        raw = _bytes(data)
    except ValueError:
        raw = b""
    if (error := _errors().get(raw[:4])) is None:
        return RejectedError(f"the contract reverted with {data[:74]}")
    types = [part["type"] for part in error["inputs"]]
    try:
        values = decode(types, raw[4:])
    except DecodingError:
        return RejectedError(f"the contract reverted with {error['name']} and fields that cannot be read")
    names = [part["name"] for part in error["inputs"]]
    return ContractRefusedError(error["name"], dict(zip(names, map(_shown, values), strict=True)))


@cache
def _shipped() -> dict[str, list[str]]:
    # Every version stays in it: a log lives in its contract longer than a program in its version.
    value: dict[str, list[str]] = json.loads(_text("shipped"))
    return value


@cache
def _errors() -> dict[bytes, dict[str, Any]]:
    # Each error's name begins with its contract's, so no two are alike.
    abis = (artifact(LEDGER).abi, artifact(REGISTRY).abi)
    return {_selector(part): part for abi in abis for part in abi if part["type"] == "error"}


def _selector(error: dict[str, Any]) -> bytes:
    types = ",".join(part["type"] for part in error["inputs"])
    return keccak(text=f"{error['name']}({types})")[:4]


def _shown(value: object) -> object:
    return f"0x{value.hex()}" if isinstance(value, bytes) else value


def _text(name: str) -> str:
    return resources.files(__package__).joinpath("artifacts", f"{name}.json").read_text()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
