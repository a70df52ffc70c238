"""The origin of each setting, as `check` prints it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out
from qguardarr.engine.origins import SettingRow


def print_table_of(rows: Sequence[SettingRow]) -> None:
    """Print all settings, with their values and where these come from."""
    heads = (Column("setting", least=24), Column("from", least=12), Column("value", least=8))
    print_table(heads, ((row.setting, _from(row), _shown(row.value)) for row in rows))


def print_overrides(rows: Sequence[SettingRow]) -> None:
    """Print what comes from the environment, if anything does."""
    variables = dict.fromkeys(row.variables[0] for row in rows if row.source == "environment")
    if variables:
        out(f"from the environment: {', '.join(variables)} (`qguardarr check --sources` lists all settings)")


def _shown(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _from(row: SettingRow) -> str:
    match row.source:
        case "environment":
            return row.variables[0]
        case "file":
            return f"line {row.line}" + (f", {', '.join(row.variables)}" if row.variables else "")
        case _:
            return "default"
