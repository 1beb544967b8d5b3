"""`tweeling verify` and `tweeling trust`: files in, words and an exit code out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tweeling.domain.receipt import MAX_BYTES
from tweeling.errors import ConfigError, TweelingError, UndecidedError, VerificationError
from tweeling.verify import TrustedLog, TrustStore, Verdict, check_anchor, plain, verify

_WORDS = {  # by exit code, the weightiest first
    3: "false",
    2: "unreadable",
    4: "undecided",
}
_SENTENCES = {"false": "DOES NOT VERIFY", "undecided": "cannot decide"}


def verify_files(files: Sequence[Path], store: Path, rpc: str | None, *, as_json: bool, out: Console) -> int:
    """Verify each file and say so; return 0, else 3 if any is false, 2 if any cannot be read, 4 if any is undecided."""
    trusted = TrustStore(store).logs()
    codes = {0}
    for file in files:
        answer: dict[str, object] = {"file": str(file)}
        try:
            verdict = _verify(file, trusted, rpc)
        except (VerificationError, UndecidedError, ConfigError) as exc:
            codes.add(exc.exit_code)
            answer |= {"verdict": _WORDS[exc.exit_code], "why": str(exc)}
            answer |= {"field": exc.field} if isinstance(exc, VerificationError) else {}
        else:
            answer |= {"verdict": "valid", "words": verdict.words, "index": verdict.index, "size": verdict.size}
            answer |= {"signed": verdict.signed, "signed_by": verdict.signed_by, "signed_key": verdict.signed_key_id}
            answer |= {"fields": dict(verdict.fields)}
        if as_json:
            out.print_json(json.dumps(answer), ensure_ascii=True)
        else:
            out.print(_sentence(answer), soft_wrap=True)
    return next(code for code in (*_WORDS, 0) if code in codes)


def add_trust(file: Path, store: Path, fingerprint: str | None) -> Text:
    """Pin the log of a trust file."""
    log = TrustedLog.parse(_read(file), source=plain(str(file)))
    TrustStore(store).add(log, fingerprint=fingerprint)
    compare = "" if fingerprint else "\nCompare this fingerprint with what its operator tells you by another way."
    return Text(f"trusted: {plain(log.origin)}\nfingerprint {log.fingerprint}{compare}")


def list_trust(store: Path) -> Iterator[Text]:
    """Tell every log that is pinned."""
    for log in TrustStore(store).logs():
        where = f"chain {log.anchor.chain_id}, contract {log.anchor.contract}" if log.anchor else "no chain"
        yield Text(f"{plain(log.origin)}  {where}\n  fingerprint {log.fingerprint}\n  vkey {plain(log.verifier_key)}")


def _verify(file: Path, trusted: Sequence[TrustedLog], rpc: str | None) -> Verdict:
    verdict = verify(_read(file), trusted)
    if rpc is None:
        return verdict
    from tweeling.adapters.evm.reader import AnchorReader

    try:
        return check_anchor(verdict, AnchorReader(rpc))
    except TweelingError as exc:
        if isinstance(exc, VerificationError):
            raise
        raise UndecidedError(f"valid, but the chain could not be asked: {exc}") from exc


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)  # one more than is taken: whatever is longer is refused for its length
    except (OSError, ValueError) as exc:
        raise ConfigError(str(getattr(exc, "strerror", exc)), source=plain(str(file))) from exc


def _sentence(answer: dict[str, object]) -> Text:
    """Write an answer as text without markup, for every name and value in it is a stranger's."""
    if answer["verdict"] == "valid":
        fields = answer["fields"]
        shown = [f"    {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]  # type: ignore[attr-defined]  # a mapping, made above
        lines = [f"{answer['file']}: {answer['words']}; {answer['signed']}", *shown]
    elif answer["verdict"] == "unreadable":
        lines = [f"cannot be read: {answer['why']}"]
    else:
        lines = [f"{answer['file']}: {_SENTENCES[str(answer['verdict'])]}: {answer['why']}"]
    return Text("\n".join(map(plain, lines)))
