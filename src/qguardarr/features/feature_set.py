"""Run all features, so that one that fails stops neither the others nor the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog

from qguardarr.engine.settings import Settings
from qguardarr.engine.status import Status
from qguardarr.features.feature import Commit, Feature

log = structlog.get_logger("qguardarr.features")


class FeatureSet:
    """All features, in the order in which they start; they end in reverse order."""

    def __init__(self) -> None:
        self._features: list[Feature] = []
        self._defects: dict[str, str] = {}
        """By name of the feature whose `on_cycle` fails."""
        self._logged: set[str] = set()

    def register(self, *features: Feature) -> None:
        """Add features, before `start`."""
        self._features += features

    def start(self) -> None:
        """Start all features."""
        for feature in self._features:
            feature.start()

    def prepare(self, settings: Settings) -> Commit:
        """Prepare all features for other settings, or raise the `ConfigError` of the first that refuses them."""
        commits: list[Commit] = []
        with contextlib.ExitStack() as undo:
            for feature in self._features:
                commits.append(feature.prepare(settings))
                undo.callback(feature.abandon)
            undo.pop_all()

        def commit() -> None:
            for each in commits:
                each()

        return commit

    def abandon(self) -> None:
        """Give up what all features have prepared."""
        for feature in self._features:
            feature.abandon()

    def on_cycle(self, status: Status) -> None:
        """Hand a new status to all features. Never raises: a feature that fails becomes a problem until it succeeds."""
        for feature in self._features:
            try:
                feature.on_cycle(status)
            except Exception as error:
                defect = f"{feature.name}: internal error ({type(error).__name__}); see the log"
                if defect not in self._logged:
                    log.exception("defect", part=feature.name)
                self._logged.add(defect)
                self._defects[feature.name] = defect
            else:
                self._defects.pop(feature.name, None)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with any feature. From any thread."""
        for feature in self._features:
            yield from feature.problems()
        yield from list(self._defects.values())

    def close(self) -> None:
        """End all features. One that fails is logged, and the others end all the same."""
        for feature in reversed(self._features):
            try:
                feature.close()
            except Exception:
                log.exception("defect", part=feature.name)
