"""`tweeling verify` and `tweeling trust`: files in, words and an exit code out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from tweeling.errors import ConfigError, TweelingError, UndecidedError, VerificationError
from tweeling.verify import TrustedLog, TrustStore, Verdict, check_anchor, verify


def verify_files(files: Sequence[Path], store: Path, rpc: str | None, *, as_json: bool, out: Console) -> int:
    """Verify each file and say so; return 0, or 3 if any does not verify, or 4 if any cannot be decided."""
    trusted = TrustStore(store).logs()
    codes = {0}
    for file in files:
        answer: dict[str, object] = {"file": str(file)}
        try:
            verdict = _verify(file, trusted, rpc)
        except (VerificationError, UndecidedError) as exc:
            codes.add(exc.exit_code)
            answer |= {"verdict": "false" if exc.exit_code == 3 else "undecided", "why": str(exc)}
            answer |= {"field": exc.field} if isinstance(exc, VerificationError) else {}
        else:
            answer |= {"verdict": "valid", "words": verdict.words, "index": verdict.index, "size": verdict.size}
            answer |= {"signed_by": verdict.signed_by, "fields": dict(verdict.fields)}
        if as_json:
            out.print_json(json.dumps(answer))
        else:
            out.print(_sentence(answer), soft_wrap=True)
    return next(code for code in (VerificationError.exit_code, UndecidedError.exit_code, 0) if code in codes)


def add_trust(file: Path, store: Path, fingerprint: str | None) -> str:
    """Pin the log of a trust file."""
    try:
        log = TrustedLog.parse(file.read_bytes())
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", source=str(file)) from exc
    TrustStore(store).add(log, fingerprint=fingerprint)
    compare = "" if fingerprint else "\nCompare this fingerprint with what its operator tells you by another way."
    return f"trusted: {log.origin}\nfingerprint {log.fingerprint}{compare}"


def list_trust(store: Path) -> Iterator[str]:
    """Tell every log that is pinned."""
    for log in TrustStore(store).logs():
        where = f"chain {log.anchor.chain_id}, contract {log.anchor.contract}" if log.anchor else "no chain"
        yield f"{log.origin}  {where}\n  {log.fingerprint}"


def _verify(file: Path, trusted: Sequence[TrustedLog], rpc: str | None) -> Verdict:
    try:
        verdict = verify(file.read_bytes(), trusted)
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", source=str(file)) from exc
    if rpc is None:
        return verdict
    from tweeling.adapters.evm.reader import AnchorReader

    try:
        return check_anchor(verdict, AnchorReader(rpc))
    except TweelingError as exc:
        if isinstance(exc, VerificationError):
            raise
        raise UndecidedError(f"valid, but the chain could not be asked: {exc}") from exc


def _sentence(answer: dict[str, object]) -> str:
    if answer["verdict"] != "valid":
        word = "DOES NOT VERIFY" if answer["verdict"] == "false" else "cannot decide"
        return f"{answer['file']}: {word}: {answer['why']}"
    fields = answer["fields"]
    shown = [f"    {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]  # type: ignore[attr-defined]  # a mapping, made above
    signed = f"signed by {answer['signed_by']}" if answer["signed_by"] else "not signed by a partner"
    return "\n".join([f"{answer['file']}: {answer['words']}; {signed}", *shown])
