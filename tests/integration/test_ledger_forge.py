from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support_servers import ROOT, need

from tweeling.adapters.evm.artifact import artifact

CONTRACTS = ROOT / "contracts"


@pytest.mark.timeout(300)  # compiles
def test_the_contracts_own_tests_pass_and_no_call_costs_another_amount_of_gas() -> None:
    _succeeds("test", "--offline", FORGE_SNAPSHOT_CHECK="true")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_they_pass_ten_thousand_times_with_fuzzed_arguments() -> None:
    _succeeds("test", "--offline", "--no-match-contract", "Invariants|Gas", FOUNDRY_FUZZ_RUNS="10000")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_invariants_hold_through_a_hundred_thousand_calls() -> None:
    many = {"FOUNDRY_INVARIANT_RUNS": "1000", "FOUNDRY_INVARIANT_DEPTH": "100"}
    told = _succeeds("test", "--offline", "--match-contract", "Invariants", **many)
    assert told.count("calls: 100000") == 5


def test_what_forge_tests_is_what_the_package_ships() -> None:
    _succeeds("build", "--offline")
    for name in ("CustodyLedger", "PartnerRegistry"):
        tested = json.loads((CONTRACTS / "out" / f"{name}.sol" / f"{name}.json").read_text())
        assert tested["bytecode"]["object"] == f"0x{artifact(name).bytecode.hex()}"
        assert tested["deployedBytecode"]["object"] == f"0x{artifact(name).runtime.hex()}"


def test_the_contracts_are_in_form() -> None:
    _succeeds("fmt", "--check")


def test_a_failure_of_forge_would_be_noticed() -> None:
    assert _forge("test", "--no-such-option").returncode


def _succeeds(*arguments: str, **environment: str) -> str:
    done = _forge(*arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _forge(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    launcher = Path(need("forge"))
    # npm's launcher ends with 0 whatever the program behind it says.
    program = next(launcher.resolve().parents[1].glob("forge-*/bin/forge"), launcher)
    return subprocess.run(
        [program, *arguments, "--root", str(CONTRACTS)],
        cwd=CONTRACTS,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
