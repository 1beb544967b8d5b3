"""Compile the contracts into the artefacts that the package ships: `python contracts/build.py`."""  # noqa: INP001  a script

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ARTIFACTS = HERE.parent / "tweeling" / "adapters" / "evm" / "artifacts"
SHIPPED = ARTIFACTS / "shipped.json"  # the SHA-256 of every runtime there ever was, by contract, the first one first
CONTRACTS = ("CustodyLedger", "PartnerRegistry")


def main() -> None:
    """Write the artefacts."""
    built = artifacts()
    SHIPPED.write_text(render(shipped(built)))
    for name, value in built.items():
        place(name).write_text(render(value))
        print(f"{place(name).relative_to(HERE.parent)} written")  # noqa: T201  the script's answer


def place(name: str) -> Path:
    """Where a contract's artefact is kept."""
    return ARTIFACTS / f"{name}.json"


def artifacts() -> dict[str, dict[str, Any]]:
    """Compile the sources as foundry.toml says; the same sources give the same bytes anywhere."""
    settings = _settings()
    output = _solc({"language": "Solidity", "sources": _sources(), "settings": settings})
    version = _compiler("--version").rpartition("Version: ")[2].strip()
    del settings["outputSelection"]
    return {
        name: _artifact(output["contracts"][f"src/{name}.sol"][name], settings=settings, solc=version)
        for name in CONTRACTS
    }


def shipped(built: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Add what was built to what was shipped before, of which nothing is dropped."""
    kept: dict[str, list[str]] = json.loads(SHIPPED.read_text())
    for name, value in built.items():
        digest = hashlib.sha256(bytes.fromhex(value["runtime"].removeprefix("0x"))).hexdigest()
        if digest not in (known := kept.setdefault(name, [])):
            known.append(digest)
    return kept


def source_sha256(paths: Iterable[str]) -> dict[str, str]:
    """The hashes of sources, by their paths under contracts/."""
    return {path: hashlib.sha256((HERE / path).read_bytes()).hexdigest() for path in paths}


def render(value: dict[str, Any]) -> str:
    """The artefact's one spelling."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _artifact(compiled: dict[str, Any], *, settings: dict[str, Any], solc: str) -> dict[str, Any]:
    return {
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        "runtime": "0x" + compiled["evm"]["deployedBytecode"]["object"],
        "settings": settings,
        "solc": solc,
        # Of those that this contract is made of: another's change is none of its own.
        "source_sha256": source_sha256(json.loads(compiled["metadata"])["sources"]),
    }


def _sources() -> dict[str, dict[str, str]]:
    paths = sorted((HERE / "src").rglob("*.sol"))
    return {path.relative_to(HERE).as_posix(): {"content": path.read_text()} for path in paths}


def _settings() -> dict[str, Any]:
    # One place says how to compile, so forge tests the very code that is shipped.
    profile = tomllib.loads((HERE / "foundry.toml").read_text())["profile"]["default"]
    return {
        "evmVersion": profile["evm_version"],
        "metadata": {"appendCBOR": profile["cbor_metadata"], "bytecodeHash": profile["bytecode_hash"]},
        "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
        "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "metadata"]}},
        "viaIR": profile["via_ir"],
    }


def _solc(request: dict[str, Any]) -> dict[str, Any]:
    output: dict[str, Any] = json.loads(_compiler("--standard-json", given=json.dumps(request)))
    problems = [problem["formattedMessage"] for problem in output.get("errors", [])]
    if problems:  # a warning too is looked at before anything is shipped
        raise SystemExit("\n".join(problems))
    return output


def _compiler(argument: str, given: str = "") -> str:
    done = subprocess.run([HERE / "solcw", argument], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"solcw: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
