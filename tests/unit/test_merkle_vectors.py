"""The proof vectors of transparency-dev/merkle, most of which must be refused."""

from __future__ import annotations

import base64
import json
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
    assert len(vectors) >= 100
    for path in vectors:
        vector = json.loads(path.read_text())
        if vector["wantErr"]:
            with pytest.raises(VerificationError) as refused:
                _judge(vector)
            assert refused.value.field, path
        else:
            _judge(vector)
