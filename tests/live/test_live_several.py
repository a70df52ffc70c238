"""One cap over three real qBittorrents of different versions, one of which is killed and comes back. Peers count."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path

import pytest

from lab.measure import Curve, Span, curve, worst_window
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.rig import Rig
from lab.scenario import GREEDY, MB, Phase, Scenario, TrackerSpec
from tests.support.daemon_process import DaemonProcess, daemon, until

VERSIONS = ("4.5.2", "5.1.0", "5.3.0")
CAP = 1.5 * MB
ALL = Phase(90.0, {"t1": (GREEDY, GREEDY)})
SETTLED_S = 10.0
SEEN_S = 15.0
AWAY_S = 12.0
KILLED = "5.1.0"


def name_of(version: str) -> str:
    return f"v{version}"


def write(config: Path, database: Path, rigs: dict[str, Rig]) -> None:
    """A configuration with one cap for the tracker `t1` of all rigs."""
    servers = [
        {
            "name": name_of(version),
            "url": rig.qbittorrent.url,
            "username": rig.qbittorrent.username,
            "password": "${QBIT_PASSWORD}",
        }
        for version, rig in rigs.items()
    ]
    pattern = "|".join(rig.pattern("t1") for rig in rigs.values())
    content = {
        "global": {"port": free_port()},
        "qbittorrent": servers,
        "trackers": [
            {"id": "t1", "pattern": pattern, "max_upload_speed": CAP},
            {"id": "rest", "pattern": ".*", "max_upload_speed": -1},
        ],
        "rollback": {"database_path": str(database)},
    }
    config.write_text(json.dumps(content))


def received(rigs: dict[str, Rig], start: float, end: float) -> Curve:
    """What the peers of all of them received."""
    return curve(
        (samples for rig in rigs.values() for its in rig.series().values() for samples in its.values()), start, end
    )


def test_one_cap_holds_over_three_versions_while_one_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBIT_PASSWORD", QBittorrent.password)
    config, database = tmp_path / "qguardarr.yaml", tmp_path / "journal.db"
    scenario = Scenario("several", (TrackerSpec("t1", int(CAP), 2),), (ALL,))
    with contextlib.ExitStack() as stack:
        rigs = {version: stack.enter_context(Rig(scenario, version)) for version in VERSIONS}
        write(config, database, rigs)
        running = stack.enter_context(daemon(config, database))
        until(lambda: all(all(rig.qbittorrent.web.upload_limits().values()) for rig in rigs.values()), "all are parked")
        for rig in rigs.values():
            rig.set_phase(ALL)
        began = time.monotonic()
        time.sleep(SETTLED_S + SEEN_S)
        killed = time.monotonic()
        rigs[KILLED].qbittorrent.kill()
        until(lambda: states(running)[name_of(KILLED)] == "away", "it to be away")
        assert running.wait_for_state("holding").troubles
        time.sleep(max(0.0, killed + AWAY_S - time.monotonic()))
        rigs[KILLED].qbittorrent.start()
        back = time.monotonic()
        time.sleep(SETTLED_S + SEEN_S)
        end = time.monotonic()
        status = running.wait_for_state("holding")
        got = received(rigs, began, end)
    assert status.troubles == ()
    assert got.mean_rate(began + SETTLED_S, killed) / CAP >= 0.97
    assert got.mean_rate(killed + 2.0, back) / CAP == pytest.approx(2 / 3, abs=0.1), "its part is not given away"
    assert got.mean_rate(back + SETTLED_S, end) / CAP >= 0.97
    settled = [(began + SETTLED_S, killed), (back + SETTLED_S, end)]
    assert max(worst_window(got, [Span(*times, CAP, math.inf)], 10.0) for times in settled) <= 1.10
    assert worst_window(got, [Span(began + SETTLED_S, end, CAP, math.inf)], 10.0) <= 1.25, "also while it comes back"


def states(running: DaemonProcess) -> dict[str, str]:
    status = running.status
    return {row.name: row.state for row in status.instances}
