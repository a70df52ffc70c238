"""Work that goes on one at a time, for which few may wait: each who waits takes up a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from qguardarr.errors import Busy

WAIT_S: Final = 10.0
"""Longest wait."""
MOST_WAITING: Final = 1
"""How many may wait at a time."""


class Turn:
    """Lets one at a time do something. For any thread."""

    def __init__(self, work: str, wait_s: float = WAIT_S) -> None:
        """`work`: what is at work, for those who are refused: `another trial`."""
        self._work = work
        self._wait_s = wait_s
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(1 + MOST_WAITING)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn for as long as the block. Raises `Busy` if too many wait, or it takes too long."""
        if not self._places.acquire(blocking=False):
            raise self._refusal()
        try:
            if not self._turn.acquire(timeout=self._wait_s):
                raise self._refusal()
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()

    def _refusal(self) -> Busy:
        return Busy(f"{self._work} is at work; try again in a moment")
