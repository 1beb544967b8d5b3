"""What the demo sees of its children: totals, faults, and proofs that the chain holds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from tweeling.adapters.journal import SqliteJournal
from tweeling.cli.client import HubClient
from tweeling.cli.installation import Installation
from tweeling.cli.summary import Observed
from tweeling.cli.supervisor import Supervisor
from tweeling.errors import TweelingError

_STALE = "does not answer"


class Watch:
    """Looks at hub and children; keeps the last that was known of a part that went silent."""

    def __init__(self, installation: Installation, owner: Supervisor, *, chain_present: bool) -> None:
        self._installation = installation
        self._owner = owner
        self.seen = Observed(chain_present=chain_present)

    def look(self) -> Observed:
        """Ask the hub, and see who has ended."""
        ended = {name: how for name, child in self._owner.children.items() if (how := child.ended())}
        self.seen = replace(self.seen, ended=ended)
        try:
            with HubClient(self._installation.folder) as hub:
                self.seen = _merge(self.seen, hub.status())
        except TweelingError:
            if "hub" not in ended:
                self.seen = replace(self.seen, faults={**self.seen.faults, "hub": _STALE})
        return self.seen

    def gathered(self, nodes: int, within: float) -> bool:
        """Wait until so many nodes are online; say whether they are."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            try:
                with HubClient(self._installation.folder) as hub:
                    if sum(node["online"] for node in hub.status()["nodes"]) >= nodes:
                        return True
            except TweelingError:
                pass  # it has just begun to listen
            time.sleep(0.2)
        return False

    def drained(self, within: float) -> Observed:
        """Wait until the store has followed the journal, or as long as that may take."""
        deadline = time.monotonic() + within
        while self.look().batches_waiting and time.monotonic() < deadline and "hub" not in self.seen.ended:
            time.sleep(0.1)
        return self.seen

    def prove(self) -> Observed:
        """Have a receipt written and verified by other processes, and open the dashboard with the password."""
        self.seen = replace(
            self.seen, receipts_verified=int(self._receipt_verifies()), dashboard_answered=self._dashboard_answers()
        )
        return self.seen

    def afterwards(self) -> Observed:
        """Count what is kept on disk, now that every child has ended."""
        queued = 0
        for config in sorted((self._installation.folder / "edge").glob("*.toml")):
            done = self._python("tweeling_edge", "status", config, "--json")
            queued += int(json.loads(done.stdout).get("queued", 0)) if done.returncode == 0 else 0
        journal = SqliteJournal(self._installation.folder / "journal.db")
        try:
            counts = journal.counts()
        finally:
            journal.close()
        self.seen = replace(
            self.seen, readings_queued=queued, readings_in=counts["readings"], movements=counts["movements"]
        )
        return self.seen

    def _receipt_verifies(self) -> bool:
        receipt = self._installation.folder / "receipts" / "latest.cbor"
        receipt.parent.mkdir(exist_ok=True)
        receipt.unlink(missing_ok=True)
        store = self._installation.folder / "trusted"
        shutil.rmtree(store, ignore_errors=True)  # what an earlier run pinned may be an earlier chain
        for arguments in (
            ("receipt", "latest", "--out", receipt, "--data", self._installation.folder),
            ("trust", "add", self._installation.trust, "--trust-store", store),
            ("verify", receipt, "--trust-store", store),
        ):
            done = self._python("tweeling", *arguments)
            if done.returncode != 0:
                self.seen = replace(self.seen, faults={**self.seen.faults, "verify": done.stderr.strip()[-300:]})
                return False
        return True

    def _dashboard_answers(self) -> bool:
        try:
            with HubClient(self._installation.folder) as hub, httpx.Client(base_url=hub.url, timeout=10) as browser:
                password = self._installation.password.read_text().strip()
                browser.post("/login", data={"password": password}, headers={"Origin": hub.url})
                page = browser.get("/")  # without a session this is a redirect to the login
                return page.status_code == httpx.codes.OK
        except (TweelingError, httpx.TransportError):
            return False

    @staticmethod
    def _python(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", "no answer within a minute")


def _merge(seen: Observed, status: dict[str, Any]) -> Observed:
    counts: dict[str, int] = status["counts"]
    return replace(
        seen,
        readings_in=counts["readings_in"],
        readings_stored=counts["readings_stored"],
        batches_waiting=counts["batches_waiting"],
        movements=counts["movements"],
        events_captured=counts["events_captured"],
        events_anchored=counts["events_anchored"],
        events_pending=max(counts["events_captured"] - counts["events_anchored"], 0),
        forecasts=counts["forecasts"],
        faults={name: why for name, why in seen.faults.items() if name == "verify"}
        | {part["part"]: part["detail"] for part in status["parts"] if not part["ok"]},
    )
