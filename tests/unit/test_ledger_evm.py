from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tweeling.adapters.evm import devchain
from tweeling.adapters.evm.artifact import ContractRefusedError, refusal
from tweeling.adapters.evm.ledger import log_id
from tweeling.adapters.evm.wallet import Price, affords

LOG = bytes(range(32))


def test_a_contracts_error_is_read_with_its_fields() -> None:
    fields = encode(["bytes32", "uint64", "uint64"], [LOG, 9, 4])
    error = refusal("0x" + (keccak(text="CustodyLedgerNotAppended(bytes32,uint64,uint64)")[:4] + fields).hex())
    assert isinstance(error, ContractRefusedError)
    assert error.name == "CustodyLedgerNotAppended"
    assert error.fields == {"log": f"0x{LOG.hex()}", "anchoredSize": 9, "offeredSize": 4}
    assert str(error) == f"CustodyLedgerNotAppended(log=0x{LOG.hex()}, anchoredSize=9, offeredSize=4)"


def test_an_error_of_the_registry_is_read_as_well() -> None:
    fields = encode(["uint64", "uint64"], [9, 4])
    error = refusal("0x" + (keccak(text="PartnerRegistryFutureBlock(uint64,uint64)")[:4] + fields).hex())
    assert str(error) == "PartnerRegistryFutureBlock(atBlock=9, newest=4)"


@pytest.mark.parametrize("data", ["0x", "0xdeadbeef", "0x" + keccak(text="CustodyLedgerUnknownLog(bytes32)")[:4].hex()])
def test_a_revert_that_nobody_can_read_is_still_a_refusal(data: str) -> None:
    error = refusal(data)
    assert not isinstance(error, ContractRefusedError)
    assert "reverted" in str(error)


def test_a_logs_id_is_its_creator_and_origin() -> None:
    creator = "0x" + "ab" * 20
    padded = bytes(12) + bytes.fromhex("ab" * 20)
    assert log_id(creator, "example.org/log") == keccak(padded + hashlib.sha256(b"example.org/log").digest())
    assert log_id(creator, "example.org/log") != log_id("0x" + "ac" * 20, "example.org/log")


def test_the_development_chain_listens_on_loopback_and_has_no_known_keys(tmp_path: Path) -> None:
    words = devchain.command(Path("/opt/anvil"), port=18545, chain_id=7, state=tmp_path / "state.json")
    assert words[0] == "/opt/anvil"
    options = " ".join(words)
    for part in ("--host 127.0.0.1", "--port 18545", "--chain-id 7", "--accounts 0", "--no-cors", "--quiet"):
        assert part in options
    assert f"--state {tmp_path / 'state.json'} --state-interval 1" in options


def test_a_whole_state_file_is_copied_before_a_start_and_a_broken_one_replaced_by_the_copy(tmp_path: Path) -> None:
    state = tmp_path / "chain" / "state.json"
    assert devchain.prepare(state), "a first start has nothing to mend"
    state.write_text(json.dumps({"block": 5}))
    assert devchain.prepare(state)
    state.write_text('{"block": 9, "acc')
    assert not devchain.prepare(state)
    assert json.loads(state.read_text()) == {"block": 5}
    assert state.with_name("state.json.broken").read_text() == '{"block": 9, "acc'


def test_a_broken_state_file_without_a_copy_makes_way_for_a_new_chain(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("")
    assert not devchain.prepare(state)
    assert not state.exists()


def test_behind_npms_launcher_the_program_itself_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "lib" / "@foundry-rs"
    native, launcher = packages / "anvil-linux-amd64" / "bin" / "anvil", packages / "anvil" / "bin.mjs"
    link = tmp_path / "bin" / "anvil"
    for path in (native, launcher):
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
    link.parent.mkdir()
    link.symlink_to(launcher)
    monkeypatch.setattr(devchain, "_CHECKOUT", tmp_path / "nowhere")
    monkeypatch.setenv("PATH", str(link.parent))
    assert devchain.find_anvil() == native
    link.unlink()
    assert devchain.find_anvil() is None


def test_importing_the_adapters_loads_no_web3() -> None:
    text = "import sys, tweeling.adapters; sys.exit('web3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0


def test_an_account_affords_no_anchor_that_it_could_not_send() -> None:
    price = Price(base=10, tip=2)  # 12 are paid for a unit of gas, and 22 have to be there, for a tenth more gas
    assert affords(1100 * 22 - 1, 1000, price, None) == 0
    assert affords(1100 * 22, 1000, price, None) == 1
    assert affords(1100 * 22 + 1000 * 12, 1000, price, None) == 2
    assert affords(1100 * 15, 1000, price, 15) == 1, "a cap is all that is offered"
    assert affords(0, 1000, Price(base=0, tip=0), None) is None
