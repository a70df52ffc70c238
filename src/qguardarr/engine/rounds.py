"""Run recurring work, and give callers the outcome of the first round that begins after they ask.

One more round answers all who ask while one is under way: it begins after each of their requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Rounds(Generic[T]):
    """Rounds of one thread, with callers in any thread."""

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
        """Block until somebody asks."""
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
