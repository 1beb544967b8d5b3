"""Every way to damage an installation that its auditor names: what is done, and the disagreement."""

# ruff: noqa: S608 -- damage is done in SQL

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from support_ingest import NOW

Damage = dict[str, tuple[list[str | Callable[[sqlite3.Connection], object]], tuple[str, str]]]

_BODY = "UPDATE batch SET body = CAST(replace(CAST(body AS TEXT), '{}', '{}') AS BLOB) WHERE number = {}"


def _flipped(bit: int) -> Callable[[sqlite3.Connection], object]:
    def flip(db: sqlite3.Connection) -> None:
        (body,) = db.execute("SELECT body FROM batch WHERE number = 3").fetchone()
        at = body.index(b"epoch")
        changed = body[:at] + bytes([body[at] ^ bit]) + body[at + 1 :]
        db.execute("UPDATE batch SET body = ? WHERE number = 3", (changed,))

    return flip


JOURNAL: Damage = {
    "a range is gone": (
        ["DELETE FROM settled WHERE outbox = 1 AND first = 1"],
        ("journal ranges", r"^seqs, H1/n1/\w+ 1\.\.40: committed / not committed"),
    ),
    "a range is widened": (
        ["UPDATE settled SET last = 45 WHERE outbox = 1 AND first = 1"],
        ("journal ranges", r"^seqs, H1/n1/\w+ 41\.\.45: in a batch / in none"),
    ),
    "a range is narrowed": (
        ["UPDATE settled SET last = 38 WHERE outbox = 1 AND first = 1"],
        ("journal ranges", r"^seqs, H1/n1/\w+ 39\.\.40: committed / not"),
    ),
    "a weighing is of no range": (
        ["UPDATE settled SET last = 38 WHERE outbox = 1 AND first = 1"],
        ("journal weighings", r"^seq, H1/n1/\w+ seq 39 .*: in a committed range / in none"),
    ),
    "a range is cut in two": (
        ["UPDATE settled SET last = 20 WHERE outbox = 1 AND first = 1",
         "INSERT INTO settled VALUES (1, 'committed', 21, 40)"],
        ("journal ranges", r"^range, H1/n1/\w+ seqs 21\.\.40: one range / two that touch at 21"),
    ),
    "two kinds overlap": (
        ["INSERT INTO settled VALUES (1, 'dropped', 30, 45)"],
        ("journal ranges", r"^range, H1/n1/\w+ seqs 30\.\.45: begins above 40 / dropped again"),
    ),
    "a refused seq has no evidence": (
        ["INSERT INTO settled VALUES (1, 'refused', 90, 91)"],
        ("quarantine", r"^refused, H1/n1/\w+ seqs 90\.\.91: an envelope in quarantine / none"),
    ),
    "a batch is gone": (
        ["DELETE FROM batch WHERE number = 5"],
        ("journal batches", r"^batch, below 6: 5 / 4"),
    ),
    "the weighings of a batch that is gone": (
        ["DELETE FROM batch WHERE number = 5"],
        ("journal weighings", r"^batch, H1/n1/\w+ seq 17 index 1: 5 / no such batch"),
    ),
    "the oldest batch is gone": (
        ["DELETE FROM batch WHERE number = 1"],
        ("journal batches", r"^oldest batch, journal: 1 / 2"),
    ),
    "the newest batch is gone": (
        ["DELETE FROM batch WHERE number = 13"],
        ("journal batches", r"^batch, below 14: 13 / 12"),
    ),
    "a batch stands twice": (
        [("INSERT INTO batch SELECT 14, recorded_ms, late_ms, readings, 0, size, heads, body"
         " FROM batch WHERE number = 11"),
         "UPDATE total SET value = 14 WHERE name = 'batches'",
         "UPDATE total SET value = value + 2 WHERE name = 'readings'"],
        ("journal ranges", r"^seqs, H1/n2/\w+ 1\.\.1: in one batch / in several"),
    ),
    "a count of readings": (
        ["UPDATE batch SET readings = 5 WHERE number = 3"],
        ("journal batches", r"^readings, batch 3: 4 / 5"),
    ),
    "a count of weighings": (
        ["UPDATE batch SET movements = 5 WHERE number = 3"],
        ("journal batches", r"^weighings, batch 3: 4 / 5"),
    ),
    "a size": (["UPDATE batch SET size = size + 1 WHERE number = 3"], ("journal batches", r"^size, batch 3: ")),
    "a bit of the bytes": (
        [_flipped(4)],
        ("journal batches", r"^envelopes, batch 3: to be decoded again / .* means nothing: epoch"),
    ),
    "a byte too few": (
        ["UPDATE batch SET body = substr(body, 1, length(body) - 1), size = size - 1 WHERE number = 3"],
        ("journal batches", r"^envelopes, batch 3: .* means nothing"),
    ),
    "a byte too many": (
        ["UPDATE batch SET body = CAST(body || ' ' AS BLOB), size = size + 1 WHERE number = 3"],
        ("journal batches", r"^envelopes, batch 3: .* the heads tell of \d+ bytes"),
    ),
    "heads that are none": (
        ["UPDATE batch SET heads = '[[1', size = 3 + length(body) WHERE number = 3"],
        ("journal batches", r"^envelopes, batch 3: .* the heads are none"),
    ),
    "an epoch in the bytes": (
        [_BODY.format("00000000000000aa", "00000000000000ab", 3)],
        ("journal ranges", r"^seqs, H1/n1/00000000000000ab 9\.\.12: committed / not committed"),
    ),
    "a value in the bytes": (
        [_BODY.format('"v":0.09', '"v":0.08', 3)],
        ("points", r"^point, H1/H1-A/fillingLevel at \d+ ms, batch 3: 0\.08 of quality 0 / 0\.09 of quality 0"),
    ),
    "a name in the bytes": (
        [_BODY.format("H1-A/fillingLevel", "H1-C/fillingLevel", 3)],
        ("points", r"^point, H1/H1-C/fillingLevel at \d+ ms, batch 3: 0\.12 of quality 0 / no such point"),
    ),
    "a time in the bytes": (
        [_BODY.format(f'"bt":{(NOW - 9) / 1000}', f'"bt":{(NOW - 19) / 1000}', 3)],
        ("points", r"^points, store: at most 42 / 43"),  # its neighbour of that time stands
    ),
    "grams in the bytes": (
        [_BODY.format('"v":9000', '"v":9001', 3)],
        ("journal weighings", r"^net_g, batch 3, H1/n1/\w+ seq 9 index 1: 9001 / 9000"),
    ),
    "what is late": (
        ["UPDATE batch SET late_ms = 1 WHERE number = 1"],
        ("points", r"batch 1: 0\.0\d of quality 3 / 0\.0\d of quality 0"),
    ),
    "a weighing is gone": (
        ["DELETE FROM movement WHERE seq = 7"],
        ("journal weighings", r"^weighing, batch 2, H1/n1/\w+ seq 7 index 1: 7,000 g / none"),
    ),
    "a gram too many": (
        ["UPDATE movement SET net_g = net_g + 1 WHERE seq = 7"],
        ("journal weighings", r"^net_g, batch 2, H1/n1/\w+ seq 7 index 1: 7000 / 7001"),
    ),
    "a weighing is in another batch": (
        ["UPDATE movement SET batch = 3 WHERE seq = 7"],
        ("journal weighings", r"^weighing, batch 3, H1/n1/\w+ seq 7 index 1: none / 7,000 g"),
    ),
    "a weighing out of nowhere": (
        [("INSERT INTO movement SELECT outbox, 60, place, batch, time_ms, zone, direction, net_g, gross_g, tare_g,"
         " material, partner, ticket, lot FROM movement WHERE seq = 7")],
        ("journal weighings", r"^weighing, batch 2, H1/n1/\w+ seq 60 index 1: none / 7,000 g"),
    ),
    **{
        f"the total {name}": (
            [f"UPDATE total SET value = value + 1 WHERE name = '{name}'"],
            ("quarantine" if name == "quarantined" else "journal totals", rf"^total, {name}: "),
        )
        for name in ("readings", "movements", "refused", "dropped", "quarantined", "trimmed_movements")
    },
    "the total batches": (
        ["UPDATE total SET value = 12 WHERE name = 'batches'"],
        ("journal batches", r"^batch, below 13: 12 / 13"),
    ),
    "a total is gone": (
        ["DELETE FROM total WHERE name = 'dropped'"],
        ("journal totals", r"^total, dropped: a number / nothing"),
    ),
    "the trimmed number": (
        ["UPDATE total SET value = 2 WHERE name = 'trimmed'"],
        ("journal batches", r"^oldest batch, journal: 3 / 1"),
    ),
    "a message of the quarantine is gone": (
        ["DELETE FROM quarantine WHERE payload = CAST('junk' AS BLOB)"],
        ("quarantine", r"^total, quarantined: 2 / 4"),
    ),
    "evidence is gone": (
        ["DELETE FROM quarantine WHERE reason LIKE 'seq 50%'"],
        ("quarantine", r"^refused, H1/n1/\w+ seqs 50\.\.50: an envelope in quarantine / none"),
    ),
    "a message of the quarantine is another": (
        ["UPDATE quarantine SET payload = CAST('Junk' AS BLOB) WHERE payload = CAST('junk' AS BLOB)"],
        ("quarantine", r"^digest, message \d+: "),
    ),
    "a ghost's ranges": (
        ["DELETE FROM outbox WHERE id = 2"],
        ("journal file", r"settled: row .* belongs to no row of outbox"),
    ),
    "text that is none": (
        ["UPDATE batch SET heads = CAST(x'ff' AS TEXT) WHERE number = 3"],
        ("journal batches", r"^rows, journal\.db: readable / .*cannot be read any more"),
    ),
}  # fmt: skip


RECORDS: Damage = {
    "a weighing is gone": (
        ["DELETE FROM movement WHERE seq = 7"],
        ("facts", r"^weighing, facts, H1/n1/\w+ seq 7 index 1: 7,000 g / none"),
    ),
    "a gram too few": (
        ["UPDATE movement SET net_g = net_g - 1 WHERE seq = 7"],
        ("facts", r"^net_g, facts, H1/n1/\w+ seq 7 index 1: 7000 / 6999"),
    ),
    "a sum": (
        ["UPDATE movement SET net_g = net_g - 1 WHERE seq = 7"],
        ("facts", r"^sum, H1 H1-A wood in: 820,000 g / 819,999 g"),
    ),
    "a weighing in another zone": (
        ["UPDATE movement SET zone = 'H1-B' WHERE seq = 7"],
        ("facts", r"^zone, facts, H1/n1/\w+ seq 7 index 1: H1-A / H1-B"),
    ),
    "a weighing twice": (
        [("INSERT INTO movement SELECT 99, hub, node, epoch, seq, 2, time_ms, zone, direction, net_g, gross_g, tare_g,"
         " material, partner, ticket, lot FROM movement WHERE seq = 7")],
        ("facts", r"^weighing, facts, H1/n1/\w+ seq 7 index 2: none / 7,000 g"),
    ),
    "a node nobody knows": (
        [("INSERT INTO movement SELECT 99, hub, 'n9', epoch, seq, 2, time_ms, zone, direction, net_g, gross_g, tare_g,"
         " material, partner, ticket, lot FROM movement WHERE seq = 7")],
        ("facts", r"^weighing, facts, H1/n9/\w+ seq 7 index 2: none / 7,000 g"),
    ),
    "a cursor ahead": (
        ["UPDATE applied SET through = 99"],
        ("facts", r"^cursor, journal:\w+: at most batch 13 / batch 99"),
    ),
    "a cursor behind": (
        ["UPDATE applied SET through = 5"],
        ("facts", r"^weighing, facts, H1/n1/\w+ seq 21 index 1: none / 21,000 g"),
    ),
    "an entry is another": (
        ["UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 5) WHERE idx = 4"],
        ("custody tree", r"^subtree, level 0 index 4: "),
    ),
    "a root after another entry": (
        ["UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 5) WHERE idx = 4"],
        ("custody heads", r"^root, checkpoint 8: "),
    ),
    "a byte of an entry": (
        ["UPDATE entry SET body = CAST(body || x'00' AS BLOB) WHERE idx = 4"],
        ("custody entries", r"^entry, entry 4: commitments / "),
    ),
    "an entry in the middle is gone": (
        ["DELETE FROM entry WHERE idx = 4"],
        ("custody entries", r"^entry, behind 3: 4 / 5"),
    ),
    "the last entries are gone": (
        ["DELETE FROM entry WHERE idx >= 6"],
        ("custody heads", r"^checkpoint, size 8: at most 6 entries / 8"),
    ),
    "a leaf": (
        ["UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND idx = 2"],
        ("custody tree", r"^subtree, level 0 index 2: .* / 0{64}"),
    ),
    "a subtree of a level that is not kept": (
        ["INSERT INTO node VALUES (3, 0, zeroblob(32))"],
        ("custody tree", r"^subtree, level 3 index 0: None / 0{64}"),
    ),
    "a leaf is gone": (
        ["DELETE FROM node WHERE level = 0 AND idx = 4"],
        ("custody tree", r"^subtree, level 0 index 4: .* / None"),
    ),
    "a subtree too many": (
        ["INSERT INTO node VALUES (7, 0, zeroblob(32))"],
        ("custody tree", r"^subtree, level 7 index 0: None / 0{64}"),
    ),
    "a root": (
        ["UPDATE checkpoint SET root = zeroblob(32) WHERE size = 4"],
        ("custody heads", r"^root, checkpoint 4: .* / 0{64}"),
    ),
    "a size": (
        ["UPDATE checkpoint SET size = 5 WHERE size = 4"],
        ("custody heads", r"^note's size, checkpoint 5: 5 / 4"),
    ),
    "a signature": (
        ["UPDATE checkpoint SET note = replace(note, substr(note, -20, 3), 'AAA') WHERE size = 4"],
        ("custody heads", r"^note, checkpoint 4: a signed note / "),
    ),
    "an anchor": (
        ["UPDATE anchor SET root = zeroblob(32)"],
        ("custody heads", r"^root, anchor 8: .* / 0{64}"),
    ),
    "an event": (
        ["UPDATE event SET body = CAST(replace(CAST(body AS TEXT), '1234.5', '1234.6') AS BLOB) WHERE idx = 3"],
        ("custody entries", r"^event, entry 3: "),
    ),
    "a disclosure": (
        ["UPDATE event SET disclosures = (SELECT disclosures FROM event WHERE idx = 5) WHERE idx = 4"],
        ("custody entries", r"^disclosure, entry 4: committed to by the entry / \w+ is not"),
    ),
    "the leaf of a lot": (
        ["UPDATE lot SET leaf = zeroblob(32)"],
        ("custody entries", r"^lot's leaf, lot urn:epc:class:lgtin:4012345\.011111\.0: "),
    ),
    "the entry of a lot": (
        ["UPDATE lot SET idx = 50 WHERE lot LIKE '%.0'"],
        ("records file", r"lot: row \d+ belongs to no row of entry"),
    ),
    "a lot set back": (
        ["UPDATE lot SET idx = 2, leaf = (SELECT hash FROM node WHERE level = 0 AND idx = 2) WHERE lot LIKE '%.0'"],
        ("custody entries", r"^lot's newest entry, lot urn:epc:class:lgtin:4012345\.011111\.0: 8 or later / 2"),
    ),
    "the key of a lot": (
        ["UPDATE lot SET key = zeroblob(32) WHERE lot LIKE '%.1'"],
        ("custody entries", r"^lot's key, lot urn:epc:class:lgtin:4012345\.011111\.1: that of entry 0 / another"),
    ),
    "a lot is gone": (
        ["DELETE FROM lot WHERE lot LIKE '%.1'"],
        ("custody entries", r"^lot, lot urn:epc:class:lgtin:4012345\.011111\.1: a row, for entry 0 touches it / None"),
    ),
    "a lot out of nowhere": (
        ["INSERT INTO lot SELECT 'urn:other', key, idx, leaf FROM lot WHERE lot LIKE '%.1'"],
        ("custody entries", r"^lot, lot urn:other: touched by entry 9 / untouched by it"),
    ),
    "a time of capture": (
        ["UPDATE entry SET captured_ms = captured_ms + 1 WHERE idx = 4"],
        ("custody entries", r"^captured_ms, entry 4: (\d+) / \d+"),
    ),
    "an id": (
        ["UPDATE entry SET event_id = 'urn:other' WHERE idx = 4"],
        ("custody entries", r"^event_id, entry 4: urn:uuid:\S+ / urn:other"),
    ),
    "a submitter": (
        ["UPDATE event SET submitter = 'T2' WHERE idx = 4"],
        ("custody entries", r"^submitter, entry 4: T1 / T2"),
    ),
    "an event is gone": (
        ["DELETE FROM event WHERE idx = 4"],
        ("custody entries", r"^event, entry 4: a row, erased or not / None"),
    ),
    "half an erasure": (
        ["UPDATE event SET body = NULL WHERE idx = 4"],
        ("custody entries", r"^erasure, entry 4: event and disclosures erased together / only no event"),
    ),
    "an event of no entry": (
        ["UPDATE event SET idx = 40 WHERE idx = 4"],
        ("custody entries", r"^event, entry 40: an entry / None"),
    ),
    "a subtree of no level": (
        ["INSERT INTO node VALUES (-1, 0, zeroblob(32))"],
        ("custody tree", r"^subtree, level -1 index 0: None / 0{64}"),
    ),
    "a subtree as high as can be": (
        ["UPDATE node SET level = 4611686018427387904 WHERE level = 0 AND idx = 2"],
        ("custody tree", r"^subtree, level 4611686018427387904 index 2: None / "),
    ),
    "an anchor of another contract": (
        ["UPDATE anchor SET contract = '0x0000000000000000000000000000000000000000'"],
        ("custody heads", r"^contract, anchor 8: 0xab\w+ / 0x00\w+"),
    ),
    "a checkpoint that is anchored is gone": (
        ["DELETE FROM checkpoint WHERE size = 8"],
        ("custody heads", r"^checkpoint, size 8: signed, for it is anchored / None"),
    ),
}  # fmt: skip


POINTS = {
    "a point is gone": (
        f"DELETE FROM point WHERE t = {NOW - 7}",
        rf"^point, H1/H1-A/fillingLevel at {NOW - 7} ms, batch 2: 0\.07 of quality 0 / no such point",
    ),
    "a value": (
        f"UPDATE point SET value = value + 1e-16 WHERE t = {NOW - 7}",
        r"ms, batch 2: 0\.07 of quality 0 / 0\.0700000",
    ),
    "a quality": (f"UPDATE point SET quality = 3 WHERE t = {NOW - 7}", r"0\.07 of quality 0 / 0\.07 of quality 3"),
    "an overwritten value comes back": (
        f"UPDATE point SET value = 0.03 WHERE t = {NOW - 3}",
        r"batch 11: 0\.1 of quality 0 / 0\.03 of quality 0",
    ),
    "a point too many": (
        f"INSERT INTO point SELECT series, 5, value, quality, batch FROM point WHERE t = {NOW - 7}",
        r"^points, store: at most 43 / 44",
    ),
    "a point twice": (
        f"INSERT INTO point SELECT series, t, value, quality, batch FROM point WHERE t = {NOW - 7}",
        r"^points, store: at most 43 / 44",
    ),
    "another series' points": ("UPDATE series SET key = 'H1/H1-Z/fillingLevel' WHERE id = 1", r"/ no such point"),
    "a cursor ahead": ("UPDATE applied SET through = 99", r"^cursor, points: at most batch 13 / batch 99"),
}
