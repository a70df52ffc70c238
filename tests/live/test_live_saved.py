"""On a real qBittorrent: quota saved under a high hand-set limit is dropped soon after torrents wake."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.measure import Span, worst_window
from lab.scenario import IDLE, KB, MB, Phase, Scenario, TrackerSpec
from tests.support.daemon_process import DaemonProcess
from tests.support.held import held

FLUSHED_S = 9.0
"""Two refreshes until it is seen, a flush, and one that failed; each torrent has saved for 30 s."""


@pytest.mark.parametrize("version", ["4.5.2", "5.1.0", "5.3.0"])
def test_parked_torrents_with_saved_quota_keep_to_the_cap_soon_after_they_wake(version: str, tmp_path: Path) -> None:
    idle = {"t1": (IDLE,) * 10}
    scenario = Scenario(
        "saved",
        (TrackerSpec("t1", 1 * MB, 10),),
        (Phase(3.0, idle), Phase(22.0, {"t1": (500.0 * KB,) * 10})),
        by_hand={"t1": 15 * MB},
        before=(Phase(6.0, {"t1": (500.0 * KB,) * 10}), Phase(2.0, idle)),
    )
    said: set[str] = set()
    flushed_times: list[int] = []

    def watch(running: DaemonProcess) -> None:
        status = running.status
        if status is not None:
            said.update(status.troubles)
            flushed_times.append(status.flushed)

    outcome = held(scenario, version, tmp_path, watch)
    awake = outcome.spans["t1"][-1]
    flushed = Span(awake.start + FLUSHED_S, awake.end, awake.cap, awake.wanted)
    assert worst_window(outcome.curves["t1"], [flushed], 10.0) <= 1.5  # without the cure: 5
    assert max(flushed_times) >= 10
    assert any("t1: 10 torrents run above their own limits" in words for words in said), said
