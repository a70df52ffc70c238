"""Recurring work, and callers who want the outcome of the first round that begins after they ask.

However many ask while a round is under way, one more round answers them all: what that one sees is newer than each of
their wishes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Rounds(Generic[T]):
    """One thread does the rounds; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._askers: list[Future[T]] = []
        self._asked = threading.Event()

    def ask(self) -> Future[T]:
        """Ask for a round. The future, which may be dropped or cancelled, gets the outcome of the next to begin."""
        asker: Future[T] = Future()
        with self._lock:
            self._askers.append(asker)
            self._asked.set()
        return asker

    def wait(self) -> None:
        """Block until somebody asks, for whoever does rounds only then."""
        self._asked.wait()

    def begin(self) -> Callable[[T], None]:
        """Begin a round. Call what is returned with its outcome."""
        with self._lock:
            askers, self._askers = self._askers, []
            self._asked.clear()
        answered = [asker for asker in askers if asker.set_running_or_notify_cancel()]

        def end(outcome: T) -> None:
            for asker in answered:
                asker.set_result(outcome)

        return end
