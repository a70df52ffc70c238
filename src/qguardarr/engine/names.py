"""Fetch torrents' names from qBittorrent when somebody asks, and remember them for a while."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from qguardarr.errors import ClientError

if TYPE_CHECKING:
    from qguardarr.engine.everywhere import Asked

MOST_NAMES: Final = 5000
"""Names that are remembered: about a megabyte."""
ASK_AGAIN_S: Final = 600.0
"""Longest time until a renamed torrent shows its new name."""
WAIT_S: Final = 2.0
"""Longest that a list waits for names in all: the engine's own request may be ahead of theirs."""


class Names:
    """Keep the names of the current and the previous refresh; current ones win. For any thread."""

    def __init__(self, client: Callable[[], Asked], now: Callable[[], float] = time.monotonic) -> None:
        """`client` returns the one in use. `now`: monotonic clock, seconds."""
        self._client = client
        self._now = now
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._known: dict[str, str] = {}
        self._before: dict[str, str] = {}
        self._began_at = now()

    def of(self, hashes: Sequence[str]) -> dict[str, str]:
        """Return names by hash, as far as they come within a few seconds: a list without them is better than none."""
        with self._lock:
            if self._now() - self._began_at > ASK_AGAIN_S:
                self._start_again()
            missing = [hash_ for hash_ in hashes if hash_ not in self._known]
        until = time.monotonic() + WAIT_S
        if missing and self._asking.acquire(timeout=WAIT_S):
            asker = threading.Thread(target=self._ask, args=(missing,), name="names", daemon=True)
            asker.start()
            asker.join(max(0.0, until - time.monotonic()))
        with self._lock:
            older = {hash_: self._before[hash_] for hash_ in hashes if hash_ in self._before}
            return older | {hash_: self._known[hash_] for hash_ in hashes if hash_ in self._known}

    def _ask(self, hashes: Sequence[str]) -> None:
        try:
            with contextlib.suppress(ClientError):
                asked = self._client().names(hashes)
                with self._lock:
                    if len(self._known) + len(asked) > MOST_NAMES // 2:
                        self._start_again()
                    self._known |= asked
        finally:
            self._asking.release()

    def _start_again(self) -> None:
        self._known, self._before = {}, self._known
        self._began_at = self._now()
