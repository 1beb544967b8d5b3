"""`tweeling ledger`: the contract, who keeps the log there, and where it goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer
from eth_account.signers.local import LocalAccount
from rich.console import Console
from web3 import Web3

from tweeling import config
from tweeling.adapters import secretfile
from tweeling.adapters.evm.artifact import version
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.deploying import Cost, Deployment
from tweeling.adapters.evm.depth import await_depth
from tweeling.adapters.evm.keyfile import address_of, create_key, load_key
from tweeling.adapters.evm.ledger import log_id
from tweeling.adapters.evm.operating import Contract, Keeper, Successor, check_moves
from tweeling.adapters.evm.wallet import coins
from tweeling.bootstrap.ledger import account_of, most_wei, pinned_log, rpc_of
from tweeling.cli.installation import Installation
from tweeling.config import LedgerSettings, Settings
from tweeling.errors import ConfigError, LedgerError, Trouble
from tweeling.services.editing import Value, edit

_TIMEOUT_S = 10.0
_MINED_S = 300.0  # a person waits, and may interrupt
_GWEI = 10**9


def deploy(data: Path, *, again: bool, yes: bool, out: Console) -> None:
    """Put the contract on the configured chain, and write it into the settings, unless the log lives in another."""
    installation, settings = _opened(data, "contract", "first_block", "log_id", "continues")
    ledger = settings.ledger
    if ledger.contract is not None and not again:
        raise ConfigError(
            f"{ledger.contract} is configured already",
            field="ledger.contract",
            source=str(installation.config),
            remedy="--again puts another on the chain",
        )
    account, lives = account_of(ledger), _lives(settings)
    with chain_of(ledger) as chain:
        deployment = Deployment(chain, account, receipt_s=_MINED_S, most_wei=most_wei(ledger))
        cost = deployment.cost()
        _tell_cost(cost, account, chain, out)
        _agree("Create the contract?", out, yes=yes)
        made = deployment.deploy(
            tell=lambda address: out.print(
                f"Sent: it will be at {address}. If this is interrupted, look there before another is made.",
                markup=False,
            )
        )
        price = f"{made.gas:,} gas, {coins(made.cost)}"
        out.print(f"{made.address}: created in block {made.block} of chain {chain.id}, for {price}", markup=False)
        _tell_wait(ledger, out, interrupted="name it in the settings")
        await_depth(chain, made.block, made.block_hash, ledger.confirmations)
    if lives:
        out.print(
            f"The log stays in {ledger.contract}. To let it go on in the new one:\n"
            f"tweeling ledger retire --successor-contract {made.address}",
            markup=False,
        )
        return
    _write(installation, {"contract": made.address, "first_block": made.block, "log_id": None, "continues": None}, out)


def new_key(file: Path, out: Console) -> None:
    """Make a key file for an operator to be, and its passphrase beside it."""
    passphrase = file.with_suffix(".passphrase")
    account = create_key(file, passphrase)
    out.print(f"{file}: the key of {account.address}, opened by {passphrase}", markup=False)


def propose(data: Path, address: str | None, out: Console) -> None:
    """Offer the log to another account, or withdraw the offer."""
    installation, settings = _opened(data, "log_id")
    if address is not None and (not Web3.is_address(address) or int(address, 16) == 0):
        raise ConfigError("no account", field="--to", remedy="It should be 0x and 40 hex digits, its checksum right")
    with keeper_of(settings, account_of(settings.ledger)) as (keeper, log):
        keeper.propose(address)
    if address is None:
        out.print("The offer is withdrawn: nobody else may take the log over.", markup=False)
        return
    # Before the key changes: from then on nothing else tells which log this is.
    _write(installation, {"log_id": f"0x{log.hex()}"}, out)
    out.print(
        f"{Web3.to_checksum_address(address)} may take the log over now, with its key file:\n"
        "tweeling ledger rotate-operator --accept --key-file FILE --passphrase-file FILE",
        markup=False,
    )


def accept(data: Path, key_file: Path | None, passphrase_file: Path | None, out: Console) -> None:
    """Take the log over with a key, and let the hub go on with it."""
    installation, settings = _opened(data, "log_id", "key_file", "passphrase_file")
    ledger = settings.ledger
    if passphrase_file is not None and ledger.passphrase is not None and ledger.passphrase.get_secret_value():
        raise ConfigError(
            "stands over --passphrase-file, and would over the setting too",
            field="ledger.passphrase",
            remedy="Unset TWEELING_LEDGER__PASSPHRASE, and take it out of the settings, first",
        )
    account = load_key(
        key_file or ledger.key_file,
        passphrase_file or ledger.passphrase_file,
        None if passphrase_file else ledger.passphrase,
    )
    with keeper_of(settings, account) as (keeper, log):
        keeper.accept()
        _tell_wait(ledger, out)
        keeper.await_depth(ledger.confirmations)
    values: dict[str, Value | None] = {"log_id": f"0x{log.hex()}"}
    for name, path in (("key_file", key_file), ("passphrase_file", passphrase_file)):
        if path is not None:
            values[name] = _place(path, installation.folder)
    _write(installation, values, out)
    out.print(f"{account.address} is the log's operator. Restart the hub: it anchors with this key.", markup=False)


def retire(data: Path, contract: str, chain_id: int | None, rpc: str | None, *, yes: bool, out: Console) -> None:
    """End the log in this contract for ever, and let it go on in another."""
    installation, settings = _opened(
        data, "contract", "chain_id", "first_block", "log_id", "continues", *(("rpc", "rpc_file") if rpc else ())
    )
    ledger, origin = settings.ledger, settings.custody.origin
    if not Web3.is_address(contract):
        raise ConfigError("no address", field="--successor-contract", remedy="It should be 0x and 40 hex digits")
    if chain_id not in {None, ledger.chain_id} and rpc is None:
        raise ConfigError("is needed for another chain", field="--rpc", remedy="Name a node of that chain")
    account, new_chain = account_of(ledger), chain_id or ledger.chain_id
    new_log = log_id(account.address, origin)
    node, named_by = (rpc_of(ledger), "ledger.rpc") if rpc is None else (_node(rpc), "--rpc")
    with Chain(node, chain_id=new_chain, timeout_s=_TIMEOUT_S, named_by=named_by) as chain:
        new = Contract(chain, contract)
        held = new.state(new_log)
        if held is not None and held.head.size:
            raise ConfigError(
                f"holds size {held.head.size} of this log already, and its first anchor has to be the retired head",
                field="--successor-contract",
                remedy="`tweeling ledger deploy --again` makes another",
            )
        with chain.answers():
            first_block = chain.height()
    successor = Successor(new_chain, new.address, new_log)
    with keeper_of(settings, account) as (keeper, _):
        state = keeper.state()
        check_moves(state)
        if state.head.size == 0:
            raise ConfigError(
                "nothing is anchored there yet, so there is nothing to continue",
                field="ledger.contract",
                remedy="Name the other contract in the settings",
            )
        out.print(
            f"{origin} ends in {ledger.contract} for ever at size {state.head.size:,}, and goes on in {new.address} on "
            f"chain {new_chain}.\nNothing can take this back.",
            markup=False,
        )
        if not yes and typer.prompt("Type the name of the log to go on") != origin:
            raise ConfigError("is not the name of the log", field="answer", remedy="Nothing is changed")
        head = keeper.retire(successor)
        _tell_wait(ledger, out)
        keeper.await_depth(ledger.confirmations)
    values: dict[str, Value | None] = {
        "contract": new.address,
        "chain_id": new_chain,
        "first_block": first_block,
        "log_id": None,
        "continues": f"{head.size}:0x{head.root.hex()}" if head.size else None,
    }
    if rpc is not None:
        values |= {"rpc": rpc, "rpc_file": None}
    _write(installation, values, out)
    out.print("Restart the hub: its first anchor there is the head that was retired.", markup=False)


@contextmanager
def chain_of(ledger: LedgerSettings) -> Iterator[Chain]:
    """Open the configured chain."""
    with Chain(rpc_of(ledger), chain_id=ledger.chain_id, timeout_s=_TIMEOUT_S) as chain:
        yield chain


@contextmanager
def keeper_of(settings: Settings, account: LocalAccount) -> Iterator[tuple[Keeper, bytes]]:
    """Open the log on its contract, for an account to change; and its id."""
    ledger = settings.ledger
    with chain_of(ledger) as chain:
        log = log_of(settings)
        contract = Contract(chain, contract_of(ledger))
        yield Keeper(contract, log, account, receipt_s=_MINED_S, most_wei=most_wei(ledger)), log


def contract_of(ledger: LedgerSettings) -> str:
    """The configured contract, or ConfigError."""
    if ledger.contract is None:
        raise ConfigError("none is configured", field="ledger.contract", remedy="`tweeling ledger deploy` makes one")
    return ledger.contract


def log_of(settings: Settings) -> bytes:
    """The id of the log: as set, as the trust file has it, or as the key begins it."""
    if settings.ledger.log_id is not None:
        return bytes.fromhex(settings.ledger.log_id.removeprefix("0x"))
    if (pinned := pinned_log(settings)) is not None:
        return pinned
    return log_id(address_of(settings.ledger.key_file), settings.custody.origin)


def _opened(data: Path, *written: str) -> tuple[Installation, Settings]:
    """Open an installation whose [ledger] will be written: these keys, where the environment does not set them."""
    for name in written:
        config.refuse_environment(f"ledger__{name}", "which would stand over what this command writes")
    installation = Installation(data.resolve())
    settings = config.load(installation.config)
    installation.check_owner()
    if installation.is_demo:
        raise ConfigError(
            "a demo makes its own chain and contract",
            field="--data",
            source=str(installation.folder),
            remedy="Name an installation (`tweeling init`)",
        )
    return installation, settings


def _lives(settings: Settings) -> bool:
    """Whether the configured contract, if any, holds the log and goes on with it; ConfigError where nobody can tell."""
    ledger = settings.ledger
    if ledger.contract is None:
        return False
    with chain_of(ledger) as chain:
        contract = Contract(chain, ledger.contract)
        with chain.answers():
            chain.check()
            code = chain.code(contract.address)
        if not code:
            return False
        if version(code) is None:
            raise ConfigError(
                f"the code at {contract.address} on chain {chain.id} is none of ours, so nobody can tell whether the "
                "log lives there",
                field="ledger.contract",
                remedy="A later version of Tweeling may know it; if no log of ours lives there, take it out of the "
                "settings",
            )
        state = contract.state(log_of(settings))
    if state is None or state.head.size == 0 or state.successor is not None:
        return False
    check_moves(state)  # else a contract would be paid for, in which the log can never go on
    return True


def _tell_cost(cost: Cost, account: LocalAccount, chain: Chain, out: Console) -> None:
    out.print(
        f"{chain.name}, paid by {account.address}, which holds {coins(cost.balance)}.\n"
        f"The contract takes about {cost.gas:,} gas: {coins(cost.wei)} at {cost.price / _GWEI:.4g} gwei; "
        f"{coins(cost.needed)} have to be there, as prices move.",
        markup=False,
    )
    if cost.balance < cost.needed:
        raise LedgerError(
            f"account {account.address} holds {coins(cost.balance)}",
            trouble=Trouble.FUNDS,
            remedy=f"Send it at least {coins(cost.needed - cost.balance)} on chain {chain.id}, and more for anchors",
        )


def _tell_wait(ledger: LedgerSettings, out: Console, *, interrupted: str = "run it again") -> None:
    if ledger.confirmations > 1:
        out.print(
            f"It is done. The settings follow when it is {ledger.confirmations} blocks deep (ledger.confirmations); if "
            f"this is interrupted, {interrupted}.",
            markup=False,
        )


def _agree(question: str, out: Console, *, yes: bool) -> None:
    if yes:
        return
    try:
        agreed = typer.confirm(question)
    except typer.Abort:
        out.print("\nNothing is changed. Where nobody answers, --yes agrees.")
        raise
    if not agreed:
        out.print("Nothing is changed.")
        raise typer.Abort


def _node(rpc: str) -> str:
    try:
        return config.node_address(rpc)
    except ValueError as exc:
        raise ConfigError(str(exc), field="--rpc") from None


def _write(installation: Installation, values: Mapping[str, Value | None], out: Console) -> None:
    """Write into [ledger] of the settings; what cannot be written there is printed for a person to write."""
    shown = {**values, "rpc": "as you gave it"} if "rpc" in values else values  # it may hold a key
    told = "".join(f"\n{key} = {json.dumps(value)}" for key, value in shown.items() if value is not None)
    gone = "".join(f"\n#{key}" for key, value in values.items() if value is None)
    try:
        secretfile.write(installation.config, edit(installation.config.read_text("utf-8"), "ledger", values))
    except (ValueError, OSError) as exc:
        out.print(f"{installation.config} cannot be changed ({exc}). Write there:\n[ledger]{told}{gone}", markup=False)
        return
    out.print(f"{installation.config}: [ledger] is changed{told}", markup=False)


def _place(path: Path, folder: Path) -> str:
    whole = Path(os.path.abspath(path))  # noqa: PTH100  # a link stays the name that was given
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)
