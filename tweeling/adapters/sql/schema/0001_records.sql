-- Records, version 1: facts, and the custody log. See tweeling/ports/facts.py and tweeling/ports/logstore.py.
-- Written in SQLite's words; engine.py puts PostgreSQL's in their place (BLOB, INTEGER, STRICT, WITHOUT ROWID).

-- ------------------------------------------------------------------ facts

CREATE TABLE region (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL
) STRICT;

CREATE TABLE movement (
    number    INTEGER PRIMARY KEY,
    hub       TEXT NOT NULL,
    node      TEXT NOT NULL,
    epoch     TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    idx       INTEGER NOT NULL,
    time_ms   INTEGER NOT NULL,
    zone      TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    net_g     INTEGER NOT NULL,
    gross_g   INTEGER,
    tare_g    INTEGER,
    material  TEXT NOT NULL,
    partner   TEXT,
    ticket    TEXT,
    lot       TEXT,
    UNIQUE (hub, node, epoch, seq, idx)
) STRICT;

CREATE INDEX movement_time ON movement (time_ms);

CREATE INDEX movement_hub_time ON movement (hub, time_ms);

CREATE TABLE fact (
    key  TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- How far each source of a projection is applied; written in the transaction that applies it.
CREATE TABLE applied (
    source  TEXT PRIMARY KEY,
    through INTEGER NOT NULL
) STRICT;

-- ------------------------------------------------------------------ custody log

-- Public: commitments only.
CREATE TABLE entry (
    idx         INTEGER PRIMARY KEY CHECK (idx >= 0),
    body        BLOB NOT NULL,
    event_id    TEXT NOT NULL,
    captured_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX entry_event_id ON entry (event_id);

-- Private: what the commitments open to. Body and disclosures made NULL together are erased, and leave the log
-- verifiable; the row stays, for its hash tells a repeat.
CREATE TABLE event (
    idx         INTEGER PRIMARY KEY REFERENCES entry (idx),
    jcs         BLOB NOT NULL UNIQUE,
    body        BLOB,
    disclosures BLOB,
    submitter   TEXT NOT NULL
) STRICT;

-- Hashes of complete subtrees; level 0 holds the leaf hashes.
CREATE TABLE node (
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

-- The newest entry of each lot, and the secret that blinds the lot's links.
CREATE TABLE lot (
    lot  TEXT PRIMARY KEY,
    key  BLOB NOT NULL,
    idx  INTEGER NOT NULL REFERENCES entry (idx),
    leaf BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoint (
    size    INTEGER PRIMARY KEY,
    root    BLOB NOT NULL,
    note    TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE anchor (
    size        INTEGER PRIMARY KEY,
    root        BLOB NOT NULL,
    chain_id    INTEGER NOT NULL,
    contract    TEXT NOT NULL,
    log_id      BLOB NOT NULL,
    block       INTEGER NOT NULL,
    block_hash  BLOB NOT NULL,
    transaction_hash BLOB NOT NULL
) STRICT;
