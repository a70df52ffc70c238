"""Log each change of the daemon's state, and the next step that it waits for a person to take."""

from __future__ import annotations

import structlog

from qguardarr.engine.status import State, Status
from qguardarr.features.feature import Feature

log = structlog.get_logger("qguardarr.daemon")


class StateLog(Feature):
    """One line for each change."""

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
