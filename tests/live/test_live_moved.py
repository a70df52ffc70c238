"""Caps that move by themselves on real qBittorrents: a schedule's boundary, and a paced quota over a shortened period.

The daemon is killed once and restarted once meanwhile. Peers count the bytes.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.rig import Rig
from lab.scenario import GREEDY, MB, Phase, Scenario, TrackerSpec
from tests.support.daemon_process import DaemonProcess, until

PERIOD_S = 60
BYTES = 30 * MB
BEGINS_IN_S = 5.0
KILLED_AFTER_S, RESTARTED_AFTER_S = 16.0, 30.0
"""After the boundary."""
OFF_S = 2.0
SLOW = MB // 4
"""The cap of the schedule, bytes/s; half of the configured one."""


def configuration(rig: Rig, database: Path, starts: float, boundary: float) -> dict[str, object]:
    """Quota for t1, and a schedule for t2 that begins at a Unix time."""
    window = {"from": f"{datetime.fromtimestamp(boundary, UTC):%H:%M}", "cap": SLOW}
    window["to"] = f"{datetime.fromtimestamp(boundary + 3600, UTC):%H:%M}"
    quota = {"bytes": f"{BYTES} B", "per": f"{PERIOD_S}s", "pace": True, "then": "2 kB/s"}
    quota["starts"] = datetime.fromtimestamp(starts, UTC).isoformat()
    return {
        "global": {"port": free_port(), "timezone": "UTC"},
        "qbittorrent": {
            "url": rig.qbittorrent.url,
            "username": rig.qbittorrent.username,
            "password": "${QBIT_PASSWORD}",
        },
        "trackers": [
            {"id": "t1", "pattern": rig.pattern("t1"), "max_upload_speed": 2 * MB, "quota": quota},
            {"id": "t2", "pattern": rig.pattern("t2"), "max_upload_speed": 2 * SLOW, "schedule": [window]},
            {"id": "rest", "pattern": ".*", "max_upload_speed": -1},
        ],
        "rollback": {"database_path": str(database)},
    }


class Stops:
    """Ends the daemon at given times, and starts it again OFF_S later."""

    def __init__(self, start: Callable[[], DaemonProcess], boundary: float) -> None:
        """`boundary`: Unix time."""
        self._start, self.daemon = start, start()
        self._plan = [(boundary + KILLED_AFTER_S, signal.SIGKILL), (boundary + RESTARTED_AFTER_S, signal.SIGTERM)]
        self._back_at = math.inf

    def watch(self, _elapsed_s: float) -> None:
        now = time.time()
        if now >= self._back_at:
            self.daemon, self._back_at = self._start(), math.inf
        elif self._plan and now >= self._plan[0][0]:
            self.daemon.process.send_signal(self._plan.pop(0)[1])
            self.daemon.process.wait(10.0)
            self._back_at = now + OFF_S


@pytest.mark.parametrize("version", ["4.5.2", "5.1.0", "5.3.0"])
def test_a_paced_quota_and_a_boundary_with_a_kill_and_a_restart_in_between(version: str, tmp_path: Path) -> None:
    seconds = BEGINS_IN_S + PERIOD_S + 4.0
    specs = (TrackerSpec("t1", 2 * MB, 3), TrackerSpec("t2", 2 * SLOW, 2))
    scenario = Scenario("moved", specs, (Phase(seconds, {"t1": (GREEDY,) * 3, "t2": (GREEDY,) * 2}),))
    config, database = tmp_path / "qguardarr.yaml", tmp_path / "journal.db"
    running: list[DaemonProcess] = []

    def start() -> DaemonProcess:
        environment = {**os.environ, "QBIT_PASSWORD": QBittorrent.password}
        running.append(DaemonProcess(config, database, environment))
        return running[-1]

    with Rig(scenario, version) as rig:
        try:
            # Windows begin with a minute: one that comes soon, but not before the torrents are at their caps.
            boundary = math.ceil((time.time() + 22.0) / 60.0) * 60.0
            until(lambda: time.time() > boundary - 40.0, "the minute before the boundary")
            starts = math.ceil(time.time() + 10.0 + BEGINS_IN_S)
            config.write_text(json.dumps(configuration(rig, database, starts, boundary)))
            stops = Stops(start, boundary)
            stops.daemon.wait_for_state("holding")
            until(lambda: all(rig.qbittorrent.web.upload_limits().values()), "all are parked")
            until(lambda: time.time() >= starts - BEGINS_IN_S, "the run to begin")
            outcome = rig.run(watch=stops.watch)
            row = stops.daemon.wait_for_state("holding").trackers[1]
            assert row.cap_reason.startswith("schedule: ")
        finally:
            for daemon in running:
                daemon.kill()
    offset = time.time() - time.monotonic()
    began, changed = starts - offset, boundary - offset
    quota, scheduled = outcome.curves["t1"], outcome.curves["t2"]
    assert quota.total_at(began + PERIOD_S) - quota.total_at(began) == pytest.approx(BYTES, rel=0.02)
    assert scheduled.mean_rate(changed - 5.0, changed) == pytest.approx(2 * SLOW, rel=0.1)
    assert scheduled.mean_rate(changed + 5.0, changed + 15.0) == pytest.approx(SLOW, rel=0.1)
