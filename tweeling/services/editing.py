"""A settings file changed in place: what is not named stays as it is, comments too."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

Value = str | int | float | bool


def edit(text: str, table: str, values: Mapping[str, Value | None]) -> str:
    """Set keys of a table of some TOML, each on a line of its own; None takes a key out.

    A commented line of the key, or header of the table, becomes the setting. Raises ValueError where the text is no
    TOML, or writes these settings in a way that cannot be changed line by line.
    """
    before = tomllib.loads(text)
    lines = text.splitlines()
    for key, value in values.items():
        _set(lines, table, key, value)
    changed = "\n".join(lines) + "\n"
    _check(tomllib.loads(changed), before, table, values)
    return changed


def _set(lines: list[str], table: str, key: str, value: Value | None) -> None:
    header = _find(lines, rf"\[{re.escape(table)}\]\s*(#.*)?$")
    if header is None:
        if value is None:
            return
        lines += ["", f"[{table}]"]
        header = len(lines) - 1
    end = _find(lines, r"\[", after=header + 1) or len(lines)
    at = _find(lines, rf"{re.escape(key)}\s*=", after=header + 1, before=end)
    if value is None:
        if at is not None and not lines[at].startswith("#"):
            lines[at] = f"#{lines[at].lstrip()}"
        return
    lines[header] = lines[header].removeprefix("#")
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    if at is None:
        lines.insert(header + 1, line)
    else:
        lines[at] = line


def _find(lines: list[str], pattern: str, *, after: int = 0, before: int | None = None) -> int | None:
    """The first line that begins so, an active one before one that is commented out (# and no space)."""
    for begin in (r"\s*", "#"):
        for at in range(after, len(lines) if before is None else before):
            if re.match(begin + pattern, lines[at]):
                return at
    return None


def _check(after: Mapping[str, object], before: Mapping[str, object], table: str, values: Mapping[str, object]) -> None:
    """Make sure that the text says what was meant, and still says all else."""
    wanted = {**_at(before, table), **values}
    found = _at(after, table)
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ValueError(f"[{table}] {key} cannot be changed line by line")
    if {name: value for name, value in after.items() if name != table.split(".", maxsplit=1)[0]} != {
        name: value for name, value in before.items() if name != table.split(".", maxsplit=1)[0]
    }:
        raise ValueError("another setting would change")


def _at(tables: Mapping[str, object], table: str) -> dict[str, object]:
    found: object = tables
    for name in table.split("."):
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return dict(found) if isinstance(found, Mapping) else {}
