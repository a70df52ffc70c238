"""Real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class SystemClock:
    """`qguardarr.engine.ports.Clock` in real time."""

    def __init__(
        self, pulse: Callable[[], None] | None = None, pulse_s: Callable[[], float | None] = lambda: None
    ) -> None:
        """`pulse` is called during a wait, every `pulse_s()` seconds or sooner; None: at the end of the wait only."""
        self._woken = threading.Event()
        self._pulse, self._pulse_s = pulse, pulse_s

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until woken; True if woken."""
        end = time.monotonic() + seconds
        while True:
            left, every = end - time.monotonic(), self._pulse_s()
            woken = self._woken.wait(left if every is None else min(left, every))
            if self._pulse is not None:
                self._pulse()
            if woken or time.monotonic() >= end:
                self._woken.clear()
                return woken

    def wake(self) -> None:
        """End the present wait, or the next one."""
        self._woken.set()
