"""List the settings in force, with the origin of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

Path: TypeAlias = tuple[str | int, ...]


class SettingRow(msgspec.Struct, kw_only=True):
    """A setting in force."""

    setting: str
    """Its name, such as `global.uplink` or `trackers[0].pattern`."""
    value: Any
    """Its value. Speeds are bytes/s, -1 is unlimited; secrets are `***`."""
    source: Literal["environment", "file", "default"]
    """Where the value comes from."""
    line: int | None = None
    """Line of the configuration file; null unless `source` is `file`."""
    variables: tuple[str, ...] = ()
    """The variable that gave the value (its name ends in `_FILE` if that names a file), or those that the file refers
    to as `${NAME}`."""


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where a value comes from that is no default."""

    line: int | None
    """Line of the configuration file; None: the environment."""
    variables: tuple[str, ...]
    """Variables that gave the value, or that the file refers to."""


def setting_rows(shown: str, origins: str) -> list[SettingRow]:
    """List all settings. `shown`: the configuration as JSON; `origins`: `Origin` by name as JSON, without defaults."""
    found = msgspec.json.decode(origins, type=dict[str, Origin])
    return [_row(dotted(path), value, found) for path, value in leaves(msgspec.json.decode(shown))]


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield path and value of each setting: everything that is neither a mapping nor a list of mappings."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for index, item in enumerate(tree):
            yield from leaves(item, (*path, index))
    else:
        yield path, tree


def dotted(path: Path) -> str:
    """Write a path as text: `trackers[2].pattern`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _row(name: str, value: Any, origins: Mapping[str, Origin]) -> SettingRow:
    origin = origins.get(name)
    if origin is None:
        return SettingRow(setting=name, value=value, source="default")
    source: Literal["file", "environment"] = "environment" if origin.line is None else "file"
    return SettingRow(setting=name, value=value, source=source, line=origin.line, variables=origin.variables)
