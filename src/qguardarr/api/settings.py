"""The settings in force, and where each value comes from."""

from __future__ import annotations

from typing import Final

import msgspec

from qguardarr.api import examples
from qguardarr.api.endpoint import Call, Endpoint
from qguardarr.api.parts import ApiContext
from qguardarr.engine.origins import SettingRow, setting_rows


class Configuration(msgspec.Struct, kw_only=True):
    """The configuration in force."""

    file: str
    """Path of the configuration file."""
    settings: list[SettingRow]
    """All settings, also those that have their defaults."""


def get_configuration(parts: ApiContext, _call: Call) -> Configuration:
    rows = setting_rows(parts.configuration(), parts.origins())
    return Configuration(file=parts.status().config_path, settings=rows)


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/api/v1/config", handler=get_configuration, summary="Settings, and where they come from",
        description="A variable of the environment takes precedence over the file, the file over the default. Secrets "
        "are masked.", tag="Version 1", answer=Configuration, example=examples.CONFIGURATION,
    ),
)  # fmt: skip
