"""A hub that captures, its chain and those who bring it events: each can be killed, and started again."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx
import sqlalchemy as sa
from eth_utils.crypto import keccak
from support_broker import until
from support_postgres import Postgres
from support_rig_files import BrokerFiles, Node, write_hub
from support_rig_program import Guard, Program
from support_rig_rpc import Wire
from support_rig_rude import REFUSED, good, request
from support_servers import lasting_port, need

from tweeling.adapters.evm import deploy, devchain, keyfile
from tweeling.adapters.sql import tables
from tweeling.cli.client import HubClient
from tweeling.cli.supervisor import listening
from tweeling.errors import UnavailableError

CHAIN_ID = 31337
_ANCHORED = f"0x{keccak(text='CheckpointAnchored(bytes32,uint64,bytes32)').hex()}"
_UP = [sys.executable, "-m", "tweeling", "up"]


class Answered(NamedTuple):
    """What a client was told of an event."""

    event_id: str
    index: int


@dataclass
class Clients:
    """Bring events as fast as they are taken, each anew until it is answered; others, what no partner should send."""

    url: str
    capture_token: str
    query_token: str
    answered: dict[int, Answered] = field(default_factory=dict)
    receipts: dict[int, bytes] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    sent: int = 0
    left: list[int] = field(default_factory=list)  # asked, and never answered
    statuses: Counter[int] = field(default_factory=Counter)  # of the rude
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def bring(self, count: int = 3, *, rude: Sequence[int] = (1,)) -> Iterator[None]:
        """Have clients bring events while the block runs, what was left unanswered first. rude: a seed for each."""
        self._stop.clear()
        threads = [threading.Thread(target=self._bring) for _ in range(count)]
        threads += [threading.Thread(target=self._be_rude, args=(seed,)) for seed in rude]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._stop.set()
            for each in threads:
                each.join()

    def ask(self) -> None:
        """Ask for the receipts of some that have none yet."""
        with httpx.Client(base_url=self.url, timeout=10, trust_env=False) as http:
            for number in sorted(self.answered.keys() - self.receipts.keys())[::7]:
                self._receipt(http, number)

    def _bring(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10, trust_env=False) as http:
            while not self._stop.is_set():
                with self._lock:
                    if self.left:
                        number = self.left.pop()
                    else:
                        self.sent += 1
                        number = self.sent
                if not self._capture(http, number):
                    with self._lock:
                        self.left.append(number)
                    self._stop.wait(0.02)  # it is down, or just coming up
                elif number % 7 == 0:
                    self._receipt(http, min(self.answered.keys() - self.receipts.keys(), default=number))

    def _be_rude(self, seed: int) -> None:
        rng = Random(seed * 10_000 + self.sent)
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as http:
            while not self._stop.is_set():
                asked = request(rng, self.capture_token, rng.randint(1, max(self.sent, 1)))
                try:
                    answer = http.request(asked.method, asked.path, content=asked.content, headers=asked.headers)
                except httpx.HTTPError:  # it is down, or has hung up on what is too large
                    self._stop.wait(0.02)
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 201:
                    continue  # what was broken in it broke nothing
                if answer.status_code not in REFUSED:
                    self.wrong.append(f"{answer.status_code} for {asked.method} {asked.path} {asked.content[:300]!r}")

    def _capture(self, http: httpx.Client, number: int) -> bool:
        event = good(number)
        headers = {"Authorization": f"Bearer {self.capture_token}"}
        try:
            answer = http.post("/events", json=event, headers=headers)
        except httpx.HTTPError:
            return False
        if answer.status_code == 503:
            return False
        told = answer.json()
        if answer.status_code == 201:
            self.answered[number] = Answered(told["eventID"], told["index"])
        elif answer.status_code == 409:
            index = int(told["detail"].split("as entry ")[1].split(":")[0])
            self.answered[number] = Answered(event["eventID"], index)
        else:
            self.wrong.append(f"event {number}: {answer.status_code} {answer.text}")
        return True

    def _receipt(self, http: httpx.Client, number: int) -> None:
        who = {"Authorization": f"Bearer {self.query_token}"}
        try:
            answer = http.get(f"/custody/{self.answered[number].event_id}/receipt", headers=who)
        except httpx.HTTPError:
            return
        if answer.status_code == 200:
            self.receipts[number] = answer.content
        elif answer.status_code != 503:  # under no checkpoint yet
            self.wrong.append(f"receipt {number}: {answer.status_code} {answer.text}")


class CustodyRig:
    """One installation with a contract on a chain of its own. server: where the records are; a file else."""

    def __init__(self, folder: Path, *, server: Postgres | None = None) -> None:
        need("anvil")
        anvil = devchain.find_anvil()
        assert anvil is not None
        self._state, self._chain_port = folder / "chain.json", lasting_port()
        self.chain_rpc = f"http://127.0.0.1:{self._chain_port}"
        argv = devchain.command(anvil, port=self._chain_port, chain_id=CHAIN_ID, state=self._state)
        self.chain = Program("chain", argv, ready="", log=folder / "chain.log")
        self.wire = Wire(self.chain_rpc)
        self.server = server
        port = lasting_port()
        tables: dict[str, dict[str, object]] = {
            "store": {"kind": "memory"},
            "custody": {"origin": "tweeling.local/faults"},
            "ledger": {"rpc": self.wire.rpc, "max_age_s": 0.2, "patience_s": 30},
        }
        files = BrokerFiles("nats", folder / "broker", [Node("H1", "n1")])
        self.installation = write_hub(folder / "hub", files, port=port, store_url=None, tables=tables)
        self.file = self.installation.folder / "records.db"
        self._engine = sa.create_engine("sqlite://", creator=self._open, poolclass=sa.NullPool)
        if server is not None:
            url = server.new_database()
            self._engine = sa.create_engine(url, poolclass=sa.NullPool)
            text = self.installation.config.read_text()
            self.installation.config.write_text(f'records = "{url}"\n{text}')
        self.hub = Program("hub", [*_UP, self.installation.config], ready="hub.ready", log=folder / "hub.log")
        self.guard = Guard(lambda: [self.chain, self.hub])
        capture, query = (self.installation.token(name).read_text().strip() for name in ("partners", "cli"))
        self.clients = Clients(f"http://127.0.0.1:{port}", capture, query)
        self.contract = ""

    def prepare(self) -> None:
        """Start the chain, and put the contract on it."""
        self.start_chain()
        secrets = self.installation.secrets
        account = keyfile.create_key(secrets / "ledger-key.json", secrets / "ledger-passphrase")
        devchain.fund(self.chain_rpc, account.address, chain_id=CHAIN_ID)
        self.contract = deploy(self.chain_rpc, account, chain_id=CHAIN_ID)
        with self.installation.config.open("a") as settings:  # its last table is [ledger]
            settings.write(f'contract = "{self.contract}"\n')
        # A chain that is killed later goes on from here at the earliest.
        until(lambda: self.contract[2:].lower() in self._dump(), "the chain has written the contract down")

    def start_chain(self) -> None:
        devchain.prepare(self._state)
        self.chain.start(wait=False)
        until(lambda: listening(self._chain_port), "the chain listens")

    def start(self) -> None:
        """Start what does not run."""
        if not self.chain.running:
            self.start_chain()
        if not self.hub.running:
            self.hub.start()

    def part(self, name: str) -> str:
        """What the hub says of one of its parts; nothing while it does not answer."""
        try:
            with HubClient(self.installation.folder) as client:
                return next(each["detail"] for each in client.status()["parts"] if each["part"] == name)
        except UnavailableError:
            return ""

    def select(self, query: sa.Select[Any]) -> list[Any]:
        """Ask the records as they are, whoever has them, and change nothing."""
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def newest_checkpoint(self) -> int:
        """Its size, 0 while there is none or nobody to ask."""
        try:
            return self.select(sa.select(sa.func.max(tables.CHECKPOINT.c.size)))[0][0] or 0
        except sa.exc.DBAPIError:
            return 0

    def anchored(self) -> list[tuple[int, bytes]]:
        """Size and root of every CheckpointAnchored on the chain, read from its raw events."""
        asked = {"address": self.contract, "fromBlock": "0x0", "toBlock": "latest"}
        question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [asked]}
        events = httpx.post(self.chain_rpc, json=question, timeout=10).json()["result"]
        sized = [each for each in events if len(each["topics"]) == 3 and len(each["data"]) == 66]
        return [
            (int(each["topics"][2], 16), bytes.fromhex(each["data"][2:]))
            for each in sized
            if each["topics"][0] == _ANCHORED
        ]

    def fsck(self, *, code: int = 0) -> dict[str, Any]:
        """What `tweeling fsck` says, by check; it has to end with this code."""
        command = [sys.executable, "-m", "tweeling", "fsck", "--json", "--data", str(self.installation.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return {check["check"]: check for check in json.loads(done.stdout)["checks"]}

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True)

    def _dump(self) -> str:
        return self._state.read_text().lower() if self._state.exists() else ""


@contextmanager
def custody_rig(folder: Path, *, server: Postgres | None = None) -> Iterator[CustodyRig]:
    """Make a rig; on failure tell what was done and what every program said, and end them all."""
    rig = CustodyRig(folder, server=server)
    try:
        with rig.wire:
            rig.prepare()
            yield rig
    except BaseException as exc:
        rig.guard.explain(exc)
        raise
    finally:
        rig.guard.end()
