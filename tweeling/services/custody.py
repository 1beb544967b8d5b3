"""The custody log: capture, sequence, integrate, and write receipts.

An event is durable in the store, as an entry with its place, before `capture` returns; a checkpoint covers it at most
a second later; what the chain says of that is the anchoring service's business.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from tweeling.domain import cose, disclosure, epcis, merkle, note, receipt, signature
from tweeling.domain.disclosure import PartnerSignature, Provenance
from tweeling.domain.entry import RandomBytes
from tweeling.domain.log import Anchor, Checkpoint, Disclosure
from tweeling.domain.now import EventNow, PartNow, ProofState
from tweeling.domain.partners import Partners
from tweeling.errors import InvariantError, RejectedError, UnavailableError, VerificationError
from tweeling.ports.clock import Clock
from tweeling.ports.custody_api import Captured, DetachedSignature
from tweeling.ports.logstore import Kept, LogStore
from tweeling.services.gate import Gate
from tweeling.services.sequencing import Admitted, Sequencer
from tweeling.verify.trust import TrustedContract, TrustedLog

log = logging.getLogger("tweeling.custody")

_CHECKPOINT_MS = 1000


class Submission(NamedTuple):
    """An event, and its submitter's signature over its canonical bytes where there is one."""

    event: epcis.Event
    signature: DetachedSignature | None = None


class Custody:
    """One log of one operator. Safe from any thread; one process writes."""

    def __init__(
        self,
        store: LogStore,
        signer: note.Signer,
        *,
        clock: Clock,
        random: RandomBytes,
        partners: Partners | None = None,
        gate: Gate | None = None,
        pace_s: float = 1.0,
    ) -> None:
        """Open a log. clock: real time, for the log states when it took an event in. random: unguessable bytes.

        gate: says whether the log may grow; without one it always may. pace_s: how long `run` rests between two
        checkpoints.
        """
        self._pace_s = pace_s
        self._store = store
        self.signer = signer
        self._clock = clock
        self._partners = partners or Partners()
        self._gate = gate or Gate.open()
        self._sequencer = Sequencer(store, random=random, gate=self._gate)
        self._signing = threading.Lock()
        self._grown = threading.Event()
        self._listeners: list[Callable[[], object]] = []
        self._trouble = ""

    def listen(self, listener: Callable[[], object]) -> None:
        """Call back after each new checkpoint."""
        self._listeners.append(listener)

    # -------------------------------------------------------------- capture

    def capture(self, body: bytes, *, token_id: str, signature: DetachedSignature | None = None) -> Captured:
        """Capture one event durably. Raises InvariantError for what is none, AlreadyCapturedError for a repeat."""
        events = epcis.parse(body)
        if len(events) != 1:
            raise InvariantError(f"{len(events)} events, one is captured here", field="epcisBody")
        return self.sequence([Submission(events[0], signature)], token_id=token_id)[0]

    def sequence(self, submissions: Sequence[Submission], *, token_id: str) -> list[Captured]:
        """Put events in the log in one transaction, all or none.

        token_id: names the token that brought the events in; a valid signature names the partner instead.
        Raises UnavailableError while the log may not grow.
        """
        captured = self._sequencer.sequence([self._admit(item, token_id) for item in submissions])
        self._grown.set()
        return captured

    def _admit(self, item: Submission, token_id: str) -> Admitted:
        now = self._clock.now_ms()
        if (size := len(item.event.canonical)) > epcis.MAX_EVENT_BYTES:
            raise InvariantError(
                f"{size} bytes in canonical form, at most {epcis.MAX_EVENT_BYTES}; split the event",
                field=f"event {item.event.id}",
            )
        if (given := item.signature) is None:
            return Admitted(item.event, Provenance(now, token_id))
        algorithm, key = self._partners.key(given.key_id, given.algorithm)
        try:
            signature.verify(algorithm, key, given.signature, item.event.canonical, field="signature")
        except VerificationError as exc:
            raise InvariantError("not this key's over the event's canonical bytes", field="signature") from exc
        return Admitted(item.event, Provenance(now, given.key_id, PartnerSignature(algorithm, key, given.signature)))

    # -------------------------------------------------------------- integrate

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint; a new one is signed if the log has grown and the last is a second old.

        Raises VerificationError rather than sign a tree that does not extend the last one signed.
        """
        with self._signing:
            last = self._store.checkpoint()
            edge = self._sequencer.edge()
            now = self._clock.now_ms()
            if edge.size <= (last.size if last else 0) or (last and 0 <= now - last.time_ms < _CHECKPOINT_MS):
                return last
            if self._gate.why():
                return last
            root = edge.root()
            if last is not None:
                self._check_extends(last, edge.size, root)
            text = note.checkpoint_text(note.TreeHead(self.signer.name, edge.size, root))
            signed = Checkpoint(edge.size, root, note.sign(text, self.signer), now)
            self._store.save_checkpoint(signed)
        for listener in self._listeners:
            listener()
        return signed

    def run(self, stop: threading.Event) -> None:
        """Sign checkpoints as events come in, until stopped; a log that contradicts itself ends it, loudly."""
        while not stop.is_set():
            self._grown.wait(self._pace_s)
            self._grown.clear()
            try:
                self.checkpoint()
                if self._trouble:
                    log.info("log.back")
                self._trouble = ""
            except UnavailableError as exc:
                if not self._trouble:
                    log.warning("log.lost", extra={"reason": str(exc)})
                self._trouble = str(exc)
            except (VerificationError, RejectedError) as exc:
                self._trouble = str(exc)
                log.critical("log.refused", extra={"reason": str(exc)})
                raise
            # One a second is what partners are promised, and what the store is asked for.
            stop.wait(self._pace_s)

    def _check_extends(self, last: Checkpoint, size: int, root: bytes) -> None:
        proof = merkle.consistency_proof(last.size, size, self._store.nodes)
        merkle.verify_consistency(old=last.size, new=size, old_root=last.root, new_root=root, proof=proof)

    # -------------------------------------------------------------- show

    def receipt(self, event_id: str, *, redact: Collection[str] = (), lot_keys: bool = False) -> bytes:
        """Write the receipt of an event, by its eventID or the hex of its hash.

        redact: names of fields to keep back; whatever would betray them goes too. lot_keys: hand over the secrets by
        which the reader can follow the event's lots through the whole log. UnavailableError: ask again in a second.
        """
        index = self._store.find(event_id)
        if index is None:
            raise InvariantError("no such event in the log", field=event_id[:200])
        sequenced = self._store.entries(index, index + 1)[0]
        _, fields = self._store.event(index)
        shown = disclosure.redacted(fields, redact, epcis.touched)
        checkpoint, anchor = self._covering(index)
        path = merkle.inclusion_proof(index, checkpoint.size, self._store.nodes)
        leaf = merkle.leaf_hash(sequenced.entry)
        merkle.verify_inclusion(index=index, size=checkpoint.size, leaf=leaf, proof=path, root=checkpoint.root)
        return receipt.issue(
            self.signer,
            entry=sequenced.entry,
            disclosures=shown,
            cose=cose.sign(self.signer, size=checkpoint.size, index=index, path=path, root=checkpoint.root),
            checkpoint=checkpoint.note,
            anchor=anchor and _place(anchor),
            lot_keys=self._lot_keys(shown) if lot_keys else (),
        ).encode()

    def events(self, limit: int = 20) -> list[EventNow]:
        """The latest events, newest first, with how far each has come."""
        anchored = self._store.anchor()
        return [self._event_now(kept, anchored) for kept in self._store.newest(limit)]

    def trust_file(self, contract: TrustedContract | None = None) -> TrustedLog:
        """What a partner has to pin: the log's name, its key, and the contract that holds its head."""
        return TrustedLog.of(self.signer.name, self.signer.public, contract)

    def counts(self) -> Mapping[str, int]:
        """Totals: events in the log, and those under an anchored checkpoint."""
        anchor = self._store.anchor()
        return {"events": self._store.size(), "anchored": anchor.size if anchor else 0}

    def anchored_ms(self) -> int | None:
        """When the newest checkpoint that the chain holds was signed; None before the first."""
        anchor = self._store.anchor()
        signed = self._store.checkpoint(anchor.size) if anchor else None
        return signed.time_ms if signed else None

    def health(self) -> PartNow:
        """How the log is."""
        try:
            text = f"{self.signer.name}, {self._store.size()} entries"
            self._gate.check()
        except UnavailableError as exc:
            return PartNow("log", ok=False, detail=str(exc))
        return PartNow("log", not self._trouble, self._trouble or text)

    def _covering(self, index: int) -> tuple[Checkpoint, Anchor | None]:
        """The newest anchored checkpoint over an entry, else the newest checkpoint."""
        anchor = self._store.anchor()
        if anchor is not None and anchor.size > index and (known := self._store.checkpoint(anchor.size)) is not None:
            return known, anchor
        newest = self.checkpoint()
        if newest is None or newest.size <= index:
            raise UnavailableError(f"entry {index} is under no checkpoint yet; ask again in a second")
        return newest, None

    def _lot_keys(self, shown: Sequence[Disclosure]) -> list[tuple[int, bytes]]:
        lots = {
            int(item.name.removeprefix(disclosure.LOT)): str(json.loads(item.value)["id"])
            for item in shown
            if item.name.startswith(disclosure.LOT)
        }
        links = self._store.lots(list(lots.values()))
        return [(number, links[lot].key) for number, lot in lots.items()]

    def _event_now(self, kept: Kept, anchored: Anchor | None) -> EventNow:
        index = kept.sequenced.index
        covering = self._store.anchor(covering=index) if anchored and anchored.size > index else None
        summary = epcis.summarise(json.loads(kept.event))
        return EventNow(
            index=index,
            event_id=kept.sequenced.event_id,
            type=summary.type,
            biz_step=summary.biz_step,
            time_ms=summary.time_ms,
            lots=summary.lots,
            mass_g=summary.mass_g,
            submitter=kept.submitter,
            state=ProofState.ANCHORED if covering else ProofState.PENDING,
            block=covering.block if covering else None,
        )


def _place(anchor: Anchor) -> receipt.AnchorPlace:
    contract = bytes.fromhex(anchor.contract.removeprefix("0x"))
    return receipt.AnchorPlace(anchor.chain_id, contract, anchor.block, anchor.transaction)
