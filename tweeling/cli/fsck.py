"""`tweeling fsck`: audit what a hub keeps, running or not, and name whatever disagrees."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from tweeling import bootstrap, config
from tweeling.cli.client import HubClient
from tweeling.cli.installation import Installation
from tweeling.cli.remote_points import RemotePoints
from tweeling.errors import VerificationError
from tweeling.ports.audit import PointsAudit
from tweeling.services import fsck
from tweeling.services.fsck import Check
from tweeling.verify import TrustedLog
from tweeling.verify.plain import plain


def run_fsck(folder: Path, *, as_json: bool, out: Console, ask_chain: bool = True) -> int:
    """Audit an installation and tell; return 0, or the exit code of evidence that does not agree.

    What cannot be compared (a chain that does not answer) is told, and is no disagreement.
    """
    installation = Installation(folder)
    installation.check_owner()  # SQLite makes files beside those that it reads
    settings = config.load(installation.config)
    trust = settings.data / "trust.json"
    trusted = TrustedLog.parse(trust.read_bytes(), source=str(trust)) if trust.is_file() else None
    with bootstrap.audited(settings, lambda: _ask_hub(folder), trusted=trusted, ask_chain=ask_chain) as audited:
        checks = fsck.audit(audited, trusted)
    ok = all(check.ok for check in checks)
    if as_json:
        answer = {"ok": ok, "running": audited.running, "checks": [_as_json(check) for check in checks]}
        out.print_json(json.dumps(answer), ensure_ascii=True)
    else:
        for line in _lines(checks):
            out.print(plain(line), markup=False)
    return 0 if ok else VerificationError.exit_code


@contextmanager
def _ask_hub(folder: Path) -> Iterator[PointsAudit]:
    with HubClient(folder) as hub:
        yield RemotePoints(hub)


def _as_json(check: Check) -> dict[str, object]:
    found = [each._asdict() for each in check.disagreements]
    return {
        "check": check.name,
        "ok": check.ok,
        "compared": check.compared,
        "detail": check.detail,
        "disagreements": found,
        "more": check.more,
    }


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        word = "NOT OK" if not check.ok else "ok    " if check.compared else "?     "
        yield f"{word}  {check.name}{': ' if check.detail else ''}{check.detail}"
        yield from (f"          {each}" for each in check.disagreements)
        if check.more:
            yield f"          and {check.more:,} more"
