"""The tables as SQLAlchemy Core names them; the schema itself is what the migrations say."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

METADATA = sa.MetaData()

REGION = Table("region", METADATA, Column("id", BigInteger, primary_key=True), Column("body", Text))

MOVEMENT = Table(
    "movement",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hub", Text),
    Column("node", Text),
    Column("epoch", Text),
    Column("seq", BigInteger),
    Column("idx", BigInteger),
    Column("time_ms", BigInteger),
    Column("zone", Text),
    Column("direction", Text),
    Column("net_g", BigInteger),
    Column("gross_g", BigInteger),
    Column("tare_g", BigInteger),
    Column("material", Text),
    Column("partner", Text),
    Column("ticket", Text),
    Column("lot", Text),
)

FACT = Table("fact", METADATA, Column("key", Text, primary_key=True), Column("body", Text))

APPLIED = Table("applied", METADATA, Column("source", Text, primary_key=True), Column("through", BigInteger))

ENTRY = Table(
    "entry",
    METADATA,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary),
    Column("event_id", Text),
    Column("captured_ms", BigInteger),
)

EVENT = Table(
    "event",
    METADATA,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("jcs", LargeBinary),
    Column("body", LargeBinary),
    Column("disclosures", LargeBinary),
    Column("submitter", Text),
)

NODE = Table(
    "node",
    METADATA,
    Column("level", BigInteger, primary_key=True, autoincrement=False),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary),
)

LOT = Table(
    "lot",
    METADATA,
    Column("lot", Text, primary_key=True),
    Column("key", LargeBinary),
    Column("idx", BigInteger),
    Column("leaf", LargeBinary),
)

CHECKPOINT = Table(
    "checkpoint",
    METADATA,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary),
    Column("note", Text),
    Column("time_ms", BigInteger),
)

ANCHOR = Table(
    "anchor",
    METADATA,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary),
    Column("chain_id", BigInteger),
    Column("contract", Text),
    Column("log_id", LargeBinary),
    Column("block", BigInteger),
    Column("block_hash", LargeBinary),
    Column("transaction_hash", LargeBinary),
)
