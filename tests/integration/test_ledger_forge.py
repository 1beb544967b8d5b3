from __future__ import annotations

import json
import subprocess

from support_servers import ROOT, need

from tweeling.adapters.evm.artifact import artifact

CONTRACTS = ROOT / "contracts"


def test_the_contracts_own_tests_pass() -> None:
    done = _forge("test", "--offline")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_forge_tests_is_what_the_package_ships() -> None:
    assert _forge("build", "--offline").returncode == 0
    for name in ("CustodyLedger", "PartnerRegistry"):
        tested = json.loads((CONTRACTS / "out" / f"{name}.sol" / f"{name}.json").read_text())
        assert tested["bytecode"]["object"] == f"0x{artifact(name).bytecode.hex()}"
        assert tested["deployedBytecode"]["object"] == f"0x{artifact(name).runtime.hex()}"


def test_the_contracts_are_in_form() -> None:
    done = _forge("fmt", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def _forge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [need("forge"), *arguments, "--root", str(CONTRACTS)]
    return subprocess.run(command, cwd=CONTRACTS, capture_output=True, text=True, check=False, timeout=110)
