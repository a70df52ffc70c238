"""The daemon is restarted while a real qBittorrent uploads: what it has learnt goes on. Peers count the bytes."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.qbittorrent import QBittorrent
from lab.rig import Rig
from lab.scenario import MB, Scenario, one_hungry
from qguardarr.adapters.sqlite.store import store_path
from qguardarr.core.measure.learnt import Learnt, decode
from tests.support.daemon_process import DaemonProcess, configure, until

SETTLED_S = 18.0
AFTER_S = 16.0
SAVED_WITHIN_S = 62.0
"""What was learnt is written at the end of each minute."""


class Restart:
    """Restarts the daemon once in a run, by a signal, when it is `due`."""

    def __init__(self, start: Callable[[], DaemonProcess], stop: signal.Signals, due: Callable[[float], bool]) -> None:
        self._start, self._stop, self._due = start, stop, due
        self.daemon = start()
        self.before = self.daemon.wait_for_state("holding")
        self.ended_at = self.began_at = 0.0

    def watch(self, elapsed_s: float) -> bool:
        """Restart it when that is due. True once enough was seen of the time afterwards."""
        if self.began_at:
            return time.monotonic() - self.began_at > AFTER_S + 1.0
        if not self._due(elapsed_s):
            return False
        status = self.daemon.status
        assert status is not None
        self.before, self.ended_at = status, time.monotonic()
        self.daemon.process.send_signal(self._stop)
        self.daemon.process.wait(5.0)
        self.began_at = time.monotonic()
        self.daemon = self._start()
        return False


def kept(database: Path, now: float) -> list[Learnt]:
    """What a daemon that starts now would recall."""
    with contextlib.closing(sqlite3.connect(f"file:{store_path(database)}?mode=ro", uri=True)) as db:
        return list(decode(dict(db.execute("SELECT part, body FROM learnt").fetchall()), now).torrents)


def restarted(scenario: Scenario, folder: Path, stop: signal.Signals) -> tuple[float, float, int]:
    """Rate ÷ cap in the first 6 s after a restart, and in the time after that; limit-writing calls in all of it."""
    config, database = folder / "qguardarr.yaml", folder / "journal.db"
    with Rig(scenario, "5.1.0") as rig:
        configure(rig, config, database)
        running: list[DaemonProcess] = []

        def start() -> DaemonProcess:
            running.append(DaemonProcess(config, database, {"QBIT_PASSWORD": QBittorrent.password}))
            return running[-1]

        def due(elapsed_s: float) -> bool:
            if elapsed_s < SETTLED_S or stop != signal.SIGKILL:
                return elapsed_s >= SETTLED_S
            now = time.time()
            return any(learnt.hungry and now - learnt.at < elapsed_s - SETTLED_S / 2 for learnt in kept(database, now))

        try:
            restart = Restart(start, stop, due)
            until(lambda: all(rig.qbittorrent.web.upload_limits().values()), "all are parked")
            outcome = rig.run(watch=restart.watch)
            assert restart.began_at, "nothing was kept in time"
            status = restart.daemon.wait_for_state("holding")
            assert status.problem == ""
            assert restart.daemon.log.count("learnt_recalled") == 1
        finally:
            for daemon in running:
                daemon.kill()
        curve, began = outcome.curves["t1"], restart.began_at
        first, then = (
            curve.mean_rate(start, end) / MB for start, end in ((began, began + 6), (began + 6, began + AFTER_S))
        )
        return first, then, status.written_calls


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL], ids=lambda stop: stop.name)
def test_a_restart_in_the_middle_of_one_hungry_costs_nothing_of_the_cap(tmp_path: Path, stop: signal.Signals) -> None:
    saved_within_s = SAVED_WITHIN_S if stop == signal.SIGKILL else 0.0
    first, then, calls = restarted(one_hungry(SETTLED_S + saved_within_s + AFTER_S + 4.0), tmp_path, stop)
    assert 0.95 <= first <= 1.1
    assert 0.95 <= then <= 1.05
    assert calls <= 3
