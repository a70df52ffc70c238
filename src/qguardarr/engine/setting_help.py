"""Description of all settings, for a page that edits them. `docs/settings_help.py` makes it out of the schema."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SettingKind = Literal[
    "speed",
    "number",
    "integer",
    "boolean",
    "text",
    "secret",
    "choice",
    "path",
    "texts",
    "secrets",
    "choices",
    "structure",
]


class SettingHelp(msgspec.Struct, kw_only=True):
    """A setting of the schema."""

    setting: str
    """Its name, such as `global.uplink`; `trackers[].pattern` stands for that of each rule."""
    path: tuple[str, ...]
    """Its keys, as in edits; `*` stands for the id of a rule."""
    section: str
    """Its section."""
    help: str
    """Its meaning, for people."""
    type: SettingKind
    """What it takes. `texts`, `secrets` and `choices` are lists; `structure` is a mapping or a list of mappings."""
    also: SettingKind | None = None
    """Another type that it takes besides its choices."""
    unit: str = ""
    """Of a number; empty if it has none."""
    default: Any = None
    """Its default; null if it has none, or is not set."""
    default_text: str = ""
    """The same in words."""
    choices: tuple[str, ...] = ()
    """All values that it takes, if they are words."""
    min: float | None = None
    """Least value, in its unit (seconds, percent …)."""
    max: float | None = None
    """Largest value, in its unit (seconds, percent …)."""
    secret: bool = False
    """Whether its value is never shown."""
    required: bool = False
    """Whether it has to be set."""
    restart: bool = False
    """Whether a change takes effect at a restart only."""
    editable: bool = True
    """Whether it can be edited through the API at all."""
    why_not: str = ""
    """Why not, and what to do instead; empty if it can."""


class SectionHelp(msgspec.Struct, kw_only=True):
    """A section of the file."""

    name: str
    """Its key."""
    help: str
    """Its meaning, for people."""


class SchemaHelp(msgspec.Struct, kw_only=True):
    """All sections and settings, in the order of the schema."""

    sections: list[SectionHelp]
    """All sections."""
    settings: list[SettingHelp]
    """All settings."""
