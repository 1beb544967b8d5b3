from __future__ import annotations

from pathlib import Path

import pytest

from tweeling.errors import ConfigError
from tweeling_edge import config
from tweeling_edge.__main__ import main
from tweeling_edge.settings import credentials

GOOD = 'hub = "H1"\nnode = "gw1"\n[broker]\n[outbox]\npath = "o.sqlite3"\n'


def load(folder: Path, text: str) -> config.Config:
    path = folder / "edge.toml"
    path.write_text(text)
    return config.load(path)


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).outbox.path == tmp_path / "o.sqlite3"


@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        (GOOD.replace('node = "gw1"\n', ""), "node", "gateway's name"),
        (GOOD.replace('"H1"', '"H 1"'), "hub", "letters, digits"),
        (GOOD.replace("[broker]", "[broker]\nport = 0"), "broker.port", "1..65535"),
        (GOOD.replace("[broker]", "[broker]\nprot = 1"), "broker.prot", "host, port"),
        (GOOD.replace("[broker]", '[broker]\nhost = "10.0.0.1"'), "broker", "[broker]"),
        (GOOD + '[[drivers]]\nkind = "replay"\n', "drivers[0].file", "CSV"),
        (GOOD + '[[drivers]]\nkind = "lidar"\n', "drivers[0].kind", "replay"),
        (GOOD + '[[drivers]]\nkind = "replay"\nfile = "a.csv"\nzone = "Mars"\n', "drivers[0].zone", "Europe/Amsterdam"),
        (GOOD + '[[drivers]]\nkind = "replay"\nfile = "a"\ntimes = "live"\n', "drivers[0]", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(tmp_path: Path, text: str, field: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.field == field
    assert caught.value.source == str(tmp_path / "edge.toml")
    assert remedy in caught.value.remedy


def test_plaintext_to_another_machine_must_be_allowed_by_name(tmp_path: Path) -> None:
    away = GOOD.replace("[broker]", '[broker]\nhost = "10.0.0.1"\nallow_plaintext = true')
    assert load(tmp_path, away).broker.host == "10.0.0.1"
    assert load(
        tmp_path, GOOD.replace("[outbox]", "[broker.tls]\n[outbox]").replace("[broker]\n", '[broker]\nhost="x"\n')
    )
    assert load(tmp_path, GOOD.replace("[broker]", '[broker]\nhost = "::1"')).broker.tls is None


def test_credentials_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"username": "u", "password": "secret-word"}')
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        credentials(path)
    path.chmod(0o600)
    who = credentials(path)
    assert who.password.get_secret_value() == "secret-word"
    assert "secret-word" not in repr(who)


def test_a_broken_credential_file_is_never_quoted(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"username": "", "password": "secret-word"')
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        credentials(path)
    assert "secret-word" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_configuration_ends_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("hub = ")
    assert main(["run", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_status_before_the_first_run_says_there_is_no_outbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(GOOD)
    assert main(["status", str(path), "--json"]) == 0
    assert '"exists": false' in capsys.readouterr().out
    assert not (tmp_path / "o.sqlite3").exists()


def test_a_malformed_column_option_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(GOOD)
    assert main(["replay", "x.csv", "--config", str(path), "--columns", "sensor"]) == 2
    assert "--columns" in capsys.readouterr().err
