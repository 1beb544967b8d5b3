"""Which driver a kind means. A driver is loaded where it is used, and a library it needs only there."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from tweeling.errors import ConfigError
from tweeling_edge.drivers import Driver, Site
from tweeling_edge.settings import DriverSettings, validated

GROUP = "tweeling.drivers"
"""The entry points by which other packages bring drivers: `kind = "package.module:Class"`."""

_OURS = {
    "http-poll": "tweeling_edge.drivers.http_poll:HttpPoll",
    "mqtt-in": "tweeling_edge.drivers.mqtt_in:MqttIn",
    "modbus": "tweeling_edge.drivers.modbus:Modbus",
    "replay": "tweeling_edge.drivers.replay:Replay",
    "serial": "tweeling_edge.drivers.serial:Serial",
    "simulate": "tweeling_edge.drivers.simulate:Simulate",
}


def kinds() -> list[str]:
    """Every kind that can be configured here, ours first."""
    return [*_OURS, *sorted({each.name for each in entry_points(group=GROUP)} - _OURS.keys())]


def find(kind: str, *, source: str = "", field: str = "kind") -> Any:
    """The class of a kind, or raise ConfigError; source and field say where it is named."""
    if (ours := _OURS.get(kind)) is not None:
        return EntryPoint(kind, ours, GROUP).load()
    for theirs in entry_points(group=GROUP, name=kind):
        try:
            return theirs.load()
        except (ImportError, AttributeError) as exc:
            raise ConfigError(
                f"driver {kind!r} cannot be loaded from {theirs.value}: {exc}",
                source=source,
                field=field,
                remedy="Install its package again, with what it needs",
            ) from exc
    raise ConfigError(f"no driver {kind[:40]!r} is installed here", source=source, field=field, remedy=_choice())


def settings(table: object, *, source: str, base: Path, field: str) -> DriverSettings:
    """Check a table [[drivers]], or raise ConfigError naming file and field."""
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if not isinstance(kind, str):
        raise ConfigError("names no kind of driver", source=source, field=f"{field}.kind", remedy=_choice())
    model: type[DriverSettings] = find(kind, source=source, field=f"{field}.kind").Settings
    return validated(model, table, source=source, base=base, field=field)


def drivers(chosen: Iterable[DriverSettings | Driver], site: Site) -> list[Driver]:
    """Make drivers of settings, or raise ConfigError."""
    made: list[Driver] = [find(each.kind)(each, site) if isinstance(each, DriverSettings) else each for each in chosen]
    names = [each.name for each in made]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"two drivers are the same, {twice[0]}",
            field="drivers",
            remedy="Remove one; or give each a `name`, where they are two",
        )
    return made


def library(module: str, *, extra: str) -> ModuleType:
    """Import what one kind of driver needs beyond the base install, or raise ConfigError with the remedy."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"needs the library {module}, which is not installed",
            field="drivers",
            remedy=f"Run: pip install 'tweeling[{extra}]'",
        ) from exc


def _choice() -> str:
    return f"It should be one of {', '.join(kinds())}"
