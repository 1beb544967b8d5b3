import re
from pathlib import Path

import pytest

from tweeling import config
from tweeling.errors import ConfigError, Trouble


def _write(folder: Path, text: str) -> Path:
    path = folder / "tweeling.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = config.load(_write(tmp_path, '[custody]\nkey_file = "keys/log.pem"\n'))
    assert settings.custody.key_file == tmp_path / "keys" / "log.pem"
    assert settings.data == tmp_path


def test_the_environment_stands_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWEELING_HTTP__PORT", "9000")
    assert config.load(_write(tmp_path, "[http]\nport = 8051\n")).http.port == 9000


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[http]\nport = 'eighty'\n", "http.port"),
        ("[http]\nport = 99999\n", "http.port"),
        ("[http]\nprot = 1\n", "http.prot"),
        ("[ledger]\ncontract = '0x12'\n", "ledger.contract"),
        ("[clock]\nspeed = 0\n", "clock.speed"),
        ("[store]\nraw_days = -1\n", "store.raw_days"),
        ("[store]\nraw_days = 30\nhourly_days = 20\n", "store"),
        ("[store]\nraw_days = 0\nhourly_days = 20\n", "store"),
        ("[store]\nraw_days = 1\nseal_hours = 48\n", "store"),
        ("storre = 'duckdb'\n", "storre"),
        ("[store]\nurl = 'http://store.example:8086'\n", "store.url"),
        ("[store]\nurl = 'https://me:hunter2@store.example'\n", "store.url"),
        ("[store]\nurl = 'store.example'\n", "store.url"),
        ("[store.influxdb]\nbucket = 'a\"b'\n", "store.influxdb.bucket"),
    ],
)
def test_a_wrong_setting_names_file_and_field(tmp_path: Path, text: str, field: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.field == field
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tweeling init"):
        config.load(tmp_path / "tweeling.toml")


def test_a_secret_in_the_file_stays_out_of_errors(tmp_path: Path) -> None:
    path = _write(tmp_path, "records = 'postgresql://u:hunter2@h/db'\n[http]\nport = 0\n")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "url"), [("victoriametrics", "http://127.0.0.1:8428"), ("influxdb", "http://127.0.0.1:8086")]
)
def test_a_server_is_on_this_machine_until_somebody_says_otherwise(tmp_path: Path, kind: str, url: str) -> None:
    assert config.load(_write(tmp_path, f"[store]\nkind = '{kind}'\n")).store.url == url
    elsewhere = "https://store.example:8086"
    text = f"[store]\nkind = '{kind}'\nurl = '{elsewhere}'\n"
    assert config.load(_write(tmp_path, text)).store.url == elsewhere


def test_settings_of_stores_in_the_manual_are_settings(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    shown = [block for block in re.findall(r"```toml\n(.*?)```", manual, re.DOTALL) if block.startswith("[store]")]
    kinds = [config.load(_write(tmp_path, block)).store.kind for block in shown]
    assert {"victoriametrics", "influxdb"} <= set(kinds)


def test_settings_of_the_ledger_in_the_manual_are_settings(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    shown = [block for block in re.findall(r"```toml\n(.*?)```", manual, re.DOTALL) if block.startswith("[ledger]")]
    (ledger,) = (config.load(_write(tmp_path, block)).ledger for block in shown)
    assert (ledger.confirmations, ledger.max_fee_gwei) == (64, 20)
    for name in re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", manual.split("## The ledger\n")[1].split("| kind |")[0], re.MULTILINE
    ):
        assert {part.strip("`") for part in name.split(", ")} <= type(ledger).model_fields.keys()


def test_every_trouble_of_a_ledger_is_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = manual.split("| kind | means | what to do |\n")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Trouble)


_SHOWN = 'cert_file = "c.pem"\nkey_file = "k.pem"\n'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[http]\nhost = "0.0.0.0"\nnames = ["hub"]\n', "http.tls"),
        ('[http]\nhost = "192.0.2.7"\n', "http.tls"),
        ('[http]\nhost = "::"\nnames = ["hub"]\n', "http.tls"),
        ('[broker]\nhost = "broker.example.org"\n', "broker.tls"),
        ('[broker]\nembedded = true\nhost = "0.0.0.0"\n', "broker.tls"),
        ("[broker]\nembedded = true\n[broker.tls]\n", "broker.tls"),
        (f'[http]\nhost = "0.0.0.0"\n[http.tls]\n{_SHOWN}', "http.names"),
    ],
)
def test_nothing_is_served_in_plain_text_or_for_nobody_off_this_machine(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(_write(tmp_path, text))
    assert (caught.value.field, caught.value.exit_code) == (field, 2)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        '[http]\nhost = "::1"\n[broker]\nhost = "localhost"\n',
        '[broker]\nhost = "broker.example.org"\n[broker.tls]\n',
        f'[http]\nhost = "0.0.0.0"\nnames = ["hub"]\n[http.tls]\n{_SHOWN}',
    ],
)
def test_this_machine_alone_or_what_is_encrypted_is_served(tmp_path: Path, text: str) -> None:
    config.load(_write(tmp_path, text))


@pytest.mark.parametrize("rpc", ["http://node.example:8545", "http://192.0.2.7:8545", "ws://node.example", "node:8545"])
def test_a_chains_node_on_another_machine_is_asked_under_tls_only(tmp_path: Path, rpc: str) -> None:
    with pytest.raises(ConfigError, match="should begin with https://") as caught:
        config.load(_write(tmp_path, f"[ledger]\nrpc = '{rpc}'\n"))
    assert caught.value.field == "ledger.rpc"
    for good in ("https://node.example/key", "http://localhost:8545", "http://[::1]:8545"):
        assert config.load(_write(tmp_path, f"[ledger]\nrpc = '{good}'\n")).ledger.rpc == good


def test_a_file_that_is_no_text_or_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path, "")
    path.write_bytes(b"data = '\xff'\n")
    with pytest.raises(ConfigError, match=rf"{path}: not TOML: "):
        config.load(path)

    def refused(_path: Path, *_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(ConfigError, match=rf"{path}: cannot be read: Permission denied"):
        config.load(path)
