"""The last minutes of torrents that somebody looks at, from the moment they are opened."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.units import limit_or_none
from qguardarr.engine.torrent_list import TorrentQuery, TorrentRow

KEPT_S: Final = 330.0
"""Five minutes, which a page shows, and a little more."""
UNREAD_S: Final = 60.0
"""A torrent that nobody asked about for this long is no longer recorded."""
MOST: Final = 40
"""Torrents recorded at a time; the one not asked about for longest gives way. 165 samples of each take 160 KB."""
LEAST_STEP_S: Final = 1.0
"""Cycles that follow faster are left out."""

_FIELDS: Final = 3


class RecentTorrent(msgspec.Struct, frozen=True, kw_only=True):
    """A torrent now, and its last minutes as far as they are known, oldest first."""

    torrent: TorrentRow
    """As it is now."""
    at: list[float]
    """Unix seconds."""
    rate: list[float]
    """Its rate at each of these times, bytes/s."""
    limit: list[int | None]
    """Its limit in force then, bytes/s; null is unlimited."""


class _Watched:
    def __init__(self) -> None:
        self.samples = array("d")
        """Time, rate and limit of each sample."""
        self.read_at = 0.0

    def add(self, at: float, rate: float, limit: int) -> None:
        samples = self.samples
        if samples and at - samples[-_FIELDS] < LEAST_STEP_S:
            return
        samples.extend((at, rate, limit))
        while samples[0] < at - KEPT_S:
            del samples[:_FIELDS]


class TorrentWatch:
    """Records torrents at each cycle while somebody asks for them. `on_cycle` is the engine's, `recent` anybody's."""

    def __init__(
        self,
        torrents: TorrentQuery,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`now`: monotonic clock, as that of the engine; `wall`: Unix time; both in seconds."""
        self._torrents = torrents
        self._now = now
        self._wall = wall
        self._lock = threading.Lock()
        self._watched: dict[tuple[str, str], _Watched] = {}
        """By name of the qBittorrent, and hash."""

    def recent(
        self,
        hash: str,  # noqa: A002 # what it is
        since: float = 0.0,
        instance: str | None = None,
    ) -> RecentTorrent | None:
        """Return a torrent's last minutes after `since`, Unix seconds, and go on recording it. None: unknown.

        Raises `SeveralHaveIt`.
        """
        row, state = self._torrents.one(hash, instance), self._torrents.state(hash, instance)
        if row is None or state is None:
            return None
        key = row.instance, hash
        with self._lock:
            watched = self._watched.get(key)
            if watched is None:
                while len(self._watched) >= MOST:
                    del self._watched[min(self._watched, key=lambda known: self._watched[known].read_at)]
                watched = self._watched[key] = _Watched()
                self._begin(watched, state)
            watched.read_at = self._now()
            samples = watched.samples[:]
        places = [place for place in range(0, len(samples), _FIELDS) if samples[place] > since]
        return RecentTorrent(
            torrent=row,
            at=[samples[place] for place in places],
            rate=[samples[place + 1] for place in places],
            limit=[limit_or_none(int(samples[place + 2])) for place in places],
        )

    def on_cycle(self, at: float) -> None:
        """Take note of what the cycle found that ended at `at`, Unix seconds."""
        if not self._watched:
            return
        now = self._now()
        with self._lock:
            for (instance, hash_), watched in list(self._watched.items()):
                state = self._torrents.state(hash_, instance)
                if state is None or now - watched.read_at > UNREAD_S:
                    del self._watched[instance, hash_]
                else:
                    rate = 0.0 if state.estimator is None else state.estimator.rate
                    watched.add(at, rate, state.current or UNLIMITED)

    def _begin(self, watched: _Watched, state: TorrentState) -> None:
        """Begin with the seconds that the estimator remembers."""
        estimator, limit = state.estimator, state.current or UNLIMITED
        ahead = self._wall() - self._now()
        if estimator is not None and estimator.measured:
            begun, latest = estimator.base_at, estimator.last_at
            if latest > begun:
                mean = (estimator.last_bytes - estimator.base_bytes) / (latest - begun)
                watched.add(begun + ahead, max(0.0, mean), estimator.limit)
                watched.add(latest + ahead, estimator.rate, estimator.limit)
                return
        watched.add(self._wall(), 0.0, limit)
