"""The auditor beside a real chain: anchors are compared with its events, and a rolled back log is found by it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support_chain import CHAIN_ID, DevChain, running_anvil
from support_custody import ORIGIN, shipping
from support_fsck import found, fsck, opened, sqlite
from support_servers import free_port

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.adapters.evm.artifact import artifact
from tweeling.adapters.evm.audit import open_chain_audit
from tweeling.adapters.evm.events import ANCHORED
from tweeling.adapters.evm.ledger import log_id
from tweeling.domain.merkle import consistency_proof
from tweeling.errors import RejectedError, UnavailableError
from tweeling.verify import TrustedContract


@dataclass
class Anchored:
    """A log of eleven entries in a stopped hub's folder, and as it was with four; its chain has anchors of 4, 8, 11."""

    chain: DevChain
    folder: Path
    early: Path
    contract: str


@pytest.fixture(scope="module")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anchored]:
    root = tmp_path_factory.mktemp("anchored")
    folder, early = root / "hub", root / "early"
    folder.mkdir()
    with running_anvil() as chain:
        account = chain.funded()
        contract = deploy(chain.rpc, account, chain_id=CHAIN_ID)
        custody = f'[custody]\norigin = "{ORIGIN}"\n'
        (folder / "tweeling.toml").write_text(f'{custody}[ledger]\nrpc = "{chain.rpc}"\ncontract = "{contract}"\n')
        for last in (4, 8, 11):
            _grow(folder, last)
            with closing(
                EvmLedger(rpc=chain.rpc, chain_id=CHAIN_ID, contract=contract, account=account, origin=ORIGIN)
            ) as ledger:
                _anchor(folder, ledger)
            if last == 4:
                shutil.copytree(folder, early)
        yield Anchored(chain, folder, early, contract)


def _grow(folder: Path, last: int, *, seed: int = 0) -> None:
    with opened(folder) as hub:
        for number in range(hub.log.store.size() + 1, last + 1):
            hub.log.capture(shipping(number + 100 * seed, lot=f"urn:epc:class:lgtin:4012345.011111.{number % 3}"))
        hub.log.clock.ms += 10_000 * last
        hub.log.integrate()


def _anchor(folder: Path, ledger: EvmLedger) -> None:
    with opened(folder) as hub:
        newest, before = hub.log.store.checkpoint(), hub.log.store.anchor()
        assert newest is not None
        proof = consistency_proof(before.size if before else 0, newest.size, hub.log.store.nodes)
        hub.log.store.save_anchor(ledger.anchor(newest.size, newest.root, proof))
        place = TrustedContract(chain_id=CHAIN_ID, contract=ledger.contract, log_id=f"0x{ledger.log_id.hex()}")
        (folder / "trust.json").write_bytes(hub.log.custody.trust_file(place).encode())


@pytest.fixture
def folder(anchored: Anchored, tmp_path: Path) -> Path:
    return Path(shutil.copytree(anchored.folder, tmp_path / "hub"))


def _named(folder: Path, check: str, pattern: str) -> None:
    code, checks = fsck(folder)
    assert code == 3
    assert any(re.search(pattern, line) for line in found(checks[check])), [found(each) for each in checks.values()]


def _point(folder: Path, name: str, value: object) -> None:
    """Change a setting of the ledger."""
    path = folder / "tweeling.toml"
    text = path.read_text()
    line = f"{name} = {json.dumps(value)}"
    changed = re.sub(rf"(?m)^{name} = .*$", line, text)
    path.write_text(changed if changed != text else f"{text}{line}\n")


def test_anchors_agree_with_the_chain(folder: Path) -> None:
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert checks["custody chain"]["compared"]
    assert re.fullmatch(r"3 anchors compared with chain 31337, block \d+", checks["custody chain"]["detail"])


@pytest.mark.parametrize(
    ("statement", "pattern"),
    [
        ("UPDATE anchor SET block = block + 1 WHERE size = 8", r"^block, anchor 8: (\d+) / \d+$"),
        ("UPDATE anchor SET block_hash = zeroblob(32) WHERE size = 8", r"^block_hash, anchor 8: \w+ / 0{64}$"),
        ("UPDATE anchor SET transaction_hash = zeroblob(32) WHERE size = 8", r"^transaction, anchor 8: \w+ / 0{64}$"),
        ("UPDATE anchor SET root = zeroblob(32) WHERE size = 8", r"^root, anchor 8: \w+ / 0{64}$"),
        ("UPDATE anchor SET size = 9 WHERE size = 8", r"^anchor, size 9: on the chain too / in the records only$"),
        ("DELETE FROM anchor WHERE size = 8", r"^anchor, size 8: a row, as block \d+ says / None$"),
        ("DELETE FROM anchor WHERE size = 4", r"^anchor, size 4: a row, as block \d+ says / None$"),
    ],
)
def test_an_anchor_that_is_not_as_the_chain_tells_it_is_named(folder: Path, statement: str, pattern: str) -> None:
    sqlite(folder / "records.db", statement)
    _named(folder, "custody chain", pattern)


def test_the_newest_anchors_may_not_be_taken_up_yet(folder: Path) -> None:
    sqlite(folder / "records.db", "DELETE FROM anchor WHERE size > 4")
    code, checks = fsck(folder)
    assert code == 0
    told = (
        r"1 anchors compared with chain 31337, block \d; 2 more are on the chain, which a hub takes up when it runs: "
    )
    assert re.fullmatch(f"{told}8, 11", checks["custody chain"]["detail"])


def test_a_log_that_is_rolled_back_agrees_with_itself_and_not_with_its_chain(
    anchored: Anchored, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(anchored.early, tmp_path / "early"))
    (folder / "trust.json").write_bytes((anchored.folder / "trust.json").read_bytes())
    _named(folder, "custody chain", r"^anchor on the chain, size 8: at most 4 entries / 8$")
    _, checks = fsck(folder)
    assert [name for name, check in checks.items() if not check["ok"]] == ["custody chain"]
    assert "which a hub takes up" not in checks["custody chain"]["detail"]
    assert fsck(folder, ask_chain=False)[0] == 0, "only the chain knows that there was more"


def test_a_log_that_grew_otherwise_is_not_the_one_on_its_chain(anchored: Anchored, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(anchored.early, tmp_path / "early"))
    for last in (8, 11, 12):
        _grow(folder, last, seed=1)
    _named(folder, "custody chain", r"^root, anchor on the chain 8: \w{64} / \w{64}$")


def test_a_chain_that_does_not_answer_is_told_and_no_disagreement(folder: Path) -> None:
    _point(folder, "rpc", f"http://127.0.0.1:{free_port()}")
    code, checks = fsck(folder)
    assert code == 0
    check = checks["custody chain"]
    assert (check["ok"], check["compared"]) == (True, False)
    assert re.match(r"not compared: chain 31337 at 127\.0\.0\.1:\d+ gave no answer", check["detail"])


def test_the_node_may_be_named_in_a_file_of_its_own(anchored: Anchored, folder: Path) -> None:
    secret = folder / "ledger-rpc"
    secret.touch(mode=0o600)
    secret.write_text(anchored.chain.rpc + "\n")
    _point(folder, "rpc", "http://127.0.0.1:1")
    _point(folder, "rpc_file", secret.name)
    _, checks = fsck(folder)
    assert checks["custody chain"]["compared"]


def test_a_chain_may_be_left_out(folder: Path) -> None:
    sqlite(folder / "records.db", "UPDATE anchor SET block = 99 WHERE size = 8")
    command = [sys.executable, "-m", "tweeling", "fsck", "--no-chain", "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "?       custody chain: not compared: left out by --no-chain" in done.stdout


def test_a_node_of_another_chain_is_no_witness(folder: Path) -> None:
    with running_anvil(chain_id=4711) as other:
        _point(folder, "rpc", other.rpc)
        code, checks = fsck(folder)
    assert code == 0
    assert "not compared: ledger.chain_id: the node serves chain 4711, not 31337" in checks["custody chain"]["detail"]


def test_a_log_that_is_begun_and_not_anchored_yet_agrees(anchored: Anchored, tmp_path: Path) -> None:
    folder, account = tmp_path / "hub", anchored.chain.funded()
    folder.mkdir()
    rpc, contract = anchored.chain.rpc, anchored.contract
    (folder / "tweeling.toml").write_text(
        f'[custody]\norigin = "{ORIGIN}"\n[ledger]\nrpc = "{rpc}"\ncontract = "{contract}"\n'
    )
    _grow(folder, 3)
    with closing(EvmLedger(rpc=rpc, chain_id=CHAIN_ID, contract=contract, account=account, origin=ORIGIN)) as ledger:
        place = TrustedContract(chain_id=CHAIN_ID, contract=contract, log_id=f"0x{ledger.log_id.hex()}")
        with opened(folder) as hub:
            (folder / "trust.json").write_bytes(hub.log.custody.trust_file(place).encode())
        for begin in (lambda: None, ledger._begin):
            begin()
            code, checks = fsck(folder)
            assert (code, found(checks["custody chain"])) == (0, [])
            assert checks["custody chain"]["detail"].startswith("0 anchors compared with chain 31337")


def test_settings_that_name_another_contract_than_the_trust_file_are_no_question_to_ask(folder: Path) -> None:
    _point(folder, "contract", "0x" + "11" * 20)
    code, checks = fsck(folder)
    assert code == 0
    assert "not compared: trust.json names no log on the contract of the settings" in checks["custody chain"]["detail"]


def test_a_chain_without_the_contract_is_named(folder: Path) -> None:
    with running_anvil() as forgetful:
        _point(folder, "rpc", forgetful.rpc)
        _named(
            folder, "custody chain", r"^contract, chain: our contract / contract: no contract at 0x\w+ on chain 31337"
        )


def test_other_code_at_the_address_is_named(anchored: Anchored, folder: Path) -> None:
    with running_anvil() as forged:
        forged.ask("anvil_setCode", anchored.contract, "0x6001")
        _point(folder, "rpc", forged.rpc)
        _named(
            folder, "custody chain", r"^contract, chain: our contract / contract: other code than that of CustodyLedger"
        )


# ------------------------------------------------------------------ a node's limits


class _Miserly:
    """A node that answers no search over more than so many blocks; until the last one, if it does not fall silent."""

    def __init__(self, blocks: int, most: int, *, silent_from: int | None = None) -> None:
        self.blocks, self.most, self.silent_from = blocks, most, silent_from
        self.asked: list[tuple[int, int]] = []

    def answer(self, question: Any) -> dict[str, Any] | None:
        method, parameters = question["method"], question["params"]
        if method == "eth_blockNumber":
            return {"result": hex(self.blocks)}
        assert method == "eth_getLogs"
        first, last = (int(parameters[0][name], 16) for name in ("fromBlock", "toBlock"))
        if last - first >= self.most:
            return {"error": {"code": -32005, "message": "query returned more than 10000 results"}}
        if self.silent_from is not None and last >= self.silent_from:
            return None
        self.asked.append((first, last))
        return {"result": []}


@contextmanager
def _serving(node: _Miserly) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told = node.answer(question)
            if told is None:
                return
            body = json.dumps({"jsonrpc": "2.0", "id": question["id"], **told}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("first", [0, 1_234])
def test_a_node_that_refuses_long_searches_is_asked_for_every_block_in_shorter_ones(first: int) -> None:
    node = _Miserly(5_000, 700)
    log = log_id("0x" + "22" * 20, ORIGIN)
    with (
        _serving(node) as rpc,
        open_chain_audit(rpc, chain_id=CHAIN_ID, contract="0x" + "11" * 20, log_id=log, first_block=first) as chain,
    ):
        assert list(chain.anchored()) == []
    assert [block for start, last in node.asked for block in range(start, last + 1)] == list(range(first, 5_001))


def test_a_node_that_refuses_everything_or_falls_silent_is_unavailable() -> None:
    for node in (_Miserly(5_000, 0), _Miserly(5_000, 700, silent_from=2_000)):
        with (
            _serving(node) as rpc,
            open_chain_audit(rpc, chain_id=CHAIN_ID, contract="0x" + "11" * 20, log_id=bytes(32)) as chain,
            pytest.raises(UnavailableError),
        ):
            list(chain.anchored())


class _Odd(_Miserly):
    """A node that answers as it is told to."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(9, 10_000)
        self.answers = answers

    def answer(self, question: Any) -> dict[str, Any] | None:
        return self.answers.get(question["method"]) or super().answer(question)


_LOG = bytes(31) + b"\x07"
_EVENT = {
    "address": "0x" + "11" * 20,
    "topics": ["0x" + ANCHORED.hex(), "0x" + _LOG.hex(), "0x" + "00" * 31 + "05"],
    "data": "0x" + "aa" * 32,
    "blockNumber": "0x3",
    "blockHash": "0x" + "01" * 32,
    "transactionHash": "0x" + "02" * 32,
}


def _sizes(*events: dict[str, Any]) -> list[int]:
    with (
        _serving(_Odd(eth_getLogs={"result": list(events)})) as rpc,
        open_chain_audit(rpc, chain_id=CHAIN_ID, contract="0x" + "11" * 20, log_id=_LOG) as chain,
    ):
        return [row.size for row in chain.anchored()]


@pytest.mark.parametrize(
    "other",
    [
        {"address": "0x" + "33" * 20},
        {"topics": ["0x" + "01" * 32, *_EVENT["topics"][1:]]},
        {"topics": [_EVENT["topics"][0], "0x" + "02" * 32, _EVENT["topics"][2]]},
        {"topics": _EVENT["topics"][:2]},
        {"blockNumber": "0x10"},
    ],
)
def test_a_node_that_tells_events_nobody_asked_for_is_no_witness(other: dict[str, Any]) -> None:
    assert _sizes(_EVENT) == [5]
    with pytest.raises(UnavailableError, match="no answer that makes sense"):
        _sizes(_EVENT, _EVENT | other)


@pytest.mark.parametrize("data", ["0xzzzzzzzzzzzz", "zzzzzzzzzzzzzz", "0x526fc8e60", "0x526fc8e6"])
def test_a_revert_that_says_nothing_is_a_refusal_and_no_traceback(data: str) -> None:
    code = "0x" + artifact().runtime.hex()
    node = _Odd(
        eth_chainId={"result": hex(CHAIN_ID)},
        eth_getCode={"result": code},
        eth_call={"error": {"code": 3, "message": "execution reverted", "data": data}},
    )
    with (
        _serving(node) as rpc,
        open_chain_audit(rpc, chain_id=CHAIN_ID, contract="0x" + "11" * 20, log_id=_LOG) as chain,
        pytest.raises(RejectedError, match="the contract reverted with"),
    ):
        chain.look()
