"""Read one of several qBittorrents in a thread of its own, so that one that hangs holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from qguardarr.core.model import Observation
from qguardarr.engine.instance import Instance

Outcome = Observation | Exception
"""What a read brought, or why it failed."""


class Reader:
    """One read at a time. Every method is the engine's; while `busy`, the registry must not change."""

    def __init__(self, instance: Instance, wake: Callable[[], None]) -> None:
        """`wake` is called, in another thread, when a read ends that was not waited for."""
        self._instance = instance
        self._wake = wake
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._late = False
        self._outcome: Outcome | None = None
        self.busy = False
        """A read goes on, or its outcome was not taken yet."""

    def start(self, hints: Collection[str]) -> None:
        """Begin to read. Not while `busy`."""
        self.busy, self._late, self._outcome = True, False, None
        self._done.clear()
        threading.Thread(target=self._run, args=(hints,), name="read", daemon=True).start()

    def take(self, patience_s: float) -> Outcome | None:
        """Return the outcome of the read; None if it has not come after `patience_s` seconds of real time."""
        if not self._done.wait(patience_s):
            with self._lock:
                if not self._done.is_set():
                    self._late = True
                    return None
        self.busy = False
        return self._outcome

    def _run(self, hints: Collection[str]) -> None:
        try:
            self._outcome = self._instance.read(hints)
        except Exception as error:  # the engine's thread raises it
            self._outcome = error
        with self._lock:
            self._done.set()
            late = self._late
        if late:
            self._wake()
