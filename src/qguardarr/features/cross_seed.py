"""Tell cross-seed of completed torrents: the feature around the forwarder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from qguardarr.engine.ports import Forwarder
from qguardarr.engine.settings import Settings
from qguardarr.features.feature import Commit, Feature

REMEMBER_S: Final = 300.0
"""How long a loss is shown after it happened: nobody can put it right, but somebody should see it."""


class CrossSeed(Feature):
    """Forward completions that the webhook brings."""

    name = "cross-seed"

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder

    def start(self) -> None:
        self._forwarder.start()

    def close(self) -> None:
        self._forwarder.close()

    def prepare(self, settings: Settings) -> Commit:
        return lambda: self._forwarder.configure(settings.cross_seed)

    def problems(self) -> Iterator[str]:
        now, counts = time.monotonic(), self._forwarder.counts()
        if counts.problem and (counts.pending or now - self._forwarder.failed_at < REMEMBER_S):
            yield f"cross-seed: {counts.problem} ({counts.pending} completions wait)"
        if now - self._forwarder.dropped_at < REMEMBER_S:
            yield "cross-seed: so many completions waited that it will never be told of some"
