"""Torrents' names: asked of qBittorrent when somebody looks, and remembered for a while."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from qguardarr.errors import ClientError

if TYPE_CHECKING:
    from qguardarr.engine.ports import TorrentClient

MOST_NAMES: Final = 5000
"""Names that are remembered: about a megabyte."""
ASK_AGAIN_S: Final = 600.0
"""A torrent that was renamed shows its new name so much later, or sooner."""
WAIT_S: Final = 2.0
"""How long a list waits for names. The engine may wait for qBittorrent just then, and the names behind it."""


class Names:
    """For any thread. Names of two generations: those of the present one are told as they are, those of the one before
    are asked for again, and told while no newer ones can be had."""

    def __init__(self, client: Callable[[], TorrentClient], now: Callable[[], float] = time.monotonic) -> None:
        """`client`: the one in use. `now`: seconds, monotonic."""
        self._client = client
        self._now = now
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._known: dict[str, str] = {}
        self._before: dict[str, str] = {}
        self._began_at = now()

    def of(self, hashes: Sequence[str]) -> dict[str, str]:
        """Names by hash, as far as they can be had within a few seconds: a list without them is better than none."""
        with self._lock:
            if self._now() - self._began_at > ASK_AGAIN_S:
                self._begin_anew()
            missing = [hash_ for hash_ in hashes if hash_ not in self._known]
        if missing and self._asking.acquire(timeout=WAIT_S):
            asker = threading.Thread(target=self._ask, args=(missing,), name="names", daemon=True)
            asker.start()
            asker.join(WAIT_S)
        with self._lock:
            told = {hash_: self._before[hash_] for hash_ in hashes if hash_ in self._before}
            return told | {hash_: self._known[hash_] for hash_ in hashes if hash_ in self._known}

    def _ask(self, hashes: Sequence[str]) -> None:
        try:
            with contextlib.suppress(ClientError):
                asked = self._client().names(hashes)
                with self._lock:
                    if len(self._known) + len(asked) > MOST_NAMES // 2:
                        self._begin_anew()
                    self._known |= asked
        finally:
            self._asking.release()

    def _begin_anew(self) -> None:
        self._known, self._before = {}, self._known
        self._began_at = self._now()
