"""What a hub keeps, opened for an auditor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.journal_audit import at_rest, open_journal
from tweeling.adapters.sql.audit import open_records_audit
from tweeling.bootstrap.ledger import rpc_of
from tweeling.bootstrap.readings import journal_path, points_of, records_url
from tweeling.config import Settings
from tweeling.errors import UndecidedError
from tweeling.ports.audit import ChainAudit, JournalAudit, PointsAudit, RecordsAudit
from tweeling.verify import TrustedLog


@dataclass(frozen=True, slots=True)
class Audited:
    """An `Installation` to audit. trusted: what its trust file says. running: a hub lives there meanwhile."""

    settings: Settings
    trusted: TrustedLog | None
    points: PointsAudit | None
    running: bool
    ask_chain: bool

    def points_damage(self) -> Iterator[str]:
        """See `Installation`: of sealed files, while no hub runs that may replace them."""
        return self.points.damage() if isinstance(self.points, DuckDBStore) else iter(())

    def records(self) -> AbstractContextManager[RecordsAudit]:
        """See `Installation`."""
        return open_records_audit(records_url(self.settings))

    @contextmanager
    def chain(self) -> Iterator[ChainAudit]:
        """See `Installation`."""
        ledger = self.settings.ledger
        if not self.ask_chain:
            raise UndecidedError("left out by --no-chain")
        if ledger.contract is None:
            raise UndecidedError("no chain is configured")
        pinned = None
        if self.trusted is not None and self.trusted.origin == self.settings.custody.origin:
            pinned = self.trusted.anchor
        wanted = (ledger.chain_id, ledger.contract.lower())
        if pinned is None or (pinned.chain_id, pinned.contract.lower()) != wanted:
            raise UndecidedError(
                "trust.json names no log on the contract of the settings; a hub writes it at its start"
            )
        from tweeling.adapters.evm.audit import open_chain_audit

        with open_chain_audit(
            rpc_of(ledger),
            chain_id=ledger.chain_id,
            contract=pinned.contract,
            log_id=bytes.fromhex(pinned.log_id.removeprefix("0x")),
            first_block=ledger.first_block,
        ) as chain:
            yield chain

    def journal(self) -> AbstractContextManager[JournalAudit]:
        """See `Installation`."""
        return open_journal(journal_path(self.settings))


@contextmanager
def audited(
    settings: Settings,
    ask: Callable[[], AbstractContextManager[PointsAudit]],
    *,
    trusted: TrustedLog | None,
    ask_chain: bool,
) -> Iterator[Audited]:
    """Look at what a hub keeps, and change nothing. ask: how a running hub is asked for its points."""

    def found(points: PointsAudit | None, *, running: bool) -> Audited:
        return Audited(settings, trusted, points, running, ask_chain)

    with ExitStack() as closing:
        if not closing.enter_context(at_rest(journal_path(settings))):
            yield found(closing.enter_context(ask()), running=True)
        elif settings.store.kind == "memory":
            yield found(None, running=False)
        else:
            points = points_of(settings, read_only=True)
            closing.callback(points.close)
            yield found(points, running=False)
