"""The other side of the count: what qBittorrent itself says that it sent.

Coarser than what leechers count (a copy each refresh, so each 1.5 s), but it is what trackers are told, and it includes
at once what sockets and clients still hold back.
"""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType
from typing import Final, Self

import urllib3

from lab.clients.base import Counter
from lab.errors import LabError
from lab.qbittorrent import QBittorrent

_LOOK_EVERY_S: Final = 0.3


class SentCounter:
    """Samples `uploaded_session` of every torrent in the background. A context manager."""

    def __init__(self, qbittorrent: QBittorrent) -> None:
        self._web = qbittorrent.web
        self._counters: dict[str, Counter] = {}
        self._copies: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sent", daemon=True)

    def series(self, info_hash: str) -> list[tuple[float, int]]:
        """(CLOCK_MONOTONIC seconds, payload bytes sent so far), one for each copy of qBittorrent's."""
        counter = self._counters.get(info_hash)
        return list(counter.samples) if counter is not None else []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            with contextlib.suppress(LabError, urllib3.exceptions.HTTPError):  # it is away: next time
                figures = {info["hash"]: int(info["uploaded_session"]) for info in self._web.info()}
                if figures == self._copies:
                    continue
                self._copies = figures
                now = time.monotonic()
                for info_hash, figure in figures.items():
                    self._counters.setdefault(info_hash, Counter(now)).note(now, figure, resets=True)
