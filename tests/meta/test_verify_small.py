"""The verifier is what a partner has to trust, so it stays small and alone."""

from __future__ import annotations

import subprocess
import sys

from support_servers import ROOT

HEAVY = ("sqlalchemy", "web3", "eth_account", "numpy", "pandas", "httpx", "fastapi", "dash", "paho", "duckdb")


def test_the_verifier_is_less_than_a_thousand_lines() -> None:
    assert sum(len(path.read_text().splitlines()) for path in (ROOT / "tweeling" / "verify").glob("*.py")) < 1000


def test_importing_the_verifier_loads_neither_network_nor_database() -> None:
    program = f"import sys, tweeling.verify; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
