"""What belongs to a hub wherever its settings put it; what the environment puts elsewhere leads nothing astray."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from support_backup import contents, make, packed
from support_fsck import install

from tweeling import bootstrap, config
from tweeling.adapters.journal_file import JournalFile
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.facts import SqlFacts
from tweeling.domain.backup import MANIFEST
from tweeling.errors import ConfigError
from tweeling.services.confirming import AGAIN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path / "hub")
    return tmp_path / "hub"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    install(tmp_path / "other")
    return tmp_path / "other"


VARIABLES = ("TWEELING_DATA", "tweeling_data", "TWEELING_RECORDS")


@pytest.mark.parametrize("variable", VARIABLES)
def test_no_backup_is_made_of_what_only_the_environment_names(
    folder: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"sqlite:///{other}/records.db" if "RECORDS" in variable else str(other))
    with pytest.raises(ConfigError, match=rf"{variable.upper()} is set in the environment"):
        make(folder, tmp_path / "hub.tar.zst")
    assert not (tmp_path / "hub.tar.zst").exists()


@pytest.mark.parametrize("variable", VARIABLES)
def test_nothing_is_restored_that_the_environment_would_look_for_elsewhere(
    folder: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    make(folder, tmp_path / "hub.tar.zst")
    monkeypatch.setenv(variable, f"sqlite:///{other}/records.db" if "RECORDS" in variable else str(other))
    with pytest.raises(ConfigError, match=rf"{variable.upper()} is set in the environment"):
        bootstrap.restore(tmp_path / "hub.tar.zst", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_hub_that_holds_the_folders_own_journal_is_found_whatever_the_settings_say(
    folder: Path, other: Path, tmp_path: Path
) -> None:
    make(folder, tmp_path / "hub.tar.zst")
    with (folder / "tweeling.toml").open("r+") as settings:
        text = settings.read()
        settings.seek(0)
        settings.write(f'data = "{other}"\n{text}')
    hub = JournalFile(folder / "journal.db")
    try:
        with pytest.raises(ConfigError, match="a hub runs here"):
            bootstrap.restore(tmp_path / "hub.tar.zst", folder, force=True)
    finally:
        hub.close()


def test_the_log_is_held_to_its_chain_beside_the_journal_that_the_settings_name(folder: Path, tmp_path: Path) -> None:
    (folder / "data").mkdir()
    for path in (*folder.glob("journal*"), *folder.glob("records*"), *folder.glob("points*")):
        path.rename(folder / "data" / path.name)
    text = (folder / "tweeling.toml").read_text()
    (folder / "tweeling.toml").write_text(f'data = "data"\n{text}')
    (folder / "copy").mkdir()
    (folder / "copy" / "journal.db").write_bytes(b"somebody's copy")
    make(folder, tmp_path / "hub.tar.zst")
    bootstrap.restore(tmp_path / "hub.tar.zst", tmp_path / "there")
    assert [str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("restored.json")] == [
        "data/restored.json"
    ]


def test_settings_that_do_not_name_the_journal_of_their_backup_are_refused(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "hub.tar.zst")
    files = contents(tmp_path / "hub.tar.zst")
    manifest = json.loads(files[MANIFEST])
    for held in manifest["files"]:
        held["name"] = held["name"].replace("journal.db", "elsewhere/journal.db")
    moved = {name.replace("journal.db", "elsewhere/journal.db"): content for name, content in files.items()}
    made = packed(tmp_path / "moved.tar.zst", {**moved, MANIFEST: json.dumps(manifest).encode()})
    with pytest.raises(ConfigError, match="data: names no folder of the backup that holds a journal"):
        bootstrap.restore(made, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_an_embedded_brokers_users_are_backed_up_wherever_they_are_and_its_messages_nowhere(
    folder: Path, tmp_path: Path
) -> None:
    for place in (folder / "mq", tmp_path / "mq"):
        text = (folder / "tweeling.toml").read_text().split("\n[broker]")[0]
        (folder / "tweeling.toml").write_text(f'{text}\n[broker]\nembedded = true\nfolder = "{place}"\n')
        for name in ("nats.conf", "credentials/hub.json", "jetstream/stream.db"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("{}")
        target = tmp_path / f"{place.parent.name}.tar.zst"
        make(folder, target)
        name = str(place.relative_to(folder)) if place.is_relative_to(folder) else f"elsewhere{place}"
        held = {each.removeprefix(f"{name}/") for each in contents(target) if each.startswith(name)}
        assert held == {"nats.conf", "credentials/hub.json"}
        bootstrap.restore(target, tmp_path / f"{place.parent.name}-there")
        there = config.load(tmp_path / f"{place.parent.name}-there" / "tweeling.toml").broker.folder
        assert (there / "credentials" / "hub.json").is_file()


@pytest.mark.parametrize("name", ["a\nb", "a\\b", os.fsdecode(b"\xff"), "\x1b[31m"])
def test_a_file_whose_name_no_archive_can_hold_is_told_and_left_out(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_text("odd")
    made = make(folder, tmp_path / "hub.tar.zst")
    (left,) = made.manifest.left_out
    assert ascii(name)[1:-1] in left
    assert left.isprintable()
    assert bootstrap.verify_backup(tmp_path / "hub.tar.zst").left_out == [left]


def test_a_log_that_goes_on_under_another_name_owes_its_chain_nothing_of_the_old_one(
    folder: Path, tmp_path: Path
) -> None:
    with closing(open_records(f"sqlite:///{folder / 'records.db'}")) as records:
        for name in (AGAIN, "another"):
            SqlFacts(records).put(name, {"sizes": [5, 8]})
    make(folder, tmp_path / "hub.tar.zst")
    for new_log, owed in ((None, {"sizes": [5, 8]}), ("hub.example/2", None)):
        bootstrap.restore(tmp_path / "hub.tar.zst", tmp_path / "there", force=True, new_log=new_log)
        with closing(open_records(f"sqlite:///{tmp_path / 'there' / 'records.db'}")) as records:
            assert SqlFacts(records).get(AGAIN) == owed
            assert SqlFacts(records).get("another") == {"sizes": [5, 8]}
