"""Settings of the chain that holds the custody log's head."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from tweeling.config.section import Section, safe

_ADDRESS = "should be http://host:port or https://host/…"


class LedgerSettings(Section):
    """The chain that holds the log's head. Without an address the log goes on and entries stay pending."""

    rpc: str = Field(
        default="http://127.0.0.1:18545", repr=False, description="a node of the chain; rpc_file is for one with a key"
    )
    rpc_file: Path | None = Field(
        default=None,
        description="file with the node's address, where that holds a key or password; stands over rpc",
        examples=["secrets/ledger-rpc"],
    )
    chain_id: int = Field(default=31337, gt=0, description="which chain it must be")
    contract: str | None = Field(
        default=None,
        pattern=r"^0x[0-9a-fA-F]{40}$",
        description="address of the contract CustodyLedger on it",
        examples=["0x5FbDB2315678afecb367f032d93F642f64180aa3"],
    )
    first_block: int = Field(
        default=0, ge=0, description="the block that the contract came in; the log's events are looked for from there"
    )
    log_id: str | None = Field(
        default=None,
        pattern=r"^0x[0-9a-f]{64}$",
        description="the log on the contract, where another key than that in key_file has begun it",
        examples=[f"0x{'00' * 32}"],
    )
    key_file: Path = Field(
        default=Path("secrets/ledger-key.json"), description="the key that pays for anchors, an Ethereum key file"
    )
    passphrase_file: Path = Field(default=Path("secrets/ledger-passphrase"), description="what opens it")
    passphrase: SecretStr | None = Field(
        default=None, description="for the environment, TWEELING_LEDGER__PASSPHRASE, in place of passphrase_file"
    )
    max_age_s: float = Field(default=5, gt=0, description="anchor a checkpoint at the latest after this time")
    max_entries: int = Field(default=10_000, ge=1, description="or once so many entries wait")
    max_fee_gwei: float | None = Field(
        default=None,
        gt=0,
        description="the dearest unit of gas that is paid; while it costs more, anchors wait; absent: any price",
        examples=[30.0],
    )
    confirmations: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="blocks, an anchor's own counted, before it is said to be anchored: 1 for a development chain, "
        "64 for Ethereum",
    )
    patience_s: float | None = Field(
        default=None,
        gt=0,
        description="for a development chain, which may lose blocks for good: they are gone after so long; absent: a "
        "node that is behind is waited for",
        examples=[30.0],
    )
    continues: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]{0,18}:0x[0-9a-f]{64}$",
        description="size and root at which the log was retired in another contract, as `tweeling ledger retire` "
        "writes them: the first anchor here is exactly these",
        examples=[f"1:0x{'00' * 32}"],
    )

    @field_validator("rpc")
    @classmethod
    def _speaks_safely(cls, rpc: str) -> str:
        """A node elsewhere is asked under TLS: whoever answers in its place would say what the log may hold."""
        return node_address(rpc)


def node_address(rpc: str) -> str:
    """An address at which a node is asked, or ValueError, which does not quote it."""
    try:
        safe(rpc)
        parts = urlsplit(rpc)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as exc:
        raise ValueError(str(exc) if "https://" in str(exc) else _ADDRESS) from None
    if not usable:
        raise ValueError(_ADDRESS)
    return rpc
