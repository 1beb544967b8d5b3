"""A development chain for a test: started on a free port, funded accounts, ended by pid."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from support_servers import free_port, need
from web3.types import RPCEndpoint

from tweeling.adapters.evm import devchain
from tweeling.adapters.evm.chain import Chain

CHAIN_ID = 31337


@dataclass(frozen=True, slots=True)
class DevChain:
    """A running anvil."""

    rpc: str
    port: int
    chain_id: int
    process: subprocess.Popen[bytes]

    def funded(self) -> LocalAccount:
        """A new account with money for gas."""
        account: LocalAccount = Account.create()
        devchain.fund(self.rpc, account.address, chain_id=self.chain_id)
        return account

    def ask(self, method: str, *params: object) -> Any:
        """One JSON-RPC request."""
        with Chain(self.rpc, chain_id=self.chain_id, timeout_s=10) as chain:
            return chain.web3.manager.request_blocking(RPCEndpoint(method), list(params))

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_anvil(
    *, state: Path | None = None, port: int | None = None, chain_id: int = CHAIN_ID, flags: Sequence[str] = ()
) -> Iterator[DevChain]:
    """Run anvil on loopback until the block ends; with a state file it goes on where it was."""
    need("anvil")
    anvil = devchain.find_anvil()
    assert anvil is not None
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="tweeling-chain-") as folder:
        place = state or Path(folder) / "state.json"
        words = Path(folder) / "anvil.log"
        with words.open("wb") as sink:
            process = subprocess.Popen(
                [*devchain.command(anvil, port=port, chain_id=chain_id, state=place), *flags],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        try:
            _await_port(port, process, words)
            yield DevChain(f"http://127.0.0.1:{port}", port, chain_id, process)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_port(port: int, process: subprocess.Popen[bytes], words: Path, within: float = 30) -> None:
    deadline = time.monotonic() + within
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, f"anvil ended with {process.returncode}:\n{words.read_text()}"
        assert time.monotonic() < deadline, f"anvil did not listen within {within} s:\n{words.read_text()}"
        time.sleep(0.02)
