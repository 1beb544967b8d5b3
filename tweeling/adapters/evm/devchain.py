"""The development chain: anvil on loopback, with its state in one file and no account of its own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from web3 import Web3
from web3.types import RPCEndpoint

from tweeling.adapters.evm.chain import Chain

_CHECKOUT = Path(__file__).resolve().parents[3]
_PACKAGE = "@foundry-rs"


def find_anvil() -> Path | None:
    """The program itself, from the checkout's contracts/node_modules or the PATH; None when it is not installed.

    Not npm's launcher: that one dies of a signal at once, before anvil has written its state, and a killed launcher
    leaves anvil running.
    """
    if (native := _native(_CHECKOUT / "contracts" / "node_modules" / _PACKAGE)) is not None:
        return native
    if (found := shutil.which("anvil")) is None:
        return None
    real = Path(found).resolve()
    return (_native(real.parents[1]) or real) if real.suffix == ".mjs" else real


def command(anvil: Path, *, port: int, chain_id: int, state: Path) -> list[str]:
    """The command line: silent, one block per transaction, state written every second and at SIGTERM or SIGINT."""
    return [
        str(anvil),
        *("--quiet", "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)),
        *("--accounts", "0"),  # no keys that the whole world knows
        "--no-cors",  # no page in a browser may speak to it
        *("--state", str(state), "--state-interval", "1"),
    ]


def prepare(state: Path) -> bool:
    """Make ready to start on a state file; False if it was broken and an older copy, or nothing, took its place.

    anvil writes the file in place, so a kill at the wrong moment leaves half of one, on which it would not start.
    """
    copy = state.with_name(state.name + ".last-good")
    state.parent.mkdir(parents=True, exist_ok=True)
    if not state.exists():
        return True
    if _whole(state):
        _replace(state, copy)
        return True
    state.replace(state.with_name(state.name + ".broken"))
    if copy.exists():
        _replace(copy, state)
    return False


def fund(rpc: str, address: str, *, chain_id: int, ether: int = 1_000, timeout_s: float = 10) -> None:
    """Give an account money for gas; only a development chain does that."""
    with Chain(rpc, chain_id=chain_id, timeout_s=timeout_s) as chain, chain.answers():
        chain.check()
        amount = hex(Web3.to_wei(ether, "ether"))
        chain.web3.manager.request_blocking(RPCEndpoint("anvil_setBalance"), [address, amount])


def _native(packages: Path) -> Path | None:
    return next((path for path in sorted(packages.glob("anvil-*/bin/anvil")) if os.access(path, os.X_OK)), None)


def _whole(state: Path) -> bool:
    try:
        json.loads(state.read_bytes())
    except ValueError:
        return False
    return True


def _replace(source: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    shutil.copyfile(source, part)
    part.replace(target)
