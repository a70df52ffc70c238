"""The daemon holds a cap on a real qBittorrent, and uses it. Wide bounds, for busy machines; bench/ has strict ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.scenario import GREEDY, IDLE, KB, MB, Phase, Scenario, TrackerSpec
from tests.support.held import check_last_phase, held

VERSIONS = ("4.5.2", "5.3.0")


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
