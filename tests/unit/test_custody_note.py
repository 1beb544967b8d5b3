from __future__ import annotations

import base64

import pytest
from support_custody import ORIGIN, public_key, signer

from tweeling.domain import note
from tweeling.errors import VerificationError

# The example key and note of the Go package golang.org/x/mod/sumdb/note, where the format comes from.
PETER = ("PeterNeumann", base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:])
PETER_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
HEAD = note.TreeHead(ORIGIN, 5, b"\x07" * 32)


def _signed() -> str:
    return note.sign(note.checkpoint_text(HEAD), signer())


def test_a_note_of_the_reference_implementation_verifies() -> None:
    name, public = PETER
    assert note.verifier_key(name, public) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    note.verify(note.parse(PETER_NOTE), name=name, public=public)


def test_a_checkpoint_says_what_was_signed() -> None:
    parsed = note.parse(_signed())
    note.verify(parsed, name=ORIGIN, public=public_key("log"))
    assert note.tree_head(parsed) == HEAD
    assert parsed.text == f"{ORIGIN}\n5\n{base64.b64encode(HEAD.root).decode()}\n"


def test_signatures_of_others_are_ignored_and_a_false_one_of_ours_is_not() -> None:
    witness = _signed() + note.sign("x\n", signer("witness", "witness.example")).split("\n\n")[1]
    note.verify(note.parse(witness), name=ORIGIN, public=public_key("log"))
    with pytest.raises(VerificationError, match=r"checkpoint\.signature"):
        note.verify(note.parse(_signed()), name=ORIGIN, public=public_key("other"))
    forged = _signed().replace(f"{ORIGIN}\n5\n", f"{ORIGIN}\n6\n")
    with pytest.raises(VerificationError, match=r"checkpoint\.signature"):
        note.verify(note.parse(forged), name=ORIGIN, public=public_key("log"))


def test_sixteen_large_signatures_of_witnesses_are_taken() -> None:
    lines = [
        f"\u2014 witness-{number}.example {base64.b64encode(bytes([number]) * 4900).decode()}\n" for number in range(16)
    ]
    parsed = note.parse(_signed() + "".join(lines))
    note.verify(parsed, name=ORIGIN, public=public_key("log"))
    assert note.tree_head(parsed) == HEAD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n5\n", "\n05\n"),
        ("\n5\n", "\n-5\n"),
        ("\n5\n", "\n\u0665\n"),
        (ORIGIN + "\n5", "a b\n5"),
        ("BwcH", "Bw\tH"),
        ("BwcH", "Bw-H"),
        ("Bwc=\n", "Bwc\n"),
        ("Bwc=\n", "Bwd=\n"),
        ("Bwc=\n", "Bwc=\nmore\n"),
        ("—", "-"),
        ("\n\n", "\n"),
    ],
)
def test_any_other_form_of_a_checkpoint_is_refused(old: str, new: str) -> None:
    text = _signed()
    assert old in text
    with pytest.raises(VerificationError) as refused:
        note.tree_head(note.parse(text.replace(old, new, 1)))
    assert refused.value.field.startswith("checkpoint")


def test_a_note_without_end_or_signature_is_refused() -> None:
    for text in ("", "\n\n", "text\n", "text\n\n", _signed()[:-1], _signed() + "\n", "x" * note.MAX_BYTES + _signed()):
        with pytest.raises(VerificationError):
            note.parse(text)
