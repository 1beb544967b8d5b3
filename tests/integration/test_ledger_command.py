"""`tweeling ledger`, as an administrator types it: on an installation of one's own and a chain."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from support_broker import until
from support_chain import CHAIN_ID, DevChain
from support_contracts import deploy_first_version
from support_custody import Bench, shipping
from support_installation import Made, copied, init, tweeling

from tweeling import config
from tweeling.adapters.evm import EvmLedger, deploy, devchain
from tweeling.adapters.evm.keyfile import address_of, load_key
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.bootstrap.readings import records_url
from tweeling.cli import main

Run = Callable[..., str]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, chain: DevChain) -> Made:
    """An installation whose key has money on the chain, and opens quickly."""
    made = init(tmp_path_factory.mktemp("first") / "hub", "--origin", "hub.example/log")
    made.configure('#rpc = "http://127.0.0.1:18545"', f'rpc = "{chain.rpc}"')
    made.configure("#max_age_s = 5", "max_age_s = 0.1")
    _quick_key(_key(made), made.installation.secrets / "ledger-passphrase")
    return made


@pytest.fixture
def made(first: Made, tmp_path: Path, chain: DevChain) -> Made:
    """That installation, for one test."""
    mine = copied(first, tmp_path / "hub")
    devchain.fund(chain.rpc, address_of(_key(mine)), chain_id=chain.chain_id)
    return mine


@pytest.fixture
def run(made: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `tweeling ledger` in this process, where nobody answers; return what it printed."""

    def run(*arguments: str | Path, code: int = 0, answer: str = "") -> str:
        capsys.readouterr()
        words = ["tweeling", "ledger", *map(str, arguments), "--data", str(made.folder)]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        assert main.run() == code, capsys.readouterr()
        told = capsys.readouterr()
        return told.out + told.err

    return run


def _quick_key(key: Path, passphrase: Path) -> None:
    """A key file that takes no second to open, as those of `init` do on purpose."""
    made = Account.encrypt(Account.create().key, passphrase.read_text(), kdf="pbkdf2", iterations=1)
    key.write_text(json.dumps(made))


def _key(made: Made) -> Path:
    return made.installation.secrets / "ledger-key.json"


def _status(run: Run, code: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("status", "--json", code=code))
    return answer


def _capture(made: Made, number: int) -> int:
    token = made.installation.token("partners").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{made.http_port}/events"
    return httpx.post(url, content=json.dumps(shipping(number)), headers=headers, trust_env=False).status_code


def _anchored(made: Made, first: int, last: int) -> None:
    """Capture events, and wait until the chain holds them."""
    with made.client() as client:
        for number in range(first, last + 1):
            until(lambda number=number: _capture(made, number) in {201, 409}, "the log takes events")  # type: ignore[misc]

        def done() -> bool:
            counts = client.status()["counts"]
            return counts["events_anchored"] == counts["events_captured"] >= last

        until(done, f"size {last} is anchored", seconds=30)


def _receipt(made: Made, number: int, folder: Path) -> Path:
    file = folder / f"{number}.receipt.cbor"
    made.run("receipt", str(shipping(number)["eventID"]), "--out", file)
    return file


def test_a_contract_is_deployed_named_in_the_settings_and_told_of(made: Made, run: Run) -> None:
    before = made.installation.config.read_text()
    bare = _status(run, code=2)
    assert (bare["contract"], bare["balance_wei"]) == (None, 1000 * 10**18), "whom to send money is told before"
    assert "`tweeling ledger deploy` makes one" in bare["problems"][0]
    said = run("deploy", "--yes")
    assert re.search(r"takes about [\d,]+ gas: [\d.e-]+ coins at [\d.]+ gwei", said)
    assert re.search(r"created in block \d+ of chain 31337, for [\d,]+ gas", said)
    ledger = config.load(made.installation.config).ledger
    assert ledger.contract is not None
    assert ledger.contract in said
    assert ledger.first_block > 0
    assert oct(made.installation.config.stat().st_mode)[-3:] == "600"
    after = made.installation.config.read_text()
    assert [line for line in after.splitlines() if line.startswith("# ")] == [
        line for line in before.splitlines() if line.startswith("# ")
    ], "every comment is there"
    assert "is configured already" in run("deploy", "--yes", code=2)
    told = _status(run)
    assert (told["ok"], told["head_size"], told["contract"]) == (True, None, ledger.contract)
    assert told["contract_is_ours"]
    assert told["contract_version"] == 2
    assert told["anchors_left"] > 1000
    again = run("deploy", "--yes", "--again")
    assert re.search(r"Sent: it will be at (0x\w{40})\..*\n\1: created in block", again), "told before it is there"
    assert config.load(made.installation.config).ledger.contract in again
    assert config.load(made.installation.config).ledger.contract != ledger.contract, "nothing lived in the first"


def test_no_log_is_cut_off_from_a_contract_whose_code_is_not_known(made: Made, run: Run, chain: DevChain) -> None:
    later = chain.funded().address
    made.configure('#contract = "', f'contract = "{later}" #')
    chain.ask("anvil_setCode", later, "0x5f5ffd")
    said = run("deploy", "--yes", "--again", code=2)
    assert "is none of ours, so nobody can tell whether the log lives there" in said
    assert "if no log of ours lives there, take it out" in said
    assert config.load(made.installation.config).ledger.contract == later
    chain.ask("anvil_setCode", later, "0x")
    run("deploy", "--yes", "--again")
    assert config.load(made.installation.config).ledger.contract != later, "where there is no contract there is no log"


def test_without_a_contract_and_a_key_no_chain_is_configured(made: Made, run: Run) -> None:
    _key(made).unlink()
    assert "ledger.contract: no chain is configured" in run("status", code=2)


def test_an_account_without_money_is_named_with_what_it_takes(made: Made, run: Run, chain: DevChain) -> None:
    chain.ask("anvil_setBalance", address_of(_key(made)), "0x0")
    said = run("deploy", "--yes", code=1)
    assert f"account {address_of(_key(made))} holds 0 coins. Send it at least 0.0" in said
    assert config.load(made.installation.config).ledger.contract is None
    wanted = re.search(r"at least ([\d.]+) coins", said)
    assert wanted is not None
    chain.ask("anvil_setBalance", address_of(_key(made)), hex(int(float(wanted[1]) * 1.0001 * 10**18)))
    run("deploy", "--yes")  # that is enough


def test_nothing_is_done_before_somebody_agrees(made: Made, run: Run) -> None:
    assert "Nothing is changed. Where nobody answers, --yes agrees." in run("deploy", code=130)
    assert "Nothing is changed.\n" in run("deploy", code=130, answer="n\n")
    assert config.load(made.installation.config).ledger.contract is None


def test_what_the_environment_says_is_not_written_over_in_silence(
    run: Run, chain: DevChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id)
    monkeypatch.setenv("TWEELING_LEDGER__CONTRACT", contract)
    said = run("deploy", "--yes", "--again", code=2)
    assert "TWEELING_LEDGER__CONTRACT is set in the environment" in said


def test_a_passphrase_that_would_stand_over_the_new_key_s_own_is_refused(
    made: Made, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ("--key-file", _key(made), "--passphrase-file", made.installation.secrets / "ledger-passphrase")
    monkeypatch.setenv("TWEELING_LEDGER__PASSPHRASE", "of another key")
    said = run("rotate-operator", "--accept", *files, code=2)
    assert "ledger.passphrase: stands over --passphrase-file" in said
    assert "of another key" not in said
    assert f'passphrase_file = "{files[-1]}"' not in made.installation.config.read_text()


@pytest.mark.slow
def test_a_log_is_handed_over_to_another_key_and_loses_no_anchor(
    made: Made, run: Run, chain: DevChain, tmp_path: Path
) -> None:
    run("deploy", "--yes")
    with made.up():
        _anchored(made, 1, 3)
        old = _receipt(made, 1, tmp_path)
        trust = tmp_path / "trust.json"
        trust.write_bytes(made.installation.trust.read_bytes())
        new_key = made.installation.secrets / "second-key.json"
        said = tweeling("ledger", "new-key", new_key)
        address = address_of(new_key)
        assert address in said
        devchain.fund(chain.rpc, address, chain_id=chain.chain_id)

        for nobody in ("0x12", "0x" + "00" * 20):
            run("rotate-operator", "--to", nobody, code=2)
        run("rotate-operator", "--to", address)
        assert _status(run)["proposed_operator"] == address
        run("rotate-operator", "--withdraw")
        assert _status(run)["proposed_operator"] is None
        files = ("--key-file", new_key, "--passphrase-file", new_key.with_suffix(".passphrase"))
        assert f"rotate-operator --to {address}" in run("rotate-operator", "--accept", *files, code=2)
        run("rotate-operator", "--to", address)
        _anchored(made, 4, 4)  # until it is accepted nothing changes
        run("rotate-operator", "--accept", *files)
        run("rotate-operator", "--accept", *files)  # twice is once
        assert _capture(made, 5) == 201

        def named() -> bool:
            with made.client() as client:
                told = {part["part"]: part["detail"] for part in client.status()["parts"]}["ledger"]
            return "CustodyLedgerNotOperator" in told and "start the hub again" in told

        until(named, "the hub says that its key is no longer the operator's")
    settings = config.load(made.installation.config)
    assert settings.ledger.key_file == new_key
    with made.up():
        _anchored(made, 6, 7)
        young = _receipt(made, 7, tmp_path)
    assert made.installation.trust.read_bytes() == trust.read_bytes(), "partners have nothing to do"
    store = tmp_path / "pinned"
    tweeling("trust", "add", trust, "--trust-store", store)
    assert "anchored in block" in tweeling("verify", old, young, "--trust-store", store, "--rpc", chain.rpc)
    told = _status(run)
    assert (told["ok"], told["head_size"], told["operator"]) == (True, 7, address)


@pytest.mark.slow
def test_a_hub_whose_key_would_begin_another_log_under_the_same_name_does_not_start(made: Made, run: Run) -> None:
    run("deploy", "--yes")
    with made.up():
        pass
    other = made.installation.secrets / "other.json"
    tweeling("ledger", "new-key", other)
    made.configure('#key_file = "secrets/ledger-key.json"', 'key_file = "secrets/other.json"')
    made.configure('#passphrase_file = "secrets/ledger-passphrase"', 'passphrase_file = "secrets/other.passphrase"')
    said = tweeling("up", "--data", made.folder, code=2)
    assert "ledger.log_id: partners know this log as 0x" in said
    assert 'set log_id = "0x' in said


def test_a_node_that_is_down_and_code_that_is_not_ours_are_told_apart(made: Made, run: Run, chain: DevChain) -> None:
    made.configure('#contract = "', 'contract = "')
    told = _status(run, code=2)
    assert (told["contract_is_ours"], told["height"] is not None) == (False, True)
    assert "no contract at" in told["problems"][-1]
    made.configure(chain.rpc, "http://127.0.0.1:9")
    told = _status(run, code=1)
    assert (told["contract_is_ours"], told["height"]) == (None, None)
    assert "chain 31337 at 127.0.0.1:9 gave no answer" in told["problems"][0]


def test_a_log_in_a_contract_of_the_first_version_stays_there(made: Made, run: Run, chain: DevChain) -> None:
    contract = deploy_first_version(chain, chain.funded())
    made.configure('#contract = "', f'contract = "{contract}" #')
    account = load_key(_key(made), made.installation.secrets / "ledger-passphrase")
    with closing(
        EvmLedger(rpc=chain.rpc, chain_id=31337, contract=contract, account=account, origin="hub.example/log")
    ) as ledger:
        ledger.anchor(1, bytes(32), [])
    told = _status(run, code=3)  # of another history, as this log has no entry
    assert (told["contract_version"], told["head_size"], told["operator"]) == (1, 1, account.address)
    assert "our code (version 1)" in run("status", code=3)
    new = deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id)
    for words in (
        ["deploy", "--again", "--yes"],
        ["retire", "--successor-contract", new, "--yes"],
        ["rotate-operator", "--to", new],
        ["rotate-operator", "--accept"],
    ):
        assert "is of version 1, which can neither hand over nor retire a log" in run(*words, code=2)
    assert config.load(made.installation.config).ledger.contract == contract


def test_settings_follow_when_the_chain_holds_it_as_deep_as_anchors_have_to_be(
    made: Made, run: Run, chain: DevChain
) -> None:
    made.configure("#confirmations = 1", "confirmations = 3")
    chain.ask("evm_setIntervalMining", 1)
    try:
        said = run("deploy", "--yes")
        ledger = config.load(made.installation.config).ledger
        assert "when it is 3 blocks deep" in said
        assert int(chain.ask("eth_blockNumber"), 16) >= ledger.first_block + 2
        account = load_key(_key(made), made.installation.secrets / "ledger-passphrase")
        assert ledger.contract is not None
        with closing(
            EvmLedger(
                rpc=chain.rpc, chain_id=31337, contract=ledger.contract, account=account, origin="hub.example/log"
            )
        ) as mine:
            mine.anchor(1, bytes(32), [])
        new = deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id)
        before = int(chain.ask("eth_blockNumber"), 16)
        assert "when it is 3 blocks deep" in run("retire", "--successor-contract", new, "--yes")
        assert int(chain.ask("eth_blockNumber"), 16) >= before + 3
        assert config.load(made.installation.config).ledger.contract == new
    finally:
        chain.ask("evm_setIntervalMining", 0)
        chain.ask("evm_setAutomine", True)


def test_options_that_do_not_fit_are_named(run: Run) -> None:
    address = "0x" + "ab" * 20
    for words, told in (
        (["rotate-operator"], "--to, --accept, --withdraw: one of them is needed"),
        (["rotate-operator", "--to", address, "--withdraw"], "one of them is needed"),
        (["rotate-operator", "--withdraw", "--key-file", "k"], "--key-file: goes with --accept"),
        (["retire", "--successor-contract", "0x12"], "--successor-contract: no address"),
        (["retire", "--successor-contract", address, "--chain", "10"], "--rpc: is needed for another chain"),
        (["retire", "--successor-contract", address, "--rpc", "http://node.example/KEY123"], "begin with https://"),
    ):
        said = run(*words, code=2)
        assert told in said
        assert "KEY123" not in said


def test_of_a_log_that_was_just_retired_it_is_said_how_it_goes_on(made: Made, run: Run, chain: DevChain) -> None:
    run("deploy", "--yes")
    settings = config.load(made.installation.config)
    account, contract = load_key(settings.ledger.key_file, settings.ledger.passphrase_file), settings.ledger.contract
    assert contract is not None
    with closing(open_records(records_url(settings))) as records:
        bench = Bench(SqlLogStore(records))
        bench.capture(shipping(1), shipping(2))
        bench.integrate()
        head, origin = bench.store.checkpoint(), settings.custody.origin
        assert head is not None
        with closing(
            EvmLedger(rpc=chain.rpc, chain_id=CHAIN_ID, contract=contract, account=account, origin=origin)
        ) as ledger:
            bench.store.save_anchor(ledger.anchor(head.size, head.root, []))
    successor = re.search(r"--successor-contract (0x[0-9a-fA-F]{40})", run("deploy", "--yes", "--again"))
    assert successor is not None
    run("retire", "--successor-contract", successor[1], "--yes")
    told = _status(run)
    assert (told["problems"], told["head_size"], told["begins_with"]) == ([], None, 2)
    assert "not begun: restart the hub; its first anchor here is size 2" in run("status")
    made.configure(f'continues = "{head.size}:0x{head.root.hex()}"', "")
    assert f"and this one was anchored in {contract} on chain 31337" in _status(run, code=1)["problems"][0]


@pytest.mark.slow
def test_a_log_is_retired_and_goes_on_elsewhere_and_verifiers_follow(
    made: Made, run: Run, chain: DevChain, tmp_path: Path
) -> None:
    run("deploy", "--yes")
    first = config.load(made.installation.config).ledger.contract
    with made.up():
        _anchored(made, 1, 3)
        old = _receipt(made, 2, tmp_path)
        trust = tmp_path / "trust.json"
        trust.write_bytes(made.installation.trust.read_bytes())
    said = run("deploy", "--yes", "--again")
    assert config.load(made.installation.config).ledger.contract == first, "the log lives there"
    successor = re.search(r"--successor-contract (0x[0-9a-fA-F]{40})", said)
    assert successor is not None
    assert "no contract at" in run("retire", "--successor-contract", address_of(_key(made)), "--yes", code=2)
    run("retire", "--successor-contract", successor[1], code=130)
    assert not _status(run)["retired"]
    assert "Nothing can take this back" in run("retire", "--successor-contract", successor[1], "--yes")
    settings = config.load(made.installation.config).ledger
    assert settings.contract == successor[1]
    assert settings.continues is not None
    assert settings.continues.startswith("3:0x")
    with made.up():
        _anchored(made, 4, 5)
        young = _receipt(made, 5, tmp_path)
    store = tmp_path / "pinned"
    tweeling("trust", "add", trust, "--trust-store", store)
    told = tweeling("verify", old, young, "--trust-store", store, "--rpc", chain.rpc)
    assert told.count("anchored in block") == 2
    assert successor[1].lower() in told
    assert "--rpc follows it" in tweeling("verify", young, "--trust-store", store, code=4)
    new = tmp_path / "new-pinned"
    tweeling("trust", "add", made.installation.trust, "--trust-store", new)
    for more in ([], ["--rpc", chain.rpc]):
        said = tweeling("verify", old, "--trust-store", new, *more, code=4)
        assert "Add its trust file for that contract" in said
    tweeling("trust", "add", trust, "--trust-store", new)
    for more in ([], ["--rpc", chain.rpc]):
        tweeling("verify", old, young, "--trust-store", new, *more)
    assert _status(run)["ok"]
