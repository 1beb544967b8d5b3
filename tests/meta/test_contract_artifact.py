from __future__ import annotations

import importlib.util
import json
from types import ModuleType
from typing import Any

import pytest
from support_servers import ROOT, need

from tweeling.adapters.evm.artifact import artifact, version

CONTRACTS = ("CustodyLedger", "PartnerRegistry")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contracts_build", ROOT / "contracts" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=CONTRACTS)
def shipped(request: pytest.FixtureRequest, build: ModuleType) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(build.place(request.param).read_text())
    return value


def test_every_contract_that_is_built_is_looked_at_here(build: ModuleType) -> None:
    assert build.CONTRACTS == CONTRACTS


def test_an_artefact_was_made_from_these_sources(build: ModuleType, shipped: dict[str, Any]) -> None:
    told = shipped["source_sha256"]
    assert told
    assert told == build.source_sha256(told), "sources have changed: make contracts"


def test_compiling_again_gives_the_same_bytes(build: ModuleType) -> None:
    need("solcjs")
    again = {name: build.render(value) for name, value in build.artifacts().items()}
    kept = {name: build.place(name).read_text() for name in build.CONTRACTS}
    assert kept == again, "an artefact is not ours: make contracts"


def test_the_code_of_every_version_stays_known_and_today_s_is_the_last(build: ModuleType) -> None:
    known = json.loads(build.SHIPPED.read_text())
    today = {name: json.loads(build.place(name).read_text()) for name in CONTRACTS}
    for name in CONTRACTS:
        assert version(artifact(name).runtime, name) == len(known[name]), "make contracts"
    assert build.shipped(today) == known
    later = build.shipped({name: value | {"runtime": "0x00"} for name, value in today.items()})
    assert all(later[name][:-1] == known[name] for name in CONTRACTS), "a new one comes after all before it"
    assert known["CustodyLedger"][0] == "87ab92611b9209607910536e95c12e58fad1f853981d706f94c2c0beb8d98f22"


def test_the_code_holds_nothing_that_differs_between_deployments(shipped: dict[str, Any]) -> None:
    assert shipped["bytecode"].endswith(shipped["runtime"].removeprefix("0x"))
    assert all(part["type"] != "constructor" for part in shipped["abi"])
    assert shipped["settings"]["metadata"] == {"appendCBOR": False, "bytecodeHash": "none"}
