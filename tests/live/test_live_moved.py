"""Caps that move by themselves: a schedule's boundary, and a paced quota over a shortened period. Peers count.

Both hold over three versions of qBittorrent at once. The daemon is killed once or twice meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.measure import Curve, curve
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.rig import Rig
from lab.scenario import GREEDY, MB, Phase, Scenario, TrackerSpec
from tests.support.daemon_process import DaemonProcess, until

VERSIONS = ("4.5.2", "5.1.0", "5.3.0")
PERIOD_S = 120.0
BYTES = 180 * MB
TRICKLE = 2_000
SLOW = MB // 2
"""The cap of the schedule, bytes/s; half of the configured one."""
BOUNDARY_S = (16.0, 60.0)
"""When the schedule begins, in seconds of the period: before it the torrents are at their caps."""
KILLS_S = (-22.0, 12.0, 26.0)
"""When the daemon is killed, in seconds after the boundary: the first two of these that KILLED_S allows."""
KILLED_S = (9.0, 45.0)
"""When that may be, in seconds of the period. Limits stay in force without it, so the last seconds are left to it."""
OFF_S = 2.0


def configuration(rigs: dict[str, Rig], database: Path, starts: float, boundary: float) -> dict[str, object]:
    """Quota for t1 from a Unix time on, and a schedule for t2 that begins at another."""
    window = {"from": f"{datetime.fromtimestamp(boundary, UTC):%H:%M}", "cap": SLOW}
    window["to"] = f"{datetime.fromtimestamp(boundary + 3600, UTC):%H:%M}"
    quota = {"bytes": f"{BYTES} B", "per": f"{PERIOD_S:.0f}s", "pace": True, "then": TRICKLE}
    quota["starts"] = datetime.fromtimestamp(starts, UTC).isoformat()
    patterns = {name: "|".join(rig.pattern(name) for rig in rigs.values()) for name in ("t1", "t2")}
    return {
        "global": {"port": free_port(), "timezone": "UTC"},
        "qbittorrent": [
            {
                "name": f"v{version}",
                "url": rig.qbittorrent.url,
                "username": rig.qbittorrent.username,
                "password": "${QBIT_PASSWORD}",
            }
            for version, rig in rigs.items()
        ],
        "trackers": [
            {"id": "t1", "pattern": patterns["t1"], "max_upload_speed": 6 * MB, "quota": quota},
            {"id": "t2", "pattern": patterns["t2"], "max_upload_speed": 2 * SLOW, "schedule": [window]},
            {"id": "rest", "pattern": ".*", "max_upload_speed": -1},
        ],
        "rollback": {"database_path": str(database)},
    }


def received(rigs: dict[str, Rig], tracker: str, start: float, end: float) -> Curve:
    """What the peers of a tracker received in all."""
    found = []
    for rig in rigs.values():
        hashes = {torrent.info_hash for torrent in rig.torrents[tracker]}
        found += [samples for hash_, its in rig.series().items() if hash_ in hashes for samples in its.values()]
    return curve(found, start, end)


def start_of_period() -> tuple[float, float]:
    """Wait until a period may begin, and return when: Unix time, and that of the boundary."""
    while True:
        starts = math.ceil(time.time() + 1.0)
        boundary = math.ceil((starts + BOUNDARY_S[0]) / 60.0) * 60.0
        if boundary <= starts + BOUNDARY_S[1]:
            return starts, boundary
        time.sleep(0.5)


def test_a_paced_quota_and_a_boundary_hold_over_three_versions_with_kills_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QBIT_PASSWORD", QBittorrent.password)
    all_ = Phase(PERIOD_S + 10.0, {"t1": (GREEDY,), "t2": (GREEDY,)})
    scenario = Scenario("moved", (TrackerSpec("t1", 6 * MB, 1), TrackerSpec("t2", 2 * SLOW, 1)), (all_,))
    config, database = tmp_path / "qguardarr.yaml", tmp_path / "journal.db"
    running: list[DaemonProcess] = []

    def start() -> DaemonProcess:
        running.append(DaemonProcess(config, database))
        return running[-1]

    with contextlib.ExitStack() as stack:
        rigs = {version: stack.enter_context(Rig(scenario, version)) for version in VERSIONS}
        starts, boundary = start_of_period()
        config.write_text(json.dumps(configuration(rigs, database, starts, boundary)))
        stack.callback(lambda: [each.kill() for each in running])
        start()
        until(lambda: all(all(rig.qbittorrent.web.upload_limits().values()) for rig in rigs.values()), "all are parked")
        for rig in rigs.values():
            rig.set_phase(all_)
        kills = [at for after in KILLS_S if KILLED_S[0] <= (at := boundary + after) - starts <= KILLED_S[1]][:2]
        assert kills
        for at in kills:
            sleep_until(at)
            running[-1].kill()
            time.sleep(OFF_S)
            start()
        sleep_until(starts + PERIOD_S + 1.0)
        row = running[-1].wait_for_state("holding").trackers[1]
        assert row.cap_reason.startswith("schedule: ")
        offset = time.time() - time.monotonic()
        began, changed = starts - offset, boundary - offset
        quota, scheduled = (received(rigs, name, began, began + PERIOD_S + 1.0) for name in ("t1", "t2"))
    used = quota.total_at(began + PERIOD_S)
    assert used <= BYTES + TRICKLE * PERIOD_S
    assert used / BYTES >= 0.98
    assert scheduled.mean_rate(changed - 6.0, changed) == pytest.approx(2 * SLOW, rel=0.1)
    assert scheduled.mean_rate(changed + 3.0, changed + 11.0) == pytest.approx(SLOW, rel=0.1)


def sleep_until(at: float) -> None:
    """Wait for a Unix time."""
    time.sleep(max(0.0, at - time.time()))
