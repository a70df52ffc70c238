"""A feature is a part of the daemon beside the control loop; `FeatureSet` runs all of them.

A feature that fails harms neither the others nor the engine: its failure becomes a warning in the status, and caps are
held all the same. ARCHITECTURE.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, TypeAlias

from qguardarr.engine.settings import Settings
from qguardarr.engine.status import Status

Commit: TypeAlias = Callable[[], None]
"""Takes prepared settings up. Never raises."""


class Feature:
    """Base of all features. Every method may be left as it is."""

    name: ClassVar[str]
    """For warnings and the log, in words."""

    def start(self) -> None:
        """Begin. Called once, when all features exist; the engine does not run yet."""

    def prepare(self, settings: Settings) -> Commit:
        """Do everything about other settings that may fail (`ConfigError`), and return what takes them up.

        In the thread that reloads. Features that cannot fail override `adopt` instead.
        """
        return lambda: self.adopt(settings)

    def adopt(self, settings: Settings) -> None:
        """Take other settings up. Never raises."""

    def abandon(self) -> None:
        """Give up what `prepare` has got ready: the settings are not taken up, since another feature refuses them."""

    def on_cycle(self, status: Status) -> None:
        """Take note of the status after a cycle. In the engine's thread: do not wait."""

    def problems(self) -> Iterable[str]:
        """Return what is wrong now, in words for a person and free of secrets. From any thread."""
        return ()

    def close(self) -> None:
        """End, within two seconds. Called once, also if `start` was not."""
