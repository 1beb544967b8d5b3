from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

import cbor2
import pytest
from support_custody import LOG_ID, LOT, ORIGIN, Bench, private_key, public_key, shipping, signer

from tweeling.domain import cose, entry, merkle, note, receipt
from tweeling.domain.canonical import cbor
from tweeling.domain.disclosure import b64, key_hash
from tweeling.domain.log import Anchor, Disclosure
from tweeling.errors import UndecidedError, VerificationError
from tweeling.services.anchoring import Anchoring, Batching
from tweeling.verify import TrustedContract, TrustedLog, check_anchor, verify

EVENT = shipping(3)


@cache
def _bench() -> Bench:
    bench = Bench()
    bench.capture(*(shipping(number) for number in range(1, 12)))
    bench.integrate()
    Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=Batching(max_entries=1)).step()
    return bench


def _receipt(*redact: str, lot_keys: bool = False) -> bytes:
    return _bench().custody.receipt(EVENT["eventID"], redact=redact, lot_keys=lot_keys)


def _refused(data: bytes, *, trust: TrustedLog | None = None) -> str:
    with pytest.raises(VerificationError) as refused:
        verify(data, [trust or _bench().trust])
    assert refused.value.field
    return refused.value.field


def _changed(key: int, value: Any) -> bytes:
    return cbor(cbor2.loads(_receipt()) | {key: value})


def _reissued(change: Callable[[receipt.Receipt], receipt.Receipt], key: str = "log") -> bytes:
    """A receipt changed and signed again, as only the holder of the log's key could."""
    read = change(receipt.read(_receipt()))
    return receipt.issue(
        signer(key),
        entry=read.entry,
        disclosures=read.disclosures,
        cose=read.cose,
        checkpoint=read.checkpoint,
        anchor=read.anchor,
        lot_keys=read.lot_keys,
    ).encode()


def test_a_full_receipt_shows_the_event_who_signed_it_and_where_it_is_anchored() -> None:
    verdict = verify(_receipt(), [_bench().trust])
    assert verdict.event == EVENT
    assert verdict.signed_by == "T1"
    assert (verdict.index, verdict.size, verdict.type) == (2, 11, "epcis/1")
    assert verdict.fields["/captured"] == 1_795_000_000_000
    assert verdict.words == (
        f"valid as of size 11 of {ORIGIN}, later changes not excluded; by the log's word anchored in block 1 of chain"
        f" 31337, contract {_bench().ledger.contract}"
    )


def test_a_redacted_receipt_shows_what_it_shows_and_claims_no_more() -> None:
    verdict = verify(_receipt("sourceList", "quantityList"), [_bench().trust])
    assert verdict.event is None
    assert verdict.signed_by is None
    assert verdict.fields["bizStep"] == "shipping"
    assert "sourceList" not in verdict.fields


def test_a_receipt_without_anchor_says_so() -> None:
    bench = Bench()
    bench.capture(shipping())
    bench.integrate()
    verdict = verify(bench.custody.receipt(shipping()["eventID"]), [bench.trust])
    assert verdict.anchor is None
    assert verdict.words.endswith("not anchored yet")


@pytest.mark.parametrize(
    "masks", [(0x01, 0x80), pytest.param(tuple(range(1, 256)), marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
@pytest.mark.parametrize("redact", [(), ("sourceList", "quantityList")])
def test_every_change_of_a_single_byte_is_found_and_named(redact: tuple[str, ...], masks: tuple[int, ...]) -> None:
    data, trust = _receipt(*redact, lot_keys=True), [_bench().trust]
    verify(data, trust)
    for at in range(len(data)):
        for mask in masks:
            changed = bytearray(data)
            changed[at] ^= mask
            with pytest.raises(VerificationError) as refused:
                verify(bytes(changed), trust)
            assert refused.value.field


def test_a_receipt_cut_short_or_long_is_none() -> None:
    data = _receipt()
    for other in [*(data[:length] for length in range(0, len(data), 37)), data + b"\x00", data + data]:
        _refused(other)


def test_what_a_later_type_of_entry_says_is_not_judged_by_today_s_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    with monkeypatch.context() as later:
        later.setattr(entry, "EPCIS", "epcis/2")
        bench.capture(EVENT)
    bench.integrate()
    data = bench.custody.receipt(EVENT["eventID"])
    with pytest.raises(UndecidedError, match="type epcis/2 says is for a newer verifier"):
        verify(data, [bench.trust])
    with pytest.raises(VerificationError):  # what is false is false for any verifier
        verify(data.replace(b"epcis/2", b"epcis/1"), [bench.trust])


def test_a_receipt_of_an_unknown_log_is_consistent_and_undecided() -> None:
    with pytest.raises(UndecidedError, match="log unknown"):
        verify(_receipt(), [])
    other_key = TrustedLog.of(ORIGIN, public_key("other"))
    with pytest.raises(UndecidedError, match="key trusted for it"):
        verify(_receipt(), [other_key])


def test_a_perfect_forged_hub_never_verifies() -> None:
    forger = Bench(key="forger")
    forger.capture(*(shipping(number) for number in range(1, 12)))
    forger.integrate()
    data = forger.custody.receipt(EVENT["eventID"])
    verify(data, [forger.trust])
    with pytest.raises(UndecidedError):
        verify(data, [_bench().trust])


def test_a_holder_may_leave_out_disclosures_and_lot_keys_and_nothing_else() -> None:
    body = cbor2.loads(_receipt(lot_keys=True))
    for at in range(len(body[3])):
        verify(
            cbor(body | {3: body[3][:at] + body[3][at + 1 :]} if body[3][at][1] != "/lot/1" else body), [_bench().trust]
        )
    verify(cbor({key: value for key, value in body.items() if key != 8}), [_bench().trust])
    for key in range(1, 8):
        assert _refused(cbor({other: value for other, value in body.items() if other != key})) == "receipt"
    assert _refused(_changed(6, None)) == "signature"


def test_fields_of_another_receipt_do_not_fit() -> None:
    other = receipt.read(_bench().custody.receipt(shipping(4)["eventID"]))
    mine = receipt.read(_receipt())
    assert _refused(replace(mine, disclosures=other.disclosures).encode()) in {item.name for item in other.disclosures}
    assert _refused(replace(mine, entry=other.entry, disclosures=()).encode()) == "inclusion"
    assert _refused(replace(mine, cose=other.cose).encode()) == "inclusion"
    assert _refused(replace(mine, entry=other.entry, cose=other.cose, disclosures=()).encode()) == "signature"


def test_each_part_must_be_signed_by_the_trusted_key() -> None:
    assert _refused(_reissued(lambda read: read, key="other")) == "signature"
    head = note.tree_head(note.parse(receipt.read(_receipt()).checkpoint))
    path = merkle.inclusion_proof(2, 11, _bench().store.nodes)

    def another_cose(read: receipt.Receipt) -> receipt.Receipt:
        forged = replace(signer(), sign=private_key("other").sign)
        return replace(read, cose=cose.sign(forged, size=11, index=2, path=path, root=head.root))

    def another_note(read: receipt.Receipt) -> receipt.Receipt:
        forged = replace(signer(), sign=private_key("other").sign)
        return replace(read, checkpoint=note.sign(note.checkpoint_text(head), forged))

    def another_origin(read: receipt.Receipt) -> receipt.Receipt:
        other = signer(origin="other.example")
        return replace(read, cose=cose.sign(other, size=11, index=2, path=path, root=head.root))

    def another_size(read: receipt.Receipt) -> receipt.Receipt:
        return replace(read, checkpoint=note.sign(note.checkpoint_text(head._replace(size=12)), signer()))

    assert _refused(_reissued(another_cose)) == "cose.signature"
    assert _refused(_reissued(another_note)) == "checkpoint.signature"
    assert _refused(_reissued(another_origin)) == "cose.origin"
    assert _refused(_reissued(another_size)) == "cose.size"


def test_of_an_anchor_elsewhere_than_pinned_nothing_is_decided() -> None:
    place = receipt.read(_receipt()).anchor
    assert place is not None
    for change in (place._replace(chain_id=1), place._replace(contract=bytes(20))):
        told = f"contract 0x{change.contract.hex()} on chain {change.chain_id}; pinned for {ORIGIN} is .* --rpc follows"
        elsewhere = _reissued(lambda read, to=change: replace(read, anchor=to))  # type: ignore[misc]  # a bound name
        with pytest.raises(UndecidedError, match=told):
            verify(elsewhere, [_bench().trust])
        with pytest.raises(UndecidedError, match=r"by its fingerprint$"):
            verify(elsewhere, [_bench().trust], lambda _: [])


def test_a_log_that_moved_may_be_pinned_once_for_each_of_its_contracts() -> None:
    old = _bench().trust
    assert old.anchor is not None
    new = old.model_copy(update={"anchor": old.anchor.model_copy(update={"chain_id": 5})})
    bare = old.model_copy(update={"anchor": None})
    elsewhere = _reissued(lambda read: replace(read, anchor=read.anchor and read.anchor._replace(chain_id=5)))
    for pinned in ([old, new], [new, bare, old]):
        assert verify(_receipt(), pinned).log == old
        assert verify(elsewhere, pinned).log == new

    def after(log: TrustedLog) -> list[TrustedContract]:
        if log != old:
            raise UndecidedError("of another chain")
        assert new.anchor is not None
        return [new.anchor]

    other = old.model_copy(update={"anchor": old.anchor.model_copy(update={"chain_id": 7})})
    assert verify(elsewhere, [other, old], after).log == new, "the second leads there"
    with pytest.raises(UndecidedError, match="of another chain"):
        verify(elsewhere, [other], after)
    with pytest.raises(UndecidedError, match="anchored in contract"):
        verify(elsewhere, [bare, old])


def _log_of_one(
    *fields: Disclosure, links: tuple[bytes, ...] = (), lot_keys: tuple[tuple[int, bytes], ...] = ()
) -> bytes:
    """The receipt of a log whose operator commits to whatever it likes."""
    sealed = entry.seal(entry.EPCIS, [*map(entry.digest, fields), *links], Random(3).randbytes)
    root = merkle.leaf_hash(sealed)
    return receipt.issue(
        signer(),
        entry=sealed,
        disclosures=fields,
        cose=cose.sign(signer(), size=1, index=0, path=[], root=root),
        checkpoint=note.sign(note.checkpoint_text(note.TreeHead(ORIGIN, 1, root)), signer()),
        anchor=None,
        lot_keys=lot_keys,
    ).encode()


def _field(name: str, value: str) -> Disclosure:
    return Disclosure(name.encode().ljust(16, b".")[:16], name, value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ([("a", "1"), ("/jcs", '{"members":1,"sha256":"00"}')], "/jcs"),
        ([("a", "1"), ("/jcs", '"00"')], "/jcs"),
        ([("a", "1.0")], "a"),
        ([("a", "{")], "a"),
        ([("a", '{"b":1,"a":2}')], "a"),
        ([("a", "12345678901234567890")], "a"),
    ],
)
def test_what_the_log_itself_committed_to_must_agree(fields: list[tuple[str, str]], named: str) -> None:
    assert _refused(_log_of_one(*(_field(*item) for item in fields))) == named


def test_a_partner_s_signature_is_checked_where_the_whole_event_is_shown() -> None:
    members = _field("a", "1")
    digest = sha256(b'{"a":1}').hexdigest()
    whole = _field("/jcs", f'{{"members":1,"sha256":"{digest}"}}')
    by = _field("/submitter", '{"by":"T1","signed":true}')

    def signature(message: bytes) -> Disclosure:
        made = private_key("T1").sign(message)
        return _field("/signature", f'{{"alg":"Ed25519","key":"{b64(public_key("T1"))}","sig":"{b64(made)}"}}')

    assert verify(_log_of_one(members, whole, by, signature(b'{"a":1}')), [_bench().trust]).signed_by == "T1"
    assert _refused(_log_of_one(members, whole, by, signature(b'{"a":2}'))) == "/signature"
    alone = verify(_log_of_one(members, whole, signature(b'{"a":1}')), [_bench().trust])
    assert (alone.signed_by, alone.signed_key) == (None, public_key("T1"))
    assert _refused(_log_of_one(members, whole, signature(b'{"a":2}'))) == "/signature"
    assert _refused(_log_of_one(members, _field("/submitter", '{"by":"T1"}'))) == "/submitter"
    unsigned = _field("/submitter", '{"by":"cli","signed":false}')
    assert _refused(_log_of_one(members, whole, unsigned, signature(b'{"a":1}'))) == "/signature"


def _words(*leave_out: str) -> str:
    read = receipt.read(_receipt())
    shown = tuple(item for item in read.disclosures if item.name not in leave_out)
    return verify(replace(read, disclosures=shown).encode(), [_bench().trust]).signed


def test_the_words_on_the_signature_say_no_more_and_no_less_than_is_known() -> None:
    key = sha256(public_key("T1")).hexdigest()[:16]
    assert _words() == f"signed by T1 with key {key} (the log's word for the name)"
    assert _words("/signature") == "the log says T1 signed it; the signature is not shown"
    assert _words("bizStep") == "the log says T1 signed it; the event is not shown whole, so nobody can check"
    assert _words("/submitter") == f"signed with key {key}; whose it is, is not shown"
    assert _words("/submitter", "/signature") == "who brought it in is not shown"
    cli = verify(_log_of_one(_field("/submitter", '{"by":"cli","signed":false}')), [_bench().trust])
    assert cli.signed == "not signed: brought in by cli"
    sly = verify(
        _log_of_one(_field("/submitter", '{"by":"T1, whose key was checked","signed":true}')), [_bench().trust]
    )
    assert sly.signed == 'the log says "T1, whose key was checked" signed it; the signature is not shown'


def _lot(number: int, key: bytes, previous: str = "null") -> Disclosure:
    return _field(f"/lot/{number}", f'{{"id":"{LOT}{number}","key":"{b64(key_hash(key))}","previous":{previous}}}')


def test_the_keys_of_two_lots_that_are_new_in_one_event_cannot_be_swapped() -> None:
    one, two = {"epcClass": "urn:lot:a"}, {"epcClass": "urn:lot:b"}
    bench = Bench()
    bench.capture(shipping(quantityList=[one, two]))
    bench.integrate()
    read = receipt.read(bench.custody.receipt(shipping()["eventID"], lot_keys=True))
    verify(read.encode(), [bench.trust])
    (_, first), (_, second) = read.lot_keys
    assert _refused(replace(read, lot_keys=((1, second), (2, first))).encode(), trust=bench.trust) == "lot_keys"


@pytest.mark.parametrize("previous", ['""', '"AAAA"', f'"{b64(bytes(32))}="', f'"{"A" * 42}B"', '"!"', "1"])
def test_what_precedes_a_lot_is_one_hash_in_one_form_or_nothing(previous: str) -> None:
    key = b"k" * 32
    for made in (None, bytes(32)):
        links = (entry.link(key, made),)
        assert _refused(_log_of_one(_lot(1, key, previous), links=links, lot_keys=((1, key),))) == "/lot/1"


def test_a_receipt_with_more_disclosures_than_an_entry_can_hold_is_refused() -> None:
    many = [[bytes(16), f"{number:05}", "1"] for number in range(entry.MAX_COMMITMENTS + 1)]
    assert _refused(_changed(3, many)) == "disclosures"
    keys = [[number, bytes(32)] for number in range(entry.MAX_COMMITMENTS + 1)]
    assert _refused(_changed(8, keys)) == "lot_keys"
    assert _refused(bytes(receipt.MAX_BYTES + 1)) == "receipt"


def test_an_origin_that_a_terminal_would_act_on_is_none() -> None:
    with pytest.raises(VerificationError) as refused:
        note.tree_head(note.Note(f"a\u202eb\n1\n{'A' * 43}=\n", ()))
    assert refused.value.field == "checkpoint.origin"


def test_a_lot_s_key_must_make_the_link_that_stands_in_the_entry() -> None:
    key = b"k" * 32
    lot = _lot(1, key)
    good = _log_of_one(lot, links=(entry.link(key, None),), lot_keys=((1, key),))
    verify(good, [_bench().trust])
    assert _refused(_log_of_one(lot, links=(entry.link(key, None),), lot_keys=((1, b"x" * 32),))) == "lot_keys"
    assert _refused(_log_of_one(lot, links=(entry.link(key, b"l" * 32),), lot_keys=((1, key),))) == "lot_keys"
    assert _refused(_log_of_one(lot, links=(entry.link(key, None),), lot_keys=((2, key),))) == "lot_keys"


def test_an_anchor_is_checked_on_the_chain_by_whoever_can_read_it() -> None:
    bench = _bench()
    verdict = verify(_receipt(), [bench.trust])

    def read(_: TrustedLog, size: int, block: int) -> Anchor | None:
        assert block == 1, "where the receipt says it is"
        return bench.ledger.find(size)

    checked = check_anchor(verdict, read)
    assert checked.checked
    assert "; anchored in block 1" in checked.words
    true = bench.ledger.find(11)
    assert true is not None
    for answer, field in (
        (None, "anchor"),
        (true._replace(root=bytes(32)), "anchor.root"),
        (true._replace(chain_id=5), "anchor.chain_id"),
        (true._replace(contract="0x" + "00" * 20), "anchor.contract"),
        (true._replace(log_id=LOG_ID[::-1]), "anchor.log_id"),
    ):
        with pytest.raises(VerificationError) as refused:
            check_anchor(verdict, lambda _log, _size, _block, found=answer: found)  # type: ignore[misc]  # a bound name
        assert refused.value.field == field
    moved = check_anchor(verdict, lambda _log, _size, _block: true._replace(block=9))
    assert "; anchored in block 9 of" in moved.words


def test_where_the_chain_has_nothing_to_say_nothing_is_decided() -> None:
    bench = Bench()
    bench.capture(shipping())
    bench.integrate()
    pending = verify(bench.custody.receipt(shipping()["eventID"]), [bench.trust])
    with pytest.raises(UndecidedError, match="not anchored"):
        check_anchor(pending, lambda _log, _size, _block: None)
    unpinned = verify(_receipt(), [bench.custody.trust_file()])
    with pytest.raises(UndecidedError, match="no contract"):
        check_anchor(unpinned, lambda _log, _size, _block: None)
