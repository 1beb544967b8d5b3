"""What `verify` and `trust` print of files that a stranger wrote."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text
from support_custody import ORIGIN, Bench, shipping, signed
from typer.testing import CliRunner

from tweeling.cli.main import app
from tweeling.cli.verifying import add_trust, list_trust, verify_files
from tweeling.domain import note
from tweeling.domain.epcis import Event
from tweeling.errors import ConfigError
from tweeling.services.custody import Submission
from tweeling.verify import TrustedLog, plain

HOSTILE = "x\x1b[2K\rforged.cbor: valid\n\x85\x7f\x9b\u202e\u2028\u2066[bold]:smile:\U000e0041"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench()
    # A hub of ours refuses such a name, so it is put past its border: the log of another may hold it.
    event = shipping(**{"ex:[/x]": HOSTILE, "ex:\u202e\x1b[31m": "[red]"})
    bench.custody.sequence([Submission(Event(event), signed(event))], token_id="test")
    bench.integrate()
    (tmp_path / "trust.json").write_bytes(bench.trust.encode())
    add_trust(tmp_path / "trust.json", tmp_path / "trust", None)
    (tmp_path / "good.cbor").write_bytes(bench.custody.receipt(shipping()["eventID"]))
    return bench


def _verify(tmp_path: Path, *files: Path, as_json: bool = False) -> tuple[int, str]:
    out = Console(file=io.StringIO(), highlight=False, soft_wrap=True, force_terminal=False)
    code = verify_files(files, tmp_path / "trust", None, as_json=as_json, out=out)
    assert isinstance(out.file, io.StringIO)
    return code, out.file.getvalue()


@pytest.mark.usefixtures("bench")
def test_nothing_in_a_receipt_is_markup_or_reaches_the_terminal_as_a_control(tmp_path: Path) -> None:
    code, text = _verify(tmp_path, tmp_path / "good.cbor")
    assert code == 0
    lines = text.removesuffix("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 1 + len(_answers(tmp_path, tmp_path / "good.cbor")[0]["fields"])
    assert "ex:[/x]" in text
    assert "[bold]:smile:" in text
    assert "ex:\\u202e\\u001b[31m" in text
    assert "; signed by T1 with key " in lines[0]


def _answers(tmp_path: Path, *files: Path) -> list[Any]:
    text = _verify(tmp_path, *files, as_json=True)[1]
    assert all(char == "\n" or " " <= char <= "~" for char in text)
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        answer, at = decoder.raw_decode(text, at)
        found.append(answer)
        at += 1
    return found


@pytest.mark.usefixtures("bench")
def test_the_json_answer_stays_json_and_keeps_every_character(tmp_path: Path) -> None:
    (answer,) = _answers(tmp_path, tmp_path / "good.cbor")
    assert answer["fields"]["ex:[/x]"] == HOSTILE
    assert answer["signed_by"] == "T1"
    assert len(answer["signed_key"]) == 16


@pytest.mark.usefixtures("bench")
def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    odd = tmp_path / "[x]\x1b[2K\n.cbor"
    odd.write_text("no receipt at all\n")
    (tmp_path / "empty").touch()
    (tmp_path / "bad").mkdir()
    files = [tmp_path / "nowhere", tmp_path / "bad", tmp_path / "empty", odd, tmp_path / "good.cbor"]
    code, text = _verify(tmp_path, *files)
    assert code == 3
    assert [answer["verdict"] for answer in _answers(tmp_path, *files)] == [
        "unreadable",
        "unreadable",
        "false",
        "false",
        "valid",
    ]
    for file in files:
        assert plain(str(file)) in text
    assert "[x]\\u001b[2K\\u000a.cbor: DOES NOT VERIFY" in text
    assert _verify(tmp_path, tmp_path / "bad", tmp_path / "good.cbor")[0] == 2
    assert _verify(tmp_path, tmp_path / "empty")[0] == 3


@pytest.mark.usefixtures("bench")
def test_without_trust_nothing_is_decided_and_the_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "trust" / f"{Bench().trust.fingerprint}.json").unlink()
    code, text = _verify(tmp_path, tmp_path / "good.cbor")
    assert code == 4
    assert f"cannot decide: consistent, but log unknown: {ORIGIN}" in text


def test_a_log_whose_name_looks_like_markup_is_pinned_and_listed_as_it_is(tmp_path: Path) -> None:
    trust = TrustedLog.of("[/x][bold]:smile:", bytes(32))
    (tmp_path / "t.json").write_bytes(trust.encode())
    done = CliRunner().invoke(app, ["trust", "add", str(tmp_path / "t.json"), "--trust-store", str(tmp_path / "trust")])
    assert done.exception is None
    assert "trusted: [/x][bold]:smile:\n" in done.output
    (line,) = list_trust(tmp_path / "trust")
    assert isinstance(line, Text)
    assert line.plain.startswith("[/x][bold]:smile:  no chain")
    assert line.plain.splitlines()[2] == f"  vkey {note.verifier_key('[/x][bold]:smile:', bytes(32))}"


@pytest.mark.parametrize("content", [b"", b"text", b"\xff", b"[1]", None])
def test_a_trust_file_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "t.json"
    place.mkdir() if content is None else place.write_bytes(content)
    with pytest.raises(ConfigError, match=r"t\.json"):
        add_trust(place, tmp_path / "trust", None)


def test_what_prints_is_left_as_it_is() -> None:
    assert plain("Gemeente Súdwest-Fryslân 5 € 漢") == "Gemeente Súdwest-Fryslân 5 € 漢"
    assert plain("a\tb\x1b\U000e0041\ud800") == "a\\u0009b\\u001b\\U000e0041\\ud800"
