"""The proof vectors of transparency-dev/merkle, most of which must be refused."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import pytest
from support_shared import shared

from tweeling.domain import merkle
from tweeling.errors import VerificationError


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text) if text else b""


def _judge(vector: dict[str, object]) -> None:
    proof = [_bytes(item) for item in vector["proof"] or ()]  # type: ignore[attr-defined]  # JSON
    if "leafIdx" in vector:
        merkle.verify_inclusion(
            index=int(str(vector["leafIdx"])),
            size=int(str(vector["treeSize"])),
            leaf=_bytes(str(vector["leafHash"])),
            proof=proof,
            root=_bytes(str(vector["root"])),
        )
    else:
        merkle.verify_consistency(
            old=int(str(vector["size1"])),
            new=int(str(vector["size2"])),
            old_root=_bytes(str(vector["root1"])),
            new_root=_bytes(str(vector["root2"])),
            proof=proof,
        )


def _vectors() -> list[Path]:
    return sorted(shared("data/vectors/merkle").rglob("*.json"))


def test_every_good_vector_is_accepted_and_every_bad_one_refused_by_name() -> None:
    vectors = _vectors()
    kinds = {path.relative_to(shared("data/vectors/merkle")).parts[0] for path in vectors}
    assert kinds == {"consistency", "inclusion"}, "another family needs another judge"
    verdicts: Counter[tuple[str, bool]] = Counter()
    for path in vectors:
        vector = json.loads(path.read_text())
        verdicts["inclusion" if "leafIdx" in vector else "consistency", vector["wantErr"]] += 1
        if vector["wantErr"]:
            with pytest.raises(VerificationError) as refused:
                _judge(vector)
            assert refused.value.field, path
        else:
            _judge(vector)
    assert verdicts.total() >= 100
    assert len(verdicts) == 4, "good and bad ones of both"


@pytest.mark.parametrize(
    ("old", "new", "old_root", "new_root", "proof", "field"),
    [
        (0, 0, b"don't care 1", b"don't care 1", [], "old"),
        (0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [], "old"),
        (0, 1, merkle.EMPTY_ROOT, bytes(32), [], "old"),
        (1, 1, bytes(32), bytes(32), [bytes(32)], "proof"),
        (1, 1, bytes(32), b"another", [], "new_root"),
        (1, 2, b"short", bytes(32), [bytes(32)], "old_root"),
        (1, 2, bytes(32), b"short", [bytes(32)], "new_root"),
        (2, 1, bytes(32), bytes(32), [], "old"),
    ],
)
def test_cases_of_that_family_which_stand_not_among_ours_are_refused_too(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes], field: str
) -> None:
    with pytest.raises(VerificationError) as refused:
        merkle.verify_consistency(old=old, new=new, old_root=old_root, new_root=new_root, proof=proof)
    assert refused.value.field == field
