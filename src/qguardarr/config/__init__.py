"""The configuration. `config.load` reads it, whole and checked, or raises a `ConfigError` with every fault."""

from qguardarr.config.schema import Config

__all__ = ["Config"]
