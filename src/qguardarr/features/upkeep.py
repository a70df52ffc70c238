"""Small features around the engine: its log, temporary caps, and the webhook's queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import structlog

from qguardarr.engine.commands import Commands
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import State, Status
from qguardarr.engine.triggers import Triggers
from qguardarr.features.feature import Feature

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
        self._commands.refresh_caps()  # a timer does it, too, but a clock may be set


class WebhookQueue(Feature):
    """Warn of webhook events that the queue had no room for."""

    name = "webhook"

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers

    def problems(self) -> Iterator[str]:
        if time.monotonic() - self._triggers.dropped_at < REMEMBER_S:
            yield "webhook: more events came than the queue holds; everything was looked at instead"
