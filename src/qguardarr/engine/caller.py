"""Call one of several qBittorrents in a thread of its own, so that one that hangs holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Caller:
    """One call at a time. Every method is the engine's; while `busy`, what the call looks at must not change."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called, in another thread, when a call ends that was not waited for."""
        self._wake = wake
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._late = False
        self._outcome: object = None
        self.busy = False
        """A call goes on, or its outcome was not taken yet."""

    def start(self, call: Callable[[], object]) -> None:
        """Begin a call, which returns something other than None. Not while `busy`."""
        self.busy, self._late, self._outcome = True, False, None
        self._done.clear()
        threading.Thread(target=self._run, args=(call,), name="call", daemon=True).start()

    def take(self, patience_s: float) -> object:
        """Return what the call returned, or the exception that it raised; None if it has not ended after `patience_s`
        seconds of real time."""
        if not self._done.wait(patience_s):
            with self._lock:
                if not self._done.is_set():
                    self._late = True
                    return None
        self.busy = False
        return self._outcome

    def _run(self, call: Callable[[], object]) -> None:
        try:
            self._outcome = call()
        except Exception as error:  # the engine's thread raises it
            self._outcome = error
        with self._lock:
            self._done.set()
            late = self._late
        if late:
            self._wake()
