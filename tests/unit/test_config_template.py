"""The file that `tweeling init` writes holds every setting, its meaning and its default: it comes from the settings."""

import re
import tomllib
from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
from pydantic import BaseModel

from tweeling import config
from tweeling.cli.template import render
from tweeling.config import Section, Settings


def fields(model: type[BaseModel], prefix: str = "") -> dict[str, object]:
    """Every setting by its dotted name, with its default."""
    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not NoneType]
        if isinstance(kinds[0], type) and issubclass(kinds[0], Section):
            found |= fields(kinds[0], f"{prefix}{name}.")
        else:
            found[prefix + name] = field.default
    return found


def uncommented(text: str) -> dict[str, object]:
    tables = tomllib.loads("\n".join(re.sub(r"^#(?=[\[a-z])", "", line) for line in text.splitlines()))

    def flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
        rows: dict[str, object] = {}
        for key, value in table.items():
            rows |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        return rows

    return flat(tables)


def test_it_shows_every_setting_with_its_default() -> None:
    shown, known = uncommented(render({})), fields(Settings)
    assert shown.keys() == known.keys()
    given = {name: value for name, value in known.items() if value is not None and repr(value) != "PydanticUndefined"}
    assert len(given) > 30
    for name, value in given.items():
        as_toml = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        assert shown[name] == as_toml, name


def test_as_written_it_means_the_defaults(tmp_path: Path) -> None:
    path, empty = tmp_path / "tweeling.toml", tmp_path / "empty.toml"
    path.write_text(render({}))
    empty.write_text("")
    assert config.load(path).model_dump() == config.load(empty).model_dump()


def test_every_example_is_a_setting_that_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "tweeling.toml"
    path.write_text(re.sub(r"^#(?=[\[a-z])", "", render({}), flags=re.MULTILINE))
    settings = config.load(path)
    assert settings.http.tls is not None
    assert settings.ledger.contract is not None


@pytest.mark.parametrize("name", fields(Settings))
def test_every_setting_says_what_it_means(name: str) -> None:
    *tables, key = name.split(".")
    model: type[BaseModel] = Settings
    for table in tables:
        kinds = get_args(model.model_fields[table].annotation) or (model.model_fields[table].annotation,)
        model = next(kind for kind in kinds if kind is not NoneType)
    assert len(model.model_fields[key].description or "") > 3
    assert tables == [] or model.__doc__


def test_what_is_chosen_stands_there_and_a_mistake_is_no_silence(tmp_path: Path) -> None:
    path = tmp_path / "tweeling.toml"
    path.write_text(render({"http": {"port": 9000}, "broker": {"embedded": True}}))
    settings = config.load(path)
    assert (settings.http.port, settings.broker.embedded) == (9000, True)
    assert settings.broker.hub_credentials == tmp_path / "broker" / "credentials" / "hub.json"
    with pytest.raises(KeyError):
        render({"http": {"prot": 1}})
    with pytest.raises(KeyError):
        render({"htpp": {"port": 1}})
