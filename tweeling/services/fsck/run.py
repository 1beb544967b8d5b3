"""The whole audit, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from tweeling.ports.audit import Installation, RecordsAudit
from tweeling.services.fsck.chain import ChainCheck
from tweeling.services.fsck.corrections import audit_corrections
from tweeling.services.fsck.custody import audit_custody
from tweeling.services.fsck.facts import JOURNAL, audit_facts
from tweeling.services.fsck.journal import JournalChecks
from tweeling.services.fsck.points import PointsCheck
from tweeling.services.fsck.report import Check
from tweeling.verify import TrustedLog


def audit(installation: Installation, trusted: TrustedLog | None) -> list[Check]:
    """Audit an installation that may be running. Raises UnavailableError where a store does not answer."""
    with installation.journal() as journal:
        source = JOURNAL + journal.id
    # (1) the points first, then the records, the journal last: what followed the journal is never ahead of it
    points = installation.points
    held = applied = 0
    if points is not None:
        held, applied = points.count(), points.applied(source)
    with ExitStack() as closing:
        # What the chain holds by now, the records that are opened next have to know.
        chain = ChainCheck(installation, closing)
        records = closing.enter_context(installation.records())
        journal = closing.enter_context(installation.journal())
        # (2) the journal against itself; what its batches say goes on to the points
        comparison = None if points is None else PointsCheck(points, through=applied, held=held)
        checks = JournalChecks(journal, (lambda *_: None) if comparison is None else comparison.take)
        done = checks.run()
        # (3) what followed the journal against it
        done.append(_records_file(records))
        facts = audit_facts(journal, records, last=checks.last, names=checks.names)
        done += [facts, _points(installation, comparison, checks, records, source)]
        _check_trimmed(installation, facts, done[-1], source, checks.trimmed)
        done.append(audit_corrections(records))
        # (4) the custody log against itself and its chain
        done += audit_custody(records, trusted, chain)
    return done


def _records_file(records: RecordsAudit) -> Check:
    check = Check("records file")
    with check.reading():
        for line in records.damage():
            check.add("file", "records", expected="ok", found=line)
    return check


def _points(
    installation: Installation,
    comparison: PointsCheck | None,
    checks: JournalChecks,
    records: RecordsAudit,
    source: str,
) -> Check:
    if comparison is None:
        return Check("points", "the store keeps nothing, so there is nothing to compare")
    for line in installation.points_damage():
        comparison.check.add("file", "points", expected="as it was written", found=line)
    sources: Mapping[str, int] = {}
    loaded = 0
    with comparison.check.reading():
        sources, loaded = records.sources(), records.history()
    return comparison.finish(
        installation.journal,
        last=checks.last,
        forgotten=checks.totals.get("trimmed_readings", 0),
        loaded=loaded,
        comparable=not any(name.startswith(JOURNAL) and name != source for name in sources),
    )


def _check_trimmed(installation: Installation, facts: Check, points: Check, source: str, trimmed: int) -> None:
    """What is trimmed was applied before; asked now, because what lives has gone on since."""
    if installation.points is not None and trimmed:
        _compare_cursor(points, installation.points.applied(source), trimmed)
    if trimmed:
        with facts.reading(), installation.records() as records:
            _compare_cursor(facts, records.sources().get(source, 0), trimmed)


def _compare_cursor(check: Check, through: int, trimmed: int) -> None:
    if through < trimmed:
        check.add("cursor", check.name, expected=f"at least batch {trimmed}, which is trimmed", found=through)
