from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from support_chain import running_anvil
from support_rfc9162 import leaf, tree_of
from support_servers import free_port

from tweeling.adapters.evm import EvmLedger, deploy, devchain
from tweeling.domain.log import Head
from tweeling.errors import ConfigError, TweelingError, UnavailableError

TREE = tree_of([leaf(b"entry %d" % number) for number in range(20)])
NOBODY: LocalAccount = Account.create()


def test_a_chain_that_is_down_is_unavailable_and_answers_again_when_it_is_back(tmp_path: Path) -> None:
    state, port = tmp_path / "state.json", free_port()
    with running_anvil(state=state, port=port) as chain:
        account = chain.funded()
        contract = deploy(chain.rpc, account, chain_id=chain.chain_id)
        ledger = _ledger(chain.rpc, contract=contract, account=account)
        anchored = ledger.anchor(5, TREE.root(5), [])
    with closing(ledger):
        for ask in (ledger.head, lambda: ledger.find(5), lambda: ledger.anchor(9, TREE.root(9), [])):
            with pytest.raises(UnavailableError, match=f"chain 31337 at 127.0.0.1:{port} gave no answer"):
                ask()
        with running_anvil(state=state, port=port):
            assert ledger.head() == Head(5, TREE.root(5))
            assert ledger.find(5) == anchored, "events survive a restart"
            ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))


def test_another_chain_behind_the_same_address_is_noticed_after_a_silence() -> None:
    port = free_port()
    with running_anvil(port=port) as chain:
        account = chain.funded()
        contract = deploy(chain.rpc, account, chain_id=chain.chain_id)
        ledger = _ledger(chain.rpc, contract=contract, account=account)
        ledger.head()
    with closing(ledger):
        with pytest.raises(UnavailableError):
            ledger.head()
        with running_anvil(port=port), pytest.raises(ConfigError, match="no contract"):
            ledger.head()


def test_a_killed_chain_goes_on_from_its_last_dump_and_the_ledger_with_it(tmp_path: Path) -> None:
    state, port = tmp_path / "state.json", free_port()
    with running_anvil(state=state, port=port) as chain:
        account = chain.funded()
        contract = deploy(chain.rpc, account, chain_id=chain.chain_id)
        ledger = _ledger(chain.rpc, contract=contract, account=account)
        ledger.anchor(5, TREE.root(5), [])
    with closing(ledger):
        assert devchain.prepare(state)
        with running_anvil(state=state, port=port) as chain:
            ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
            chain.kill()
        state.write_bytes(state.read_bytes()[:100])  # the kill fell into a dump
        assert not devchain.prepare(state)
        with running_anvil(state=state, port=port):
            assert ledger.head() == Head(5, TREE.root(5)), "the chain lost block and anchor"
            ledger.anchor(12, TREE.root(12), TREE.consistency(5, 12))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>a proxy's page</html>"),
        (200, b"\xff\xfe"),
        (200, b"{}"),
        (200, b'{"jsonrpc":"2.0","id":0}'),
        (200, b'{"jsonrpc":"2.0","id":0,"result":"soon"}'),
        (200, b'{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"rate limit"}}'),
        (429, b"too many requests"),
        (502, b"bad gateway"),
    ],
)
def test_a_node_that_talks_nonsense_is_unavailable(status: int, body: bytes) -> None:
    with _node(status, body) as rpc, closing(_ledger(rpc)) as ledger, pytest.raises(UnavailableError):
        ledger.head()


def test_a_node_that_is_silent_is_given_up_in_time() -> None:
    with _node(200, None) as rpc, closing(_ledger(rpc, timeout_s=0.2)) as ledger, pytest.raises(UnavailableError):
        ledger.head()


def test_no_error_shows_the_key_in_a_nodes_address() -> None:
    with _node(502, b"") as rpc:
        secret = rpc.replace("http://", "http://me:hunter2@") + "/v3/hunter2"
        with closing(_ledger(secret)) as ledger, pytest.raises(TweelingError) as caught:
            ledger.head()
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError) as wrong:
        _ledger("hunter2://hunter2")
    assert "hunter2" not in str(wrong.value)


def test_an_address_that_is_none_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        _ledger("http://127.0.0.1:1", contract="0x12")
    assert caught.value.field == "ledger.contract"


def _ledger(
    rpc: str, *, contract: str = NOBODY.address, account: LocalAccount = NOBODY, timeout_s: float = 10
) -> EvmLedger:
    return EvmLedger(
        rpc=rpc,
        chain_id=31337,
        contract=contract,
        account=account,
        origin="tweeling.test/log",
        timeout_s=timeout_s,
    )


@contextmanager
def _node(status: int, body: bytes | None) -> Iterator[str]:
    """A server that gives every question the same answer; None keeps the asker waiting."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if body is None:
                over.wait(30)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            thread.join()
