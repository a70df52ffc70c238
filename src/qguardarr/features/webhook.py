"""Warn of webhook events that the queue had no room for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from qguardarr.engine.triggers import Triggers
from qguardarr.features.feature import Feature

REMEMBER_S: Final = 300.0
"""How long a full queue is shown: it is over in seconds, and somebody should see it."""


class WebhookQueue(Feature):
    """The queue between webhook and engine."""

    name = "webhook"

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers

    def problems(self) -> Iterator[str]:
        if time.monotonic() - self._triggers.dropped_at < REMEMBER_S:
            yield "webhook: more events came than the queue holds; everything was looked at instead"
