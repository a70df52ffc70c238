"""Configurations by themselves, without the origin of each value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qguardarr.config import Config
from qguardarr.config.load import read, reads


def load(path: Path | str, environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration of a file and the environment."""
    return read(path, environment).config


def loads(
    text: str,
    name: str = "configuration",
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
) -> Config:
    """Return the configuration in a text; see `reads`."""
    return reads(text, name, environment, folder=folder).config
