"""Keys, passphrases and the key in a node's address: where they may come from, and that nothing shows them."""

from __future__ import annotations

import io
import json
import logging
import sys
import traceback
from pathlib import Path

import httpx
import pytest
from eth_account import Account
from pydantic import SecretStr
from support_chain import running_anvil
from support_installation import init
from support_rpc import Answer, misbehaving
from support_servers import free_port

from tweeling import config
from tweeling.adapters.keys import create_log_key, load_log_key
from tweeling.bootstrap.ledger import account_of, check_same_log, rpc_of
from tweeling.cli import main
from tweeling.cli.logs import log_to_stderr
from tweeling.errors import ConfigError
from tweeling.verify import TrustedContract, TrustedLog

KEY, PASSPHRASE = "0123456789abcdefkey", "correct-horse-battery"
CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An installation's folder with a key, whose passphrase is in no file."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    key = Account.encrypt(Account.create().key, PASSPHRASE, kdf="pbkdf2", iterations=1)
    (secrets / "ledger-key.json").write_text(json.dumps(key))
    return tmp_path


def _settings(place: Path, ledger: str) -> config.Settings:
    (place / "tweeling.toml").write_text(f"[custody]\norigin = 'hub.example/log'\n[ledger]\n{ledger}\n")
    return config.load(place / "tweeling.toml")


def _rpc_file(place: Path, text: str, mode: int = 0o600) -> Path:
    path = place / "secrets" / "ledger-rpc"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_nodes_address_with_a_key_comes_from_a_file_or_the_environment(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"https://node.example/v3/{KEY}"
    _rpc_file(place, address + "\n")
    settings = _settings(place, 'rpc_file = "secrets/ledger-rpc"')
    assert rpc_of(settings.ledger) == address
    assert KEY not in repr(settings)
    monkeypatch.setenv("TWEELING_LEDGER__RPC", address)
    settings = _settings(place, "")
    assert rpc_of(settings.ledger) == address
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (f"http://node.example/{KEY}", 0o600, "should begin with https://"),
        (f"ftp://node.example/{KEY}", 0o600, "should begin with https://"),
        (f"https://:{KEY}@/", 0o600, "should be http://host:port"),
        (f"https://node.example:{KEY}/", 0o600, "should be http://host:port"),
        (f"https://node.example/{KEY}", 0o640, "others may read this file"),
        ("", 0o600, "is empty"),
    ],
)
def test_a_file_that_holds_no_address_is_named_and_not_quoted(place: Path, text: str, mode: int, words: str) -> None:
    path = _rpc_file(place, text, mode)
    settings = _settings(place, 'rpc_file = "secrets/ledger-rpc"')
    with pytest.raises(ConfigError, match=words) as caught:
        rpc_of(settings.ledger)
    told = "".join(traceback.format_exception(caught.value))
    assert KEY not in told
    assert caught.value.field == "ledger.rpc_file"
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("rpc", [f"https://node.example:{KEY}/", f"ws://node.example/{KEY}", f"https://{KEY}@:1"])
def test_an_address_in_the_settings_that_is_none_is_not_quoted(place: Path, rpc: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _settings(place, f'rpc = "{rpc}"')
    assert KEY not in str(caught.value)


def test_a_passphrase_comes_from_the_environment_and_shows_nowhere(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as caught:
        account_of(_settings(place, "").ledger)
    assert caught.value.field == "ledger.passphrase_file"
    monkeypatch.setenv("TWEELING_LEDGER__PASSPHRASE", PASSPHRASE)
    settings = _settings(place, "")
    account = account_of(settings.ledger)
    for shown in (repr(settings), str(settings), repr(account), settings.model_dump_json()):
        assert PASSPHRASE not in shown
        assert account.key.hex() not in shown
    monkeypatch.setenv("TWEELING_LEDGER__PASSPHRASE", f"{PASSPHRASE}!")
    with pytest.raises(ConfigError, match="the passphrase does not open") as caught:
        account_of(_settings(place, "").ledger)
    assert PASSPHRASE not in "".join(traceback.format_exception(caught.value))


def test_the_logs_own_key_opens_by_a_passphrase_from_the_environment_too(tmp_path: Path) -> None:
    key, passphrase = tmp_path / "log.pem", tmp_path / "passphrase"
    create_log_key(key, passphrase)
    given = SecretStr(passphrase.read_text().strip())
    passphrase.unlink()
    assert load_log_key(key, passphrase, given, origin="a/log").name == "a/log"
    wrong = SecretStr(PASSPHRASE)
    with pytest.raises(ConfigError, match="cannot be opened") as caught:
        load_log_key(key, passphrase, wrong, origin="a/log")
    assert PASSPHRASE not in "".join(traceback.format_exception(caught.value))


def test_a_key_that_would_begin_another_log_is_refused_and_any_other_change_is_not(place: Path) -> None:
    mine, other = bytes(31) + b"\x01", bytes(31) + b"\x02"
    settings = _settings(place, f'contract = "{CONTRACT}"')
    check_same_log(settings, mine)  # there is no trust file yet

    def publish(origin: str, contract: str) -> None:
        anchor = TrustedContract(chain_id=31337, contract=contract, log_id=f"0x{mine.hex()}")
        (place / "trust.json").write_bytes(TrustedLog.of(origin, bytes(32), anchor).encode())

    publish("hub.example/log", CONTRACT.lower())
    check_same_log(settings, mine)
    with pytest.raises(ConfigError, match=f'set log_id = "0x{mine.hex()}"') as caught:
        check_same_log(settings, other)
    assert caught.value.field == "ledger.log_id"
    publish("hub.example/other", CONTRACT)
    check_same_log(settings, other)
    publish("hub.example/log", "0x" + "ab" * 20)
    check_same_log(settings, other)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>"),
        Answer(status=429, headers={"Retry-After": "5"}),
        Answer(status=403),
        Answer(json.dumps({"jsonrpc": "2.0", "id": 0, "error": {"code": -1, "message": f"project {KEY}?"}}).encode()),
        None,
    ],
    ids=["page", "busy", "forbidden", "quoted", "cut"],
)
def test_commands_that_fail_tell_no_secret(
    place: Path,
    answer: Answer | None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TWEELING_LEDGER__PASSPHRASE", PASSPHRASE)
    log_to_stderr("json", "debug")
    with misbehaving(f"http://127.0.0.1:{free_port()}") as node:
        node.misbehave(lambda *_: answer)
        _rpc_file(place, node.url.replace("http://", f"http://me:{KEY}@") + f"/v3/{KEY}?key={KEY}")
        _settings(place, f'rpc_file = "secrets/ledger-rpc"\ncontract = "{CONTRACT}"')
        for words, code in (
            (["status"], 1),
            (["status", "--json"], 1),
            (["deploy", "--again", "--yes"], 1),
            (["rotate-operator", "--to", CONTRACT], 1),
            (["retire", "--successor-contract", CONTRACT, "--yes"], 1),
        ):
            monkeypatch.setattr(sys, "argv", ["tweeling", "ledger", *words, "--data", str(place)])
            monkeypatch.setattr(sys, "stdin", io.StringIO())
            assert main.run() == code, words
    told = capfd.readouterr()
    assert "127.0.0.1" in told.out + told.err
    for secret in (KEY, PASSPHRASE):
        assert secret not in told.out + told.err
    logging.getLogger("tweeling").setLevel(logging.NOTSET)


@pytest.mark.slow
def test_a_hub_whose_chain_fails_tells_no_secret_on_any_way(tmp_path: Path) -> None:
    made = init(tmp_path / "hub")
    secrets = made.installation.secrets
    passphrase = (secrets / "ledger-passphrase").read_text().strip()
    (secrets / "ledger-passphrase").unlink()
    made.configure('#level = "info"', 'level = "debug"')
    with running_anvil() as chain, misbehaving(chain.rpc) as node:
        node.always(Answer(b"<html>nothing here</html>"))
        path = secrets / "ledger-rpc"
        path.write_text(f"{node.url}/v3/{KEY}")
        path.chmod(0o600)
        made.configure('#rpc_file = "secrets/ledger-rpc"', 'rpc_file = "secrets/ledger-rpc"')
        made.configure('#contract = "', 'contract = "')
        with made.up({"TWEELING_LEDGER__PASSPHRASE": passphrase}) as hub, made.client() as client:
            hub.wait_line("ledger.lost")
            status = client.status()
            assert status["vitals"]["ledger"]["trouble"] == "nonsense"
            token = made.installation.token("prometheus").read_text().strip()
            url = f"http://127.0.0.1:{made.http_port}/metrics"
            metrics = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False).text
            assert 'tweeling_ledger_trouble{kind="nonsense"} 1.0' in metrics
            told = json.dumps(status) + metrics + made.run("status", code=1) + made.installation.trust.read_text()
            hub.terminate()
            told += "\n".join(hub.lines)
        assert "hub.stopped" in told
        for secret in (KEY, passphrase):
            assert secret not in told
