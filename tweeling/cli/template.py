"""A hub's settings as a file to read and edit: every one with its meaning and default, taken from the settings."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tweeling.config import Section, Settings

Chosen = Mapping[str, Mapping[str, object]]
"""What differs from the defaults: by table (`http`, `http.tls`, or empty for the top), then by key."""

_WIDTH = 100
_HEAD = """Settings of this hub. A line that begins with # and no space is a setting at its default: take the # away and
change it. Relative paths count from this folder. A variable such as TWEELING_HTTP__PORT stands over this file."""


def render(chosen: Chosen) -> str:
    """Write the whole file; what is chosen stands as a setting, the rest as a comment."""
    lines = [*_prose(_HEAD), *_table("", Settings, chosen)]
    unknown = {table for table in chosen if f"[{table}]" not in lines and table}
    if unknown:
        raise KeyError(f"no such table: {', '.join(sorted(unknown))}")
    return "\n".join(lines) + "\n"


def _table(name: str, model: type[BaseModel], chosen: Chosen) -> Iterator[str]:
    mine = dict(chosen.get(name, {}))
    tables: list[tuple[str, type[Section], bool]] = []
    for key, field in model.model_fields.items():
        if (section := _section(field)) is not None:
            tables.append((f"{name}.{key}".lstrip("."), section, field.default is None))
            continue
        yield ""
        yield from _prose(_meaning(field))
        yield f"{key} = {_toml(mine.pop(key))}" if key in mine else f"#{key} = {_toml(_shown(field))}"
    if mine:
        raise KeyError(f"no such setting in [{name}]: {', '.join(sorted(mine))}")
    for table, section, optional in tables:
        wanted = not optional or table in chosen
        yield from ("", "", f"[{table}]" if wanted else f"#[{table}]")
        yield from _prose(" ".join((section.__doc__ or "").split()))
        yield from _table(table, section, chosen)


def _section(field: FieldInfo) -> type[Section] | None:
    kinds = get_args(field.annotation) or (field.annotation,)
    found = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
    return found[0] if found else None


def _meaning(field: FieldInfo) -> str:
    """The description, and what may stand there."""
    told = field.description or ""
    bounds = {name: value for each in field.metadata for name, value in _bounds(each)}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if choices := _choices(field.annotation):
        told += f": {', '.join(json.dumps(choice) for choice in choices)}"
    elif "gt" in bounds:
        told += f", above {low}" + (f" and at most {high}" if high is not None else "")
    elif high is not None:
        told += f", {low}..{high}"
    elif low:
        told += f", at least {low}"
    return told[:1].upper() + told[1:]


def _bounds(constraint: object) -> Iterator[tuple[str, Any]]:
    for name in ("gt", "ge", "lt", "le"):
        if (value := getattr(constraint, name, None)) is not None:
            yield name, value


def _choices(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in {Union, UnionType}:
        return next((_choices(each) for each in get_args(annotation) if each is not NoneType), ())
    return ()


def _shown(field: FieldInfo) -> object:
    """The default, or an example where there is none."""
    if field.is_required() or field.default is None:
        return (field.examples or [""])[0]
    return field.default


def _toml(value: object) -> str:
    """A value as TOML writes it; JSON's strings, numbers and lists are TOML's."""
    match value:
        case Path() | Enum():
            return json.dumps(str(value))
        case SecretStr():
            raise TypeError("a secret has no default")
        case _:
            return json.dumps(value, ensure_ascii=False)


def _prose(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH)]
