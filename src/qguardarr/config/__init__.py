"""The configuration file: `load` gives a complete, checked, frozen `Config`, or a `ConfigError` with every fault."""

from qguardarr.config.load import load, loads
from qguardarr.config.schema import Config

__all__ = ["Config", "load", "loads"]
