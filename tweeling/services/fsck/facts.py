"""The weighings of the record store against those of the journal: one by one, and in grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from tweeling.ports.audit import JournalAudit, MovementRow, RecordsAudit
from tweeling.ports.journal import NodeEpoch
from tweeling.services.fsck.journal import compare_weighing
from tweeling.services.fsck.merge import merge
from tweeling.services.fsck.report import Check

JOURNAL = "journal:"
"""How the names of sources begin that are journals."""


def audit_facts(journal: JournalAudit, records: RecordsAudit, *, last: int, names: Collection[NodeEpoch]) -> Check:
    """Compare every weighing, up to the batch that is applied, and the sums of each place."""
    check = Check("facts")
    with check.reading():
        _audit(check, journal, records, last, names)
    return check


def _audit(check: Check, journal: JournalAudit, records: RecordsAudit, last: int, names: Collection[NodeEpoch]) -> None:
    source = JOURNAL + journal.id
    sources = records.sources()
    through = sources.get(source, 0)
    if through > last:
        check.add("cursor", source, expected=f"at most batch {last}", found=f"batch {through}")
    others = set(sources) - {source}
    journals = {name for name in others if name.startswith(JOURNAL)}
    sums: dict[str, Counter[tuple[str, ...]]] = {"journal": Counter(), "facts": Counter()}
    same = foreign = 0
    said = ((row[:5], row) for batch, row in journal.movements() if batch <= through)
    for _, here, there in merge(said, ((row[:5], row) for row in records.movements())):
        if here is None and there is not None and (journals or (others and _whose(there) not in names)):
            foreign += 1  # of a journal before this one, or of the history
            continue
        same += here == there
        for side, row in (("journal", here), ("facts", there)):
            if row is not None:
                sums[side][row.hub, row.zone, row.material, row.direction] += row.net_g
        compare_weighing(check, "facts", here, there)
    for place in sorted({*sums["journal"], *sums["facts"]}):
        expected, found = (f"{sums[side][place]:,} g" for side in ("journal", "facts"))
        check.compare("sum", " ".join(place), expected=expected, found=found)
    grams = sum(sums["journal"].values())
    check.say(f"{same:,} weighings of {grams / 1000:,.3f} kg agree, through batch {through:,} of {last:,}")
    if foreign:
        check.say(f"{foreign:,} came from {', '.join(sorted(others))}, and are not in this journal")


def _whose(row: MovementRow) -> NodeEpoch:
    return NodeEpoch(row.hub, row.node, row.epoch)
