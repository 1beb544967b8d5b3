"""What settings are made of: sections of a file, paths beside it, secrets, and errors that name their place."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo

from tweeling.errors import ConfigError


class Section(BaseModel, frozen=True, extra="forbid"):
    """A table of the file."""


class DriverSettings(Section):
    """A table [[drivers]]; each kind of driver has its own, with `kind: Literal["…"] = "…"`."""

    kind: str


class Credentials(BaseModel, frozen=True, extra="ignore"):
    """What a server knows us by."""

    username: str = Field(min_length=1)
    password: SecretStr


_M = TypeVar("_M", bound=BaseModel)


def beside(path: Path | None, info: ValidationInfo) -> Path | None:
    """Relative paths count from the configuration file."""
    if path is None:
        return None
    base: Path = (info.context or {}).get("base", Path())
    return (base / path.expanduser()).resolve()


def validated(model: type[_M], raw: object, *, source: str, base: Path, field: str = "") -> _M:
    """Check raw settings, or raise ConfigError naming the first field that is wrong and what it should be.

    field: where in the file they stand.
    """
    try:
        return model.model_validate(raw, context={"base": base})
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_input=False)[0]
        name, expected = _place(model, problem["loc"], field)
        what = {"missing": "is missing", "extra_forbidden": "is no setting"}.get(problem["type"], problem["msg"])
        raise ConfigError(
            what.removeprefix("Value error, "),
            source=source,
            field=name,
            remedy=f"It should be {expected}" if expected else "",
        ) from exc


def secret(model: type[_M], path: Path, *, field: str, example: str) -> _M:
    """Read a file that only its owner can read, or raise ConfigError; its content is never shown."""
    source = str(path)
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError("can be read by others", source=source, field=field, remedy=f"Run: chmod 600 {path}")
        return model.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise ConfigError(
            f"cannot be read: {exc.strerror}", source=source, field=field, remedy=f"It should be a file with {example}"
        ) from exc
    except ValidationError:
        # The cause would quote the file.
        raise ConfigError("is no credential file", source=source, field=field, remedy=f"Write {example}") from None


def credentials(path: Path, *, field: str = "broker.credentials") -> Credentials:
    """Read user name and password from a file that only its owner can read, or raise ConfigError."""
    return secret(Credentials, path, field=field, example='{"username": "…", "password": "…"}')


def _place(model: type[BaseModel], loc: tuple[int | str, ...], name: str) -> tuple[str, str]:
    """The dotted name of a place in the settings, and what belongs there."""
    expected = ""
    models = [model]
    for part in loc:
        if isinstance(part, int):
            name += f"[{part}]"
            continue
        name += f".{part}" if name else part
        fields = [known.model_fields[part] for known in models if part in known.model_fields]
        expected = (
            (fields[0].description or "")
            if fields
            else (f"one of {', '.join(models[0].model_fields)}" if models else expected)
        )
        models = _models(fields[0].annotation) if fields else models
    return name, expected


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
