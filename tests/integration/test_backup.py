"""A backup holds all that a hub needs to go on, and a restore is that hub, or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from support_backup import contents, make, packed
from support_fsck import found, fsck, install, opened, points, sqlite
from support_ingest import NOW, message, reading, weighing

from tweeling import bootstrap, config
from tweeling.adapters.journal import SqliteJournal
from tweeling.domain.backup import MANIFEST
from tweeling.errors import ConfigError, InvariantError, UnavailableError, VerificationError
from tweeling.ports.journal import NodeEpoch


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped hub, with secrets of all kinds."""
    folder = tmp_path_factory.mktemp("kept") / "hub"
    install(folder)
    for name, text in {
        "secrets/log-key.pem": "a key",
        "secrets/partners/T1.pem": "another",
        "broker/nats.conf": "users",
        "broker/credentials/hub.json": "{}",
        "partners.json": "{}",
        "mqtt-sessions.json": "[]",
        "log/hub.log": "what children say",
        "broker/jetstream/stream.db": "what nodes hold too",
        "chain/state.json": "a ledger",
        "edge/H1.outbox.db": "a gateway's",
        "secrets/login-code": "of a moment",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "hub"
    shutil.copytree(kept, copy)
    return copy


@pytest.fixture
def backup(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "hub.tar.zst"
    make(folder, target)
    return target


def test_a_backup_holds_what_a_hub_needs_and_nothing_of_others(folder: Path, backup: Path) -> None:
    assert set(contents(backup)) == {
        *(MANIFEST, "tweeling.toml", "journal.db", "records.db", "points.duckdb"),
        *("secrets/log-key.pem", "secrets/partners/T1.pem", "partners.json", "trust.json", "mqtt-sessions.json"),
        *("broker/nats.conf", "broker/credentials/hub.json"),
    }
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    assert not (folder / ".backup").exists()


def test_a_restored_hub_is_the_same_and_agrees_in_every_check(folder: Path, backup: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    bootstrap.restore(backup, there)
    code, checks = fsck(there)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert checks == fsck(folder)[1]
    for path in (there / "secrets").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert (there / "secrets/partners/T1.pem").read_text() == "another"
    with opened(there) as hub:
        assert hub.journal.settled(NodeEpoch("H1", "n1", "00000000000000aa")).committed.ranges[0] == (1, 40)
        again = hub.ingest.handle([message({seq: [reading(seq / 100, at=NOW - seq), weighing()] for seq in (1, 2)})])
        assert again.batch is None, "a repeat changes nothing"
        assert hub.ingest.handle([message({99: [reading(), weighing()]})]).batch is not None
        hub.projector.drain()
    assert fsck(there)[0] == 0


def test_paths_of_the_old_folder_and_of_others_lead_into_the_restored_one(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "etc" / "log key.pem"
    outside.parent.mkdir()
    outside.write_text("a key")
    (tmp_path / "etc" / "phrase").write_text("a phrase")
    (tmp_path / "data").mkdir()
    for name in ("journal.db", "points.duckdb", "records.db"):
        (folder / name).rename(tmp_path / "data" / name)
    (folder / "tweeling.toml").write_text(
        f'data = "{tmp_path}/data" # where it is\n[broker]\ncredentials = "{folder}/broker/credentials/hub.json"\n'
        f'[custody]\nkey_file = \'{outside}\'\npassphrase_file = "../etc/phrase"\npartners = "../absent.json"\n'
    )
    make(folder, tmp_path / "hub.tar.zst")
    there = tmp_path / "there"
    bootstrap.restore(tmp_path / "hub.tar.zst", there)
    for gone in (folder, tmp_path / "data", tmp_path / "etc"):
        shutil.rmtree(gone)
    settings = config.load(there / "tweeling.toml")
    assert settings.data.is_relative_to(there)
    assert settings.broker.credentials == there / "broker/credentials/hub.json"
    assert settings.custody.key_file.read_text() == "a key"
    assert settings.custody.key_file.is_relative_to(there)
    assert settings.custody.passphrase_file.read_text() == "a phrase"
    assert "# where it is" in (there / "tweeling.toml").read_text()
    assert settings.custody.partners == there / "../absent.json"
    assert fsck(there)[0] == 0


def test_records_named_by_an_address_are_found_in_the_restored_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "records.db").rename(folder / "facts.sqlite")
    (folder / "tweeling.toml").write_text(f'records = "sqlite:///{folder}/facts.sqlite"\n')
    make(folder, tmp_path / "hub.tar.zst")
    bootstrap.restore(tmp_path / "hub.tar.zst", tmp_path / "there")
    shutil.rmtree(folder)
    assert fsck(tmp_path / "there")[0] == 0


def test_a_backup_is_never_written_over(folder: Path, backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(ConfigError, match=r"exists already\. Name a new file"):
        make(folder, backup)
    assert backup.read_bytes() == before


def test_a_backup_into_the_folder_itself_or_into_none_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lies in the folder that is backed up"):
        make(folder, folder / "hub.tar.zst")
    with pytest.raises(ConfigError, match="no such folder"):
        make(folder, tmp_path / "absent" / "hub.tar.zst")


@pytest.mark.parametrize(
    ("settings", "field", "kept_there"),
    [
        ('records = "postgresql+pg8000://hub:hunter2@127.0.0.1/hub"\n', "records", {"points.duckdb"}),
        ('[store]\nkind = "victoriametrics"\n', "store.kind", {"records.db"}),
    ],
)
def test_what_a_server_keeps_is_left_out_only_where_that_is_said(
    folder: Path, tmp_path: Path, settings: str, field: str, kept_there: set[str]
) -> None:
    (folder / "tweeling.toml").write_text(settings)
    target = tmp_path / "hub.tar.zst"
    with pytest.raises(ConfigError, match=rf"^{field}: .*its own tools, then .* --files-only") as refused:
        make(folder, target)
    assert "hunter2" not in str(refused.value)
    made = make(folder, target, files_only=True)
    assert {"records.db", "points.duckdb"} & set(contents(target)) == kept_there
    assert len(made.manifest.left_out) == 1


def test_a_store_that_lacks_what_the_journal_has_forgotten_is_copied_again_and_then_refused(
    folder: Path, tmp_path: Path
) -> None:
    with opened(folder, trimmed_bytes=0) as hub:
        hub.journal.trim(8)
    points(folder, "UPDATE applied SET through = 7")
    with pytest.raises(UnavailableError, match="forgotten batches that the copy of the points lacks, 3 times"):
        make(folder, tmp_path / "hub.tar.zst")
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_a_store_ahead_of_its_journal_is_no_hub_to_back_up(folder: Path, tmp_path: Path) -> None:
    sqlite(folder / "records.db", "UPDATE applied SET through = 99")
    with pytest.raises(InvariantError, match="the records are at batch 99, the journal ends at 13"):
        make(folder, tmp_path / "hub.tar.zst")


def test_a_folder_that_is_not_empty_is_left_alone(backup: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "letter").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty\. Name an empty folder, or add --force"):
        bootstrap.restore(backup, there)
    assert [path.name for path in there.iterdir()] == ["letter"]


def test_with_force_what_was_there_is_set_aside_whole(folder: Path, backup: Path) -> None:
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for number in (1, 2):
        done = bootstrap.restore(backup, folder, force=True)
        assert done.aside is not None
        if number == 1:
            found_there = {path.relative_to(done.aside): path.read_bytes() for path in done.aside.rglob("*.*")}
            assert before.items() <= {**found_there, Path("secrets/login-code"): b"of a moment"}.items()
        done.aside.rename(done.aside.with_name(f"set-aside-{number}"))
    assert fsck(folder)[0] == 0
    make(folder, folder.parent / "again.tar.zst")
    assert not any(name.startswith("set-aside") for name in contents(folder.parent / "again.tar.zst"))


def test_a_folder_where_a_hub_runs_is_left_alone(folder: Path, backup: Path) -> None:
    with closing(SqliteJournal(folder / "journal.db")), pytest.raises(ConfigError, match=r"a hub runs here\. Stop it"):
        bootstrap.restore(backup, folder, force=True)
    assert fsck(folder)[0] == 0
    assert not list(folder.glob("set-aside*"))


def test_a_backup_of_a_newer_schema_is_refused_with_the_version_to_use(backup: Path, tmp_path: Path) -> None:
    files = contents(backup)
    manifest = json.loads(files[MANIFEST])
    for part in ("journal", "records"):
        changed = manifest | {"schemas": manifest["schemas"] | {part: 99}, "tweeling": "9.1.0"}
        newer = packed(tmp_path / f"{part}.tar.zst", {**files, MANIFEST: json.dumps(changed).encode()})
        with pytest.raises(ConfigError, match=rf"{part} of schema 99, .* Restore it with Tweeling 9\.1\.0"):
            bootstrap.restore(newer, tmp_path / "there")
    other = packed(tmp_path / "f.tar.zst", {**files, MANIFEST: json.dumps(manifest | {"format": 2}).encode()})
    with pytest.raises(ConfigError, match="A newer Tweeling"):
        bootstrap.verify_backup(other)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "a//b", "a\\b", "a\nb", ".", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(backup: Path, tmp_path: Path, name: str) -> None:
    files = contents(backup)
    manifest = json.loads(files[MANIFEST])
    manifest["files"].append({"name": name, "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()})
    wicked = packed(tmp_path / "w.tar.zst", {**files, MANIFEST: json.dumps(manifest).encode(), name: b"x"})
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        bootstrap.restore(wicked, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_an_entry_that_is_no_file_is_refused_and_leaves_nothing(backup: Path, tmp_path: Path, kind: bytes) -> None:
    files = contents(backup)
    manifest = json.loads(files[MANIFEST])
    manifest["files"].insert(0, {"name": "secrets/x", "size": 0, "sha256": hashlib.sha256().hexdigest()})
    odd = tarfile.TarInfo("secrets/x")
    odd.type, odd.linkname = kind, "/etc/passwd"
    wicked = packed(tmp_path / "w.tar.zst", {**files, MANIFEST: json.dumps(manifest).encode()}, second=odd)
    with pytest.raises(VerificationError, match="secrets/x"):
        bootstrap.restore(wicked, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_file_that_is_larger_or_other_than_the_manifest_says_is_refused(backup: Path, tmp_path: Path) -> None:
    files = contents(backup)
    for number, other in enumerate((files["partners.json"] + b" ", b"[]")):
        wicked = packed(tmp_path / f"{number}.tar.zst", {**files, "partners.json": other})
        with pytest.raises(VerificationError, match=r"partners\.json"):
            bootstrap.verify_backup(wicked)
    more = packed(tmp_path / "more.tar.zst", {**files, "zz": b"more"})
    with pytest.raises(VerificationError, match="does not name every file"):
        bootstrap.verify_backup(more)
    fewer = packed(tmp_path / "fewer.tar.zst", {name: files[name] for name in list(files)[:-1]})
    with pytest.raises(VerificationError, match="ends before this file"):
        bootstrap.verify_backup(fewer)


def test_a_header_that_would_fill_the_memory_is_not_read(backup: Path, tmp_path: Path) -> None:
    long = tarfile.TarInfo("x" * 200_000)
    wicked = packed(tmp_path / "w.tar.zst", contents(backup), second=long)
    with pytest.raises(VerificationError, match="a header is too long"):
        bootstrap.verify_backup(wicked)


def test_a_backup_that_was_cut_or_changed_anywhere_is_refused(backup: Path, tmp_path: Path) -> None:
    whole = backup.read_bytes()
    assert bootstrap.verify_backup(backup).through == 13
    damaged = tmp_path / "damaged.tar.zst"
    for at in range(0, len(whole), len(whole) // 40):
        for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]):
            damaged.write_bytes(content)
            with pytest.raises((VerificationError, ConfigError)):
                bootstrap.restore(damaged, tmp_path / "there")
            assert not (tmp_path / "there" / "tweeling.toml").exists()


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
def test_a_file_that_is_no_backup_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(VerificationError, match="is damaged or no backup"):
        bootstrap.verify_backup(tmp_path / "x")
    with pytest.raises(ConfigError, match=r"no such file\. Name what"):
        bootstrap.verify_backup(tmp_path / "absent")


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    other = packed(tmp_path / "other.tar.zst", {"letter": b"mine"})
    with pytest.raises(ConfigError, match=r"does not begin with manifest\.json. It is no backup"):
        bootstrap.verify_backup(other)


def test_a_link_to_a_folder_is_told_and_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "shelf").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    (folder / "partners.json").rename(tmp_path / "partners.json")
    (folder / "partners.json").symlink_to(tmp_path / "partners.json")
    made = make(folder, tmp_path / "hub.tar.zst")
    assert made.manifest.left_out == ["pipe: a link to a folder, or no file", "shelf: a link to a folder, or no file"]
    assert contents(tmp_path / "hub.tar.zst")["partners.json"] == b"{}"


def test_two_backups_at_once_are_one_too_many(folder: Path, tmp_path: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is being backed up already"):
            make(folder, tmp_path / "hub.tar.zst")
    finally:
        os.close(handle)


def test_what_killed_backups_left_is_removed_by_the_next_one(folder: Path, tmp_path: Path) -> None:
    left = tmp_path / ".old.tar.zst.tweeling-partial"
    (left / "plain").mkdir(parents=True)
    (folder / ".backup").mkdir()
    (folder / ".backup" / "points.duckdb").write_bytes(b"half")
    make(folder, tmp_path / "hub.tar.zst")
    assert not left.exists()
    assert not (folder / ".backup").exists()
    bootstrap.restore(tmp_path / "hub.tar.zst", tmp_path / "there")
    assert fsck(tmp_path / "there")[0] == 0
