"""Quota saved under high hand-set limits: found, counted, flushed and told of; against the simulator."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import pytest

from lab.measure import Span, worst_window
from qguardarr.core import decide as deciding
from tests.guarding import KB, MB, Guarded, policy_of, torrents_of, tracker, truth
from tests.sim import SimTorrent

MIB = 2**20
CAP = 1 * MB
SEEDS = [1, 2, 3, 4, 5]


def limited_by_hand(count: int, limit: int, demand: float) -> list[SimTorrent]:
    return torrents_of("t1", [demand] * count, limit=limit)


def want(guarded: Guarded, at: float, demand: float) -> None:
    """From `at` on all torrents want that much, bytes/s."""
    for torrent in guarded.sim.torrents.values():
        guarded.sim.at(at, functools.partial(setattr, torrent, "demand", demand))


def flowing(folder: Path, seed: int = 1) -> Guarded:
    """Ten torrents that flow below 10 MiB/s set by hand, for a minute; then the guard comes, and they turn greedy."""
    guarded = Guarded(folder, policy_of(tracker("t1", CAP)), limited_by_hand(10, 10 * MIB, 50 * KB), seed=seed)
    guarded.sim.run_until(60.0)
    want(guarded, 70.0, 1 * MB)
    return guarded


def woken(folder: Path, seed: int = 1) -> Guarded:
    """Twenty torrents that flowed below 10 MiB/s, were parked by the guard while idle, and wake together."""
    guarded = Guarded(folder, policy_of(tracker("t1", CAP)), limited_by_hand(20, 10 * MIB, 300 * KB), seed=seed)
    guarded.sim.run_until(30.0)
    want(guarded, 30.0, 0.0)
    want(guarded, 120.0, 1 * MB)
    guarded.sim.run_until(80.0)
    return guarded


def worst_10s(guarded: Guarded, start: float, end: float) -> float:
    return worst_window(truth(guarded.sim), [Span(start, end, CAP, math.inf)], 10.0)


def without_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "flush_limits", lambda *_: {})
    monkeypatch.setattr(deciding, "above_limits", lambda *_: 0.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_quota_saved_while_flowing_is_flushed(tmp_path: Path, seed: int) -> None:
    guarded = flowing(tmp_path, seed)
    guarded.run_until(160.0)
    guarded.journal.close()
    assert guarded.rate("t1", 70, 80) <= 5 * CAP
    assert worst_10s(guarded, 80, 160) <= 1.2
    assert guarded.rate("t1", 100, 160) == pytest.approx(CAP, rel=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_quota_of_parked_torrents_is_flushed_when_they_wake(tmp_path: Path, seed: int) -> None:
    guarded = woken(tmp_path, seed)
    guarded.run_until(220.0)
    guarded.journal.close()
    assert guarded.rate("t1", 120, 130) <= 8 * CAP
    assert worst_10s(guarded, 130, 220) <= 1.2
    assert guarded.rate("t1", 160, 220) == pytest.approx(CAP, rel=0.05)


def test_the_simulator_shows_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_cure(monkeypatch)
    (tmp_path / "wake").mkdir()
    guarded = flowing(tmp_path)
    guarded.run_until(110.0)
    guarded.journal.close()
    assert guarded.rate("t1", 80, 90) > 2.0 * CAP
    guarded = woken(tmp_path / "wake")
    guarded.run_until(140.0)
    guarded.journal.close()
    assert guarded.rate("t1", 120, 135) > 10 * CAP
