"""Keep over a restart what was learnt of torrents and trackers."""

from __future__ import annotations

import math

from qguardarr.engine.learning import Learning
from qguardarr.engine.status import Status
from qguardarr.features.feature import Feature
from qguardarr.features.history import MINUTE_S


class LearntMemory(Feature):
    """Write once a minute, in a thread of its own. Registered after the history, which is then done with the store."""

    name = "learnt rates"

    def __init__(self, learning: Learning) -> None:
        """Recall what an earlier run learnt, before the engine's first read."""
        self._learning = learning
        self._minute: float | None = None
        learning.recall()

    def on_cycle(self, status: Status) -> None:
        minute = math.floor(status.at / MINUTE_S)
        if self._minute is not None and minute != self._minute:
            self._learning.save_beside()
        self._minute = minute

    def close(self) -> None:
        self._learning.close()
