"""The daemon holds a cap on a real qBittorrent, and uses it. Wide bounds, for busy machines; bench/ has strict ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.measure import Span, worst_window
from lab.qbittorrent import QBittorrent
from lab.rig import Outcome, Rig
from lab.scenario import GREEDY, IDLE, KB, MB, Phase, Scenario, TrackerSpec
from tests.support.daemon_process import DaemonProcess, configure, daemon, until

VERSIONS = ("4.5.2", "5.3.0")
SETTLED_S = 12.0
LATE_S = 15.0


def held(
    scenario: Scenario, version: str, folder: Path, watch: Callable[[DaemonProcess], None] = lambda _: None
) -> Outcome:
    """The scenario with a daemon that holds since before it begins; `watch` looks at it about twice a second."""
    with Rig(scenario, version) as rig:
        config, database = folder / "qguardarr.yaml", folder / "journal.db"
        configure(rig, config, database)
        with daemon(config, database, {**os.environ, "QBIT_PASSWORD": QBittorrent.password}) as running:
            running.wait_for_state("holding")
            until(lambda: all(rig.qbittorrent.web.upload_limits().values()), "all are parked")
            outcome = rig.run(watch=lambda _: watch(running))
            assert running.wait_for_state("holding").problem == ""
        return outcome


def check_last_phase(outcome: Outcome) -> None:
    span, curve = outcome.spans["t1"][-1], outcome.curves["t1"]
    settled = Span(span.start + SETTLED_S, span.end, span.cap, span.wanted)
    assert worst_window(curve, [settled], 10.0) <= 1.3
    assert curve.mean_rate(span.start, span.end) <= 1.05 * span.cap
    assert curve.mean_rate(span.end - LATE_S, span.end) >= 0.9 * span.cap


@pytest.mark.parametrize("version", VERSIONS)
def test_one_hungry_torrent_gets_what_lazy_ones_leave(version: str, tmp_path: Path) -> None:
    demands = {"t1": (GREEDY, *(20.0 * KB,) * 9)}
    scenario = Scenario("one_hungry", (TrackerSpec("t1", 1 * MB, 10),), (Phase(23.0, demands),))
    check_last_phase(held(scenario, version, tmp_path))


@pytest.mark.parametrize("version", VERSIONS)
def test_parked_torrents_that_wake_at_once_keep_to_the_cap(version: str, tmp_path: Path) -> None:
    phases = (Phase(1.0, {"t1": (IDLE,) * 20}), Phase(23.0, {"t1": (GREEDY,) * 20}))
    scenario = Scenario("wake", (TrackerSpec("t1", 1 * MB, 20),), phases)
    outcome = held(scenario, version, tmp_path)
    check_last_phase(outcome)
    assert outcome.measures["t1"].worst_10s <= 1.4  # from the waking on
