from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest
from support_servers import ROOT, need


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contracts_build", ROOT / "contracts" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_artefact_was_made_from_these_sources(build: ModuleType) -> None:
    shipped = json.loads(build.ARTIFACT.read_text())
    assert shipped["source_sha256"] == build.source_sha256(), "sources have changed: make contracts"


def test_compiling_again_gives_the_same_bytes(build: ModuleType) -> None:
    need("solcjs")
    assert build.ARTIFACT.read_text() == build.render(build.artifact()), "the artefact is not ours: make contracts"


def test_the_code_holds_nothing_that_differs_between_deployments(build: ModuleType) -> None:
    shipped = json.loads(build.ARTIFACT.read_text())
    assert shipped["bytecode"].endswith(shipped["runtime"].removeprefix("0x"))
    assert all(part["type"] != "constructor" for part in shipped["abi"])
    assert shipped["settings"]["metadata"] == {"appendCBOR": False, "bytecodeHash": "none"}
