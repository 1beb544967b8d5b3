"""`tweeling ledger status`: log and chain, side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from web3 import Web3

from tweeling import config
from tweeling.adapters.clock import SystemClock
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.keyfile import address_of
from tweeling.adapters.evm.ledger import ANCHOR_GAS
from tweeling.adapters.evm.operating import Contract, LogState
from tweeling.adapters.evm.wallet import affords, coins, price_of
from tweeling.adapters.sql.engine import records_to_read
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.bootstrap.ledger import first_head, most_wei
from tweeling.bootstrap.readings import records_url
from tweeling.cli.installation import Installation
from tweeling.cli.ledger import chain_of, contract_of, log_of
from tweeling.cli.status import duration
from tweeling.config import Settings
from tweeling.domain import merkle
from tweeling.domain.log import Anchor, Head
from tweeling.errors import ConfigError, TweelingError
from tweeling.ports.logstore import LogStore
from tweeling.verify.plain import plain

_FEW = 100


@dataclass
class _Told:
    """What is known, as `--json` has it; `problems` by exit code."""

    origin: str
    log_id: str
    account: str
    chain_id: int
    contract: str | None
    contract_is_ours: bool | None = None
    contract_version: int | None = None
    size: int = 0
    anchored_size: int = 0
    pending: int = 0
    anchored_block: int | None = None
    anchored_age_s: float | None = None
    confirmations: int | None = None
    confirmations_wanted: int = 1
    node: str | None = None
    height: int | None = None
    head_size: int | None = None
    head_agrees: bool | None = None
    begins_with: int | None = None
    operator: str | None = None
    proposed_operator: str | None = None
    retired: bool = False
    successor: dict[str, Any] | None = None
    gas_price_wei: int | None = None
    gas_price_cap_wei: int | None = None
    balance_wei: int | None = None
    anchors_left: int | None = None
    problems: list[str] = field(default_factory=list)
    code: int = 0

    def problem(self, text: str, code: int = 1) -> None:
        """The weightiest decides how the command ends: 3, then 2, then 1."""
        self.problems.append(text)
        self.code = max(self.code, code)


def show_ledger(data: Path, *, as_json: bool, out: Console) -> int:
    """Print how the log stands on its chain; return the exit code."""
    installation = Installation(data)
    settings = config.load(installation.config)
    installation.check_owner()
    ledger = settings.ledger
    if ledger.contract is None and not ledger.key_file.exists():
        raise ConfigError(
            "no chain is configured, and there is no key for one",
            field="ledger.contract",
            source=str(installation.config),
            remedy="A demo makes both where anvil is installed" if installation.is_demo else "Run `tweeling init`",
        )
    told = _Told(
        origin=settings.custody.origin,
        log_id=f"0x{log_of(settings).hex()}",
        account=address_of(ledger.key_file),
        chain_id=ledger.chain_id,
        contract=ledger.contract,
        confirmations_wanted=ledger.confirmations,
        gas_price_cap_wei=most_wei(ledger),
    )
    records = records_to_read(records_url(settings))
    if records is None:
        _ask(settings, told, None)
    else:
        with closing(records):
            _ask(settings, told, SqlLogStore(records))
    if as_json:
        answer = asdict(told) | {"ok": told.code == 0}
        del answer["code"]
        out.print_json(json.dumps(answer), ensure_ascii=True)
        return told.code
    for name, said in _lines(told):
        out.print(f"{name:11}{plain(said)}", markup=False)
    for problem in told.problems:
        out.print(f"NOT OK     {plain(problem)}", markup=False)
    return told.code


def _ask(settings: Settings, told: _Told, store: LogStore | None) -> None:
    anchor = _local(told, store)
    try:
        with chain_of(settings.ledger) as chain:
            told.node = chain.name
            with chain.answers():
                chain.check()
                told.height = chain.height()
                _money(told, chain)
                if anchor is not None:
                    _depth(told, chain, anchor)
            contract = Contract(chain, contract_of(settings.ledger))
            with chain.answers():
                told.contract_version = contract.check()
            state = contract.state(bytes.fromhex(told.log_id[2:]))
            told.contract_is_ours = True
        if state is None:
            _not_begun(told, anchor, first_head(settings.ledger))
        else:
            _compare(told, state, store)
    except ConfigError as exc:
        if told.contract is not None and exc.field == "ledger.contract":
            told.contract_is_ours = False
        told.problem(str(exc), exc.exit_code)
    except TweelingError as exc:
        told.problem(str(exc), exc.exit_code)


def _local(told: _Told, store: LogStore | None) -> Anchor | None:
    if store is None:
        return None
    anchor = store.anchor()
    told.size = store.size()
    told.anchored_size = anchor.size if anchor else 0
    told.pending = told.size - told.anchored_size
    if anchor is not None:
        told.anchored_block = anchor.block
        signed = store.checkpoint(anchor.size)
        told.anchored_age_s = None if signed is None else max(SystemClock().now_ms() - signed.time_ms, 0) / 1000
    return anchor


def _money(told: _Told, chain: Chain) -> None:
    asked = price_of(chain)
    price = told.gas_price_wei = asked.now
    balance = told.balance_wei = int(chain.web3.eth.get_balance(Web3.to_checksum_address(told.account)))
    told.anchors_left = affords(balance, ANCHOR_GAS, asked, told.gas_price_cap_wei)
    if told.anchors_left is not None and told.anchors_left < _FEW:
        told.problem(
            f"account {told.account} can pay {told.anchors_left} more anchors: send it {coins(_wanted(price))}"
        )
    if told.gas_price_cap_wei is not None and price > told.gas_price_cap_wei:
        told.problem(
            f"gas costs {price / 1e9:.4g} gwei, more than ledger.max_fee_gwei = {told.gas_price_cap_wei / 1e9:.4g}: "
            "anchors wait"
        )


def _wanted(price: int) -> int:
    return price * ANCHOR_GAS * 10 * _FEW


def _depth(told: _Told, chain: Chain, anchor: Anchor) -> None:
    if not _here(told, anchor) or told.height is None or told.height < anchor.block:
        return
    held = chain.block(anchor.block).hash == anchor.block_hash
    told.confirmations = told.height - anchor.block + 1 if held else 0
    if not held:
        told.problem(f"block {anchor.block}, which held the anchor of size {anchor.size}, is no longer of this chain")


def _not_begun(told: _Told, anchor: Anchor | None, first: Head | None) -> None:
    if first is not None:
        told.begins_with = first.size
    if anchor is None:
        return
    if _here(told, anchor):
        told.problem("the contract knows no such log, and this one was anchored there")
    elif first is None:
        told.problem(
            f"the contract knows no such log, and this one was anchored in {anchor.contract} on chain {anchor.chain_id}"
        )


def _here(told: _Told, anchor: Anchor) -> bool:
    return (anchor.chain_id, anchor.contract.lower()) == (told.chain_id, (told.contract or "").lower())


def _compare(told: _Told, state: LogState, store: LogStore | None) -> None:
    told.head_size, told.operator, told.proposed_operator = state.head.size, state.operator, state.proposed
    told.head_agrees = _agrees(state.head, store)
    if not told.head_agrees:
        told.problem(f"the chain's head of size {state.head.size} is no head of this log", 3)
    if (after := state.successor) is not None:
        told.retired = True
        told.successor = {"chain_id": after.chain_id, "contract": after.ledger, "log_id": f"0x{after.log_id.hex()}"}
        told.problem(f"the log is retired here, and goes on in {after.ledger} on chain {after.chain_id}")
    elif state.operator != told.account:
        told.problem(f"the log's operator is {state.operator}, and ledger.key_file is the key of {told.account}")


def _agrees(head: Head, store: LogStore | None) -> bool:
    if head.size == 0:
        return True
    return store is not None and store.size() >= head.size and merkle.root(head.size, store.nodes) == head.root


def _lines(told: _Told) -> Iterator[tuple[str, str]]:
    yield "log", f"{told.origin}, {told.log_id}"
    yield "node", f"{told.node}{'' if told.height is None else f', block {told.height:,}'}"
    ours = {True: f", our code (version {told.contract_version})", False: ", NOT our code", None: ""}[
        told.contract_is_ours
    ]
    yield "contract", f"{told.contract or 'none'}{ours}"
    if told.operator is not None:
        offered = f", offered to {told.proposed_operator}" if told.proposed_operator else ""
        yield "operator", f"{told.operator}{' (our key)' if told.operator == told.account else ''}{offered}"
    begins = (
        "" if told.begins_with is None else f": restart the hub; its first anchor here is size {told.begins_with:,}"
    )
    head = f"not begun{begins}" if told.head_size is None else f"size {told.head_size:,}"
    yield "head", head + {True: ", as in this log", False: ", NOT as in this log", None: ""}[told.head_agrees]
    yield "events", f"{told.size:,} in the log, {told.pending:,} pending"
    if told.anchored_block is not None:
        deep = "" if told.confirmations is None else f", {told.confirmations:,} confirmations deep"
        age = "" if told.anchored_age_s is None else f", signed {duration(told.anchored_age_s)} ago"
        yield "anchored", f"size {told.anchored_size:,} in block {told.anchored_block:,}{deep}{age}"
    yield "wanted", f"{told.confirmations_wanted:,} confirmations"
    if told.balance_wei is not None and told.gas_price_wei is not None:
        left = "anchors cost nothing" if told.anchors_left is None else f"pays {told.anchors_left:,} anchors"
        yield (
            "account",
            f"{told.account} holds {coins(told.balance_wei)}: {left} at {told.gas_price_wei / 1e9:.4g} gwei",
        )
    if told.successor is not None:
        yield "successor", f"{told.successor['contract']} on chain {told.successor['chain_id']}"
