"""Compile CustodyLedger into the artefact that the package ships: `python contracts/build.py`."""  # noqa: INP001  a script

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ARTIFACT = HERE.parent / "tweeling" / "adapters" / "evm" / "artifacts" / "CustodyLedger.json"
_CONTRACT = "CustodyLedger"


def main() -> None:
    """Write the artefact."""
    ARTIFACT.write_text(render(artifact()))
    print(f"{ARTIFACT.relative_to(HERE.parent)} written")  # noqa: T201  the script's answer


def artifact() -> dict[str, Any]:
    """Compile the sources as foundry.toml says; the same sources give the same bytes anywhere."""
    settings = _settings()
    output = _solc({"language": "Solidity", "sources": _sources(), "settings": settings})
    compiled = output["contracts"][f"src/{_CONTRACT}.sol"][_CONTRACT]
    del settings["outputSelection"]
    return {
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        "runtime": "0x" + compiled["evm"]["deployedBytecode"]["object"],
        "settings": settings,
        "solc": _compiler("--version").rpartition("Version: ")[2].strip(),
        "source_sha256": source_sha256(),
    }


def source_sha256() -> dict[str, str]:
    """The hash of every source, by its path under contracts/."""
    return {path: hashlib.sha256(source["content"].encode()).hexdigest() for path, source in _sources().items()}


def render(value: dict[str, Any]) -> str:
    """The artefact's one spelling."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


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
        "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
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
