from __future__ import annotations

import pytest

from tweeling.cli.main import receipt_name


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("urn:uuid:0a1b-2c", "0a1b-2c"),
        ("urn:x:../../tmp/y", "_.._tmp_y"),
        ("urn:x:/etc/passwd", "_etc_passwd"),
        ("urn:x:.bashrc", "bashrc"),
        ("urn:x:..", "event"),
        ("urn:x:", "event"),
        ("urn:x:a\nb\x1b[31m\\", "a_b__31m_"),
        ("urn:x:" + "a" * 500, "a" * 100),
    ],
)
def test_a_partner_chooses_no_file_outside_the_folder(event: str, name: str) -> None:
    assert receipt_name(event) == f"{name}.receipt.cbor"
