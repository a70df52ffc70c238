"""Small features around the engine: its log, temporary caps, the webhook's queue, and what it has learnt."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Final

import structlog

from qguardarr.engine.commands import Commands
from qguardarr.engine.learning import Learning
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import State, Status
from qguardarr.engine.triggers import Triggers
from qguardarr.features.feature import Feature
from qguardarr.features.history import MINUTE_S

REMEMBER_S: Final = 300.0
"""How long a full queue is shown: it is over in seconds, and somebody should see it."""

log = structlog.get_logger("qguardarr.daemon")


class StateLog(Feature):
    """Log each change of the daemon's state, and the next step that it waits for a person to take."""

    name = "log of states"

    def __init__(self) -> None:
        self._state: str = State.STARTING
        self._next_step = ""

    def on_cycle(self, status: Status) -> None:
        if status.next_step and status.next_step != self._next_step:
            log.info("next_step", advice=status.next_step)
        self._next_step = status.next_step
        if status.state != self._state:
            self._state = status.state
            if status.state != State.FAILING:  # the controller logs the reason itself
                log.info(str(status.state), torrents=status.torrents, limited=status.limited)


class TemporaryCaps(Feature):
    """End temporary caps when their time is over, and put them on top of each policy that is read from the file."""

    name = "temporary caps"

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def adopt(self, settings: Settings) -> None:
        self._commands.adopt_file(settings.policy)

    def on_cycle(self, _status: Status) -> None:
        self._commands.expire_overrides()  # a timer does it, too, but a clock may be set


class WebhookQueue(Feature):
    """Warn of webhook events that the queue had no room for."""

    name = "webhook"

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers

    def problems(self) -> Iterator[str]:
        if time.monotonic() - self._triggers.dropped_at < REMEMBER_S:
            yield "webhook: more events came than the queue holds; everything was looked at instead"


class LearntMemory(Feature):
    """Keep over a restart what was learnt of torrents and trackers. Written once a minute, in a thread of its own.

    Registered after the history, which is then done with the store.
    """

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
