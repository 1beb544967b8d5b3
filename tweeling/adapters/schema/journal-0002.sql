-- The ingest journal, version 2. One transaction per commit; see tweeling/ports/journal.py for what it promises.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('id', lower(hex(randomblob(8))));

CREATE TABLE outbox (
    id    INTEGER PRIMARY KEY,
    hub   TEXT NOT NULL,
    node  TEXT NOT NULL,
    epoch TEXT NOT NULL,
    UNIQUE (hub, node, epoch)
) STRICT;

-- Disjoint inclusive ranges of seqs; together with the data in one transaction they make a repeat change nothing.
CREATE TABLE settled (
    outbox INTEGER NOT NULL REFERENCES outbox,
    kind   TEXT NOT NULL CHECK (kind IN ('committed', 'refused', 'dropped')),
    first  INTEGER NOT NULL CHECK (first >= 1),
    last   INTEGER NOT NULL CHECK (last >= first),
    PRIMARY KEY (outbox, kind, first)
) STRICT, WITHOUT ROWID;

-- One commit. body: the envelopes' bytes as they came, end to end; heads says for each, as JSON, its topic, its length,
-- the time it was judged by, and which of its seqs were new (null: all). See tweeling/adapters/frame.py.
CREATE TABLE batch (
    number      INTEGER PRIMARY KEY,
    recorded_ms INTEGER NOT NULL,
    late_ms     INTEGER NOT NULL, -- older readings than this were historical when they came
    readings    INTEGER NOT NULL,
    movements   INTEGER NOT NULL,
    size        INTEGER NOT NULL, -- bytes of heads and body
    heads       TEXT NOT NULL,
    body        BLOB NOT NULL
) STRICT;

-- Weighings are events with identity; they stay when the bytes are trimmed.
CREATE TABLE movement (
    outbox    INTEGER NOT NULL REFERENCES outbox,
    seq       INTEGER NOT NULL,
    place     INTEGER NOT NULL, -- index within the seq
    batch     INTEGER NOT NULL,
    time_ms   INTEGER NOT NULL,
    zone      TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    net_g     INTEGER NOT NULL CHECK (net_g >= 0),
    gross_g   INTEGER,
    tare_g    INTEGER,
    material  TEXT NOT NULL,
    partner   TEXT,
    ticket    TEXT,
    lot       TEXT,
    PRIMARY KEY (outbox, seq, place)
) STRICT, WITHOUT ROWID;

-- Messages without meaning, and envelopes of which a seq was refused; the same one again only counts.
CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    digest      BLOB NOT NULL UNIQUE,
    recorded_ms INTEGER NOT NULL,
    topic       TEXT NOT NULL,
    payload     BLOB NOT NULL,
    reason      TEXT NOT NULL,
    seen        INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE total (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- trimmed: batches up to this one are forgotten; trimmed_readings, trimmed_movements: what these held.
INSERT INTO total (name, value) VALUES
    ('readings', 0), ('movements', 0), ('batches', 0), ('quarantined', 0), ('refused', 0), ('dropped', 0),
    ('repeated', 0), ('quarantine_dropped', 0), ('trimmed', 0), ('trimmed_readings', 0), ('trimmed_movements', 0);

PRAGMA application_id = 0x54574a31; -- TWJ1
PRAGMA user_version = 2;
