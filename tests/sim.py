"""A simulated qBittorrent in virtual time: token buckets, stale counters, demands that change.

The model keeps what matters to a control loop (measured on real ones, see ARCHITECTURE.md): quota is handed out every
0.5 s; a bucket that is not used holds up to a second of its limit, and keeps it when the limit is lowered; counters are
copied once a refresh, so that a reader sees them up to 1.5 s old. What was sent is the ground truth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from qguardarr.core.model import UNLIMITED, Activity, Observation, Torrent

TICK_S = 0.5
LINE = 60e6
"""What a peer takes that takes all it can get, bytes/s."""


@dataclass
class SimTorrent:
    hash: str
    url: str
    demand: float = 0.0
    """Bytes/s that its peers take; `math.inf` for all they can get."""
    limit: int = UNLIMITED
    bucket: float = 0.0
    sent: float = 0.0
    shown: int = 0
    uploads: list[float] = field(default_factory=list)
    """Bytes sent in each tick: the ground truth."""
    leechers: int = 1

    def tick(self, noise: float) -> None:
        want = min(self.demand * noise, LINE) * TICK_S
        if self.limit >= UNLIMITED:
            sent, self.bucket = want, 0.0
        else:
            quota = self.bucket + self.limit * TICK_S
            sent = min(want, quota)
            self.bucket = min(quota - sent, max(self.bucket, float(self.limit)))
        self.sent += sent
        self.uploads.append(sent)


class SimQBittorrent:
    """Implements `TorrentClient` over simulated torrents. Time is advanced by `run_until`."""

    def __init__(self, torrents: Sequence[SimTorrent], *, refresh_s: float = 1.5, seed: int = 1, jitter: float = 0.05) -> None:
        self.torrents = {t.hash: t for t in torrents}
        self.refresh_s = refresh_s
        self.random = random.Random(seed)
        self.jitter = jitter
        self.now = 0.0
        self.calls = 0
        self.changed = 0
        self.reads = 0
        self.global_limit: int | None = UNLIMITED
        self.script: list[tuple[float, Callable[[], None]]] = []
        self._next_tick = TICK_S
        self._next_refresh = self.random.uniform(0, refresh_s)
        self._seconds = 100
        self.refreshed_at = 0.0
        self._full = True
        self._told: dict[str, Torrent] = {}

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at that time."""
        self.script.append((time_s, action))
        self.script.sort(key=lambda entry: entry[0])

    def run_until(self, until: float) -> None:
        """Let virtual time pass."""
        while True:
            action_at = self.script[0][0] if self.script else float("inf")
            event = min(self._next_tick, self._next_refresh, action_at)
            if event > until:
                break
            self.now = event
            if event == action_at:
                self.script.pop(0)[1]()
            elif event == self._next_tick:
                for torrent in self.torrents.values():
                    torrent.tick(1 + self.random.uniform(-self.jitter, self.jitter))
                self._next_tick += TICK_S
            else:
                for torrent in self.torrents.values():
                    torrent.shown = int(torrent.sent)
                self.refreshed_at = self.now
                self._seconds = 100 + int(self.now + 0.3)
                self._next_refresh += self.refresh_s + self.random.uniform(-0.005, 0.005)
        self.now = until

    def observe(self) -> Observation:
        self.reads += 1
        seen = {}
        for torrent in self.torrents.values():
            before = self._told.get(torrent.hash)
            shown = Torrent(
                torrent.hash, (torrent.url,), Activity.ACTIVE if torrent.demand else Activity.IDLE, torrent.limit, torrent.shown,
                torrent.leechers, torrent.leechers, False, self._seconds,
            )
            if self._full or before is None or shown != msgspec.structs.replace(before, active_s=self._seconds):
                seen[torrent.hash] = self._told[torrent.hash] = shown
        gone = frozenset(h for h in self._told if h not in self.torrents)
        for hash_ in gone:
            del self._told[hash_]
        full, self._full = self._full, False
        return Observation(
            at=self.now, full=full, torrents=seen, removed=frozenset() if full else gone,
            global_limit=self.global_limit, refresh_s=self.refresh_s,
        )

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        assert 1 <= limit <= UNLIMITED
        self.calls += 1
        for hash_ in hashes:
            torrent = self.torrents.get(hash_)
            if torrent is not None and torrent.limit != limit:
                torrent.limit = limit
                self.changed += 1

    def upload_limits(self, hashes: Sequence[str]) -> dict[str, int]:
        return {h: self.torrents[h].limit for h in hashes if h in self.torrents}

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        return {h: h for h in hashes if h in self.torrents}

    def request_full(self) -> None:
        self._full = True

    def close(self) -> None:
        pass
