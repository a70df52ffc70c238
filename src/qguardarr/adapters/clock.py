"""Real time."""

from __future__ import annotations

import threading
import time


class SystemClock:
    """`qguardarr.ports.Clock` in real time."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until woken; True if woken."""
        woken = self._woken.wait(seconds)
        self._woken.clear()
        return woken

    def wake(self) -> None:
        """End the present wait, or the next one."""
        self._woken.set()
