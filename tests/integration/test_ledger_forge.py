from __future__ import annotations

import subprocess

from support_servers import ROOT, need

CONTRACTS = ROOT / "contracts"


def test_the_contracts_own_tests_pass() -> None:
    done = _forge("test", "--offline")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contracts_are_in_form() -> None:
    done = _forge("fmt", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def _forge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [need("forge"), *arguments, "--root", str(CONTRACTS)]
    return subprocess.run(command, cwd=CONTRACTS, capture_output=True, text=True, check=False, timeout=110)
