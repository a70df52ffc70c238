"""Ten qBittorrents with 300,000 torrents in all under one set of caps: time of a cycle, and memory for each torrent.

    python -m bench.several [instances] [torrents of each] [uploading of each]

The qBittorrents are made up: each read changes the counters of those that upload, and takes no time.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import UNLIMITED, Activity, Observation, Torrent
from qguardarr.engine.controller import Controller
from qguardarr.engine.ports import Known, TorrentClient
from tests.support.guard_loop import MB, hash_of, policy_of, tracker, url_of

CYCLES = 20
STEP_S = 2.0


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def wake(self) -> None: ...


class MadeUp:
    """A client of a qBittorrent, some of whose torrents upload at their limits."""

    def __init__(self, number: int, torrents: int, uploading: int, clock: Time) -> None:
        self._clock = clock
        self._limits = {hash_of(f"{number}-{i}"): UNLIMITED for i in range(torrents)}
        self._uploading = list(self._limits)[:uploading]
        self._sent = dict.fromkeys(self._uploading, 0)
        self._read_at = clock.now
        self._full = True
        self._written: list[str] = []

    def observe(  # the port
        self,
        hints: Collection[str] = (),  # noqa: ARG002
        known: Known = lambda _hash: None,  # noqa: ARG002
        *,
        names: bool = False,  # noqa: ARG002
    ) -> Observation:
        elapsed, self._read_at = self._clock.now - self._read_at, self._clock.now
        for hash_ in self._uploading:
            self._sent[hash_] += int(min(self._limits[hash_], MB) * elapsed)
        full, self._full = self._full, False
        hashes = self._limits if full else dict.fromkeys([*self._uploading, *self._written])
        self._written = []
        return Observation(
            at=self._clock.now,
            full=full,
            torrents={hash_: self._torrent(hash_) for hash_ in hashes},
            removed=frozenset(),
            global_limit=UNLIMITED,
            refresh_s=1.5,
            names_all_changes=True,
        )

    def _torrent(self, hash_: str) -> Torrent:
        active = hash_ in self._sent
        return Torrent(
            hash=hash_,
            urls=(url_of(f"t{int(hash_[:2], 16) % 4}"),),
            activity=Activity.ACTIVE if active else Activity.IDLE,
            up_limit=self._limits[hash_],
            uploaded=self._sent.get(hash_, 0),
            leechers=3,
            swarm_leechers=5,
            downloading=False,
            active_s=int(self._clock.now) if active else 0,
        )

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        for hash_ in hashes:
            self._limits[hash_] = limit
        self._written += hashes

    def v1_hashes(self, hashes: Sequence[str] | None) -> dict[str, str]:  # noqa: ARG002 # the port
        return {}

    def request_full(self) -> None:
        self._full = True


def memory() -> int:
    """Return the memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main(instances: int = 10, torrents: int = 30_000, uploading: int = 300) -> None:
    """Print the figures."""
    clock = Time()
    policy = policy_of(*(tracker(f"t{number}", 20 * MB) for number in range(4)))
    clients = {f"q{number}": MadeUp(number, torrents, uploading, clock) for number in range(instances)}
    with tempfile.TemporaryDirectory() as folder:
        journal = SqliteJournal(Path(folder) / "journal.db")
        gc.collect()
        before = memory()
        given = cast("dict[str, TorrentClient]", clients) if instances > 1 else cast("TorrentClient", clients["q0"])
        controller = Controller(given, journal, policy, clock, patience_s=60.0)
        began = time.perf_counter()
        controller.cycle()
        first_s = time.perf_counter() - began
        times = []
        for _ in range(CYCLES):
            clock.now += STEP_S
            began = time.perf_counter()
            snapshot = controller.cycle()
            times.append(time.perf_counter() - began)
        gc.collect()
        grown, total = memory() - before, instances * torrents
        print(f"{instances} × {torrents} torrents, {uploading} of each upload; {snapshot.limited} limited")
        print(f"first cycle {first_s:.1f} s; then {statistics.median(times):.3f} s, at most {max(times):.3f} s")
        print(f"{grown / 2**20:.0f} MiB for all, {grown / total:.0f} bytes for each torrent")
        journal.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
