"""Corrections of weighings: each takes back exactly what was weighed, and somebody said why."""

from __future__ import annotations

from tweeling.domain.correction import INSTEAD, OFFICE, REVERSAL, outbox
from tweeling.domain.telemetry import Identity
from tweeling.ports.audit import MovementRow, RecordsAudit
from tweeling.services.fsck.report import Check

_OTHER = {"in": "out", "out": "in"}


def audit_corrections(records: RecordsAudit) -> Check:
    """Find for each reversal the weighing that it is named after, and compare the two."""
    check = Check("corrections")
    with check.reading():
        _audit(check, records)
    return check


def _audit(check: Check, records: RecordsAudit) -> None:
    entries = [row for row in records.movements() if row.node == OFFICE]  # few: people make them
    reversals = {row.epoch: row for row in entries if row.place == REVERSAL}
    said = records.corrections()
    check.say(f"{len(reversals):,} weighings corrected")
    if not entries:
        return
    originals = {epoch: row for row in records.movements() if (epoch := _outbox(row)) in reversals}
    for epoch, row in sorted(reversals.items()):
        place = f"{row.hub}/{OFFICE}/{epoch}"
        wrong = originals.get(epoch)
        if wrong is None:
            check.add("weighing", place, expected="one that it takes back", found="none")
            continue
        undone = (wrong.hub, wrong.zone, wrong.material, _OTHER[wrong.direction], wrong.net_g)
        done = (row.hub, row.zone, row.material, row.direction, row.net_g)
        check.compare("reversal", place, expected=" ".join(map(str, undone)), found=" ".join(map(str, done)))
        if epoch not in said:
            check.add("reason", place, expected="who and why", found="none")
    for row in entries:
        if row.place not in {REVERSAL, INSTEAD} or row.epoch not in reversals:
            place = f"{row.hub}/{OFFICE}/{row.epoch} index {row.place}"
            check.add("entry", place, expected="part of a correction", found=f"{row.net_g:,} g by itself")


def _outbox(row: MovementRow) -> str:
    return outbox(Identity(row.hub, row.node, row.epoch, row.seq, row.place))
