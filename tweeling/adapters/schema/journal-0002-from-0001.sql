-- The ingest journal, from version 1 to version 2; journal_migration.py fills `batch` and drops what is old.

ALTER TABLE batch RENAME TO batch_1;

ALTER TABLE quarantine RENAME TO quarantine_1;

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('id', lower(hex(randomblob(8))));

-- How stores have called this journal so far; it goes when they know the new name.
INSERT INTO meta VALUES ('source_before', 'journal');

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

INSERT INTO quarantine SELECT * FROM quarantine_1 ORDER BY id;

DROP TABLE quarantine_1;
